"""What the training commands do alike with their arguments."""

from pathlib import Path


def pair(text: str) -> tuple[str, str]:
    """The two sides of ``NAME=VALUE``; ValueError for anything else."""
    name, equals, value = text.rpartition("=")
    if not equals or not name:
        raise ValueError(f"NAME=VALUE was expected, got {text!r}")
    return name, value


def free_folder(table: str) -> Path:
    """runs/NAME, or runs/NAME-2, .. where there is one."""
    name = Path(table.removesuffix(".gz")).stem
    number = 1
    while True:
        path = Path("runs") / (name if number == 1 else f"{name}-{number}")
        if not path.exists():
            return path
        number += 1


def remove_if_empty(path: Path) -> None:
    """Removes a folder that holds nothing."""
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()
