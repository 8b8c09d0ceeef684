"""`make lowest` tests what pyproject.toml promises."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
BOUND = re.compile(r'^    "([A-Za-z0-9_-]+)>=([0-9.]+)', re.MULTILINE)
TOOLS = {"mypy", "ruff"}
"""They look at the source; `make test` has the versions that they run in."""
SERVICES = {"mlflow", "wandb"}
"""Clients of services, which no test of the core installs; `make nightly` has one of them."""


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def padded(version: str) -> list[int]:
    parts = [int(part) for part in version.split(".")]
    return parts + [0] * (3 - len(parts))


def test_the_lowest_versions_that_are_promised_are_the_ones_that_are_tested() -> None:
    promised = BOUND.findall((ROOT / "pyproject.toml").read_text())
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([0-9.]+)", (ROOT / "constraints-lowest.txt").read_text(), re.MULTILINE))
    assert len(promised) > 30
    for name, version in promised:
        if name not in TOOLS | SERVICES:
            assert padded(pinned[normal(name)]) == padded(version), name


def test_the_lowest_python_is_the_one_that_is_looked_for() -> None:
    lowest = re.search(r'requires-python = ">=(3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert lowest is not None
    assert f"python{lowest[1]} " in (ROOT / "Makefile").read_text()
