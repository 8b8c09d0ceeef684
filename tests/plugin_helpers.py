"""Packages that register parts of their own, as pip installs them, and the code on pages of the documentation."""

import re
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def blocks(page: str, language: str) -> list[str]:
    """The blocks of code of a language on a page below docs/."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def registered(project: str) -> tuple[str, str]:
    """(group, entry) of the entry point that a pyproject.toml has."""
    found = re.search(r'entry-points\."([\w.]+)"\]\n(.+)', project)
    assert found is not None
    return found[1], found[2].replace('"', "")


def install(folder: Path, module: str, group: str, entries: str, source: str | None = None) -> None:
    """Writes a package into a folder: what its project registers and, if there is a source, its module."""
    facts = folder / f"{module}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[{group}]\n{entries}\n")
    if source is not None:
        (folder / f"{module}.py").write_text(source, encoding="utf-8")
