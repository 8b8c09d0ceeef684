"""The source of docs/extending/source.md, installed as a package."""

import sqlite3
import sys

import pytest

from perceiver_pytorch.data import DataError, load_table
from perceiver_pytorch.data.sources import BUILT_IN, sources
from plugin_helpers import blocks, install, registered

PAGE = "extending/source.md"


def add(folder, monkeypatch, entry, module="perceiver_sqlite", source=""):
    install(folder, module, "perceiver.sources", entry, source)
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
    group, entry = registered(blocks(PAGE, "toml")[0])
    assert group == "perceiver.sources"
    add(tmp_path, monkeypatch, entry, source=blocks(PAGE, "python")[0])
    monkeypatch.chdir(tmp_path)
    exec(blocks(PAGE, "py")[0], {})
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
    add(tmp_path, monkeypatch, "broken = broken:SOURCE", "broken", "SOURCE = 3")
    with pytest.raises(TypeError, match="must name an instance of Source, got 3"):
        sources()


def test_the_sources_without_other_packages():
    assert sources() == BUILT_IN
