"""``python -m perceiver_pytorch``: the command, for launchers such as torchrun that start modules."""

from perceiver_pytorch.cli import main

if __name__ == "__main__":
    main()
