"""The source of docs/extending/source.md, installed as a package."""

import re
import sqlite3
import sys
from pathlib import Path

import pytest

from perceiver_pytorch.data import DataError, load_table
from perceiver_pytorch.data.sources import BUILT_IN, sources

PAGE = Path(__file__).parent.parent / "docs/extending/source.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def install(folder, monkeypatch, entry, module="perceiver_sqlite", source=""):
    """A package as pip installs one: a module, and what its project registers."""
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    facts = folder / f"{module}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[perceiver.sources]\n{entry}\n")
    monkeypatch.syspath_prepend(folder)
    sources.cache_clear()


@pytest.fixture(autouse=True)
def as_before():
    """No test leaves its package behind."""
    yield
    sources.cache_clear()
    for module in ("perceiver_sqlite", "broken"):
        sys.modules.pop(module, None)


def test_a_source_of_another_package_is_loaded_from(tmp_path, monkeypatch):
    group, entry = re.search(r'entry-points\."([\w.]+)"\]\n(.+)', blocks("toml")[0]).groups()
    assert group == "perceiver.sources"
    install(tmp_path, monkeypatch, entry.replace('"', ""), source=blocks("python")[0])
    monkeypatch.chdir(tmp_path)
    exec(blocks("py")[0], {})
    table = load_table("sqlite:films.db:films")
    assert table.column("title") == ["Metropolis", "M"]
    assert table.root == tmp_path.resolve()
    with sqlite3.connect("films.db") as database:
        database.execute("DELETE FROM films")
    for place, message in (
        ("sqlite:films.db:films", "the table has no rows"),
        ("sqlite:films.db:actors", "no such table: actors"),
        ("sqlite:nowhere.db:films", "there is no file nowhere.db"),
    ):
        with pytest.raises(DataError, match=message):
            load_table(place)


def test_what_cannot_be_a_source(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "broken = broken:SOURCE", "broken", "SOURCE = 3")
    with pytest.raises(TypeError, match="must name an instance of Source, got 3"):
        sources()


def test_the_sources_without_other_packages():
    assert sources() == BUILT_IN
