"""The command ``perceiver``."""

import sys


def main() -> None:
    """Runs the command; says which extra to install if its libraries are missing."""
    try:
        from perceiver_pytorch.cli.app import app
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "perceiver_pytorch":
            raise
        print(
            f'The perceiver command needs {error.name}: pip install "perceiver-multi-modality-pytorch[all]"',
            file=sys.stderr,
        )
        sys.exit(2)
    app()
