"""The experiments that come with the package, by name."""

from importlib.resources import files
from pathlib import Path

from perceiver_pytorch import _checks
from perceiver_pytorch.experiments.reading import parse_experiment, read_experiment
from perceiver_pytorch.experiments.spec import Experiment

_SUFFIXES = (".yaml", ".yml")


def shipped() -> dict[str, str]:
    """{name: YAML text}."""
    folder = files("perceiver_pytorch.experiments").joinpath("files")
    found = [file for file in folder.iterdir() if file.name.endswith(_SUFFIXES)]
    return {
        file.name.rpartition(".")[0]: file.read_text(encoding="utf-8") for file in sorted(found, key=lambda f: f.name)
    }


def find_experiment(name: str, *, quick: bool = False) -> Experiment:
    """The experiment in a YAML file, or one that comes with the package.

    Raises:
        ValueError: if there is neither, or for what is wrong in the file.
    """
    if name.endswith(_SUFFIXES):
        return read_experiment(Path(name), quick=quick)
    texts = shipped()
    _checks.choice("the experiment, unless it is a .yaml file,", name, tuple(texts))
    return parse_experiment(texts[name], name, quick=quick)
