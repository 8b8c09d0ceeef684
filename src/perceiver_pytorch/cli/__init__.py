"""The command ``perceiver``."""

import io
import os
import sys


def main() -> None:
    """Runs the command; says which extra to install if its libraries are missing."""
    # Threads that wait for one another spin briefly, then sleep. Where another process takes a core, GNU OpenMP's long
    # default made a training step 30 times slower; sleeping at once made it twice as slow where none does. OpenMP reads
    # this when PyTorch is loaded, so it has to come first.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file or pipe on Windows does not take every character
            stream.reconfigure(errors="backslashreplace")
    try:
        from perceiver_pytorch.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "perceiver_pytorch":
            raise
        print(
            f'The perceiver command needs {error.name}: pip install "perceiver-multi-modality-pytorch[all]"',
            file=sys.stderr,
        )
        sys.exit(2)
    run(sys.argv[1:])
