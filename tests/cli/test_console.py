import os
import sys

import pytest

from perceiver_pytorch.cli import console


@pytest.fixture
def unread(monkeypatch):
    """A standard output that nobody reads on."""
    reading, writing = os.pipe()
    os.close(reading)
    console.console.cache_clear()
    with open(writing, "w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        yield file
    console.console.cache_clear()


@pytest.mark.parametrize("print_", [console.say, console.write])
def test_whoever_stops_reading_does_not_end_the_run(unread, print_):
    for _ in range(2):
        print_("a line")
    unread.flush()


def test_markup_is_text(capsys):
    console.console.cache_clear()
    console.say("[bold]a[/] [0]")
    console.warn("[/] b")
    assert capsys.readouterr() == ("[bold]a[/] [0]\n", "warning: [/] b\n")
