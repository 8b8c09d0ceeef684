"""Small changes to the source are made as they are called, and the tests notice nearly all of them."""

import dataclasses
import json
import random
import subprocess
import sys
import time

import pytest

import mutation
from mutation import Change, all_changes, changes

SOURCE = """\
LIMIT = 3


def grow(x, name=4):
    \"\"\"Doc.\"\"\"
    if x < LIMIT:
        x += 1
    elif x == 9 and not LIMIT:
        raise ValueError(f"{x + 1} is " + name)
    for i in range(
        2,
    ):
        x: int = i / 2
    return True
"""


def test_every_kind_of_change_is_made() -> None:
    found = {(change.first, change.last, change.kind, change.new.strip()) for change in changes("m", SOURCE)}
    assert found == {
        (1, 1, "line dropped", "pass"),
        (1, 1, "constant off by one", "LIMIT = 4"),
        (6, 6, "comparison flipped", "if x >= LIMIT:"),
        (7, 7, "line dropped", "pass"),
        (7, 7, "constant off by one", "x += 2"),
        (8, 8, "operator exchanged", "elif x == 9 or not LIMIT:"),
        (8, 8, "comparison flipped", "elif x != 9 and (not LIMIT):"),
        (8, 8, "constant off by one", "elif x == 10 and (not LIMIT):"),
        (9, 9, "line dropped", "pass"),
        (10, 12, "constant off by one", "for i in range(3):"),
        (13, 13, "operator exchanged", "x: int = i * 2"),
        (13, 13, "constant off by one", "x: int = i / 3"),
        (14, 14, "constant negated", "return False"),
    }


def test_a_change_keeps_all_other_lines() -> None:
    for change in changes("m", SOURCE):
        after = change.apply(SOURCE)
        compile(after, "m", "exec")
        before = SOURCE.splitlines()
        assert after.splitlines()[: change.first - 1] == before[: change.first - 1]
        assert after.splitlines()[change.first :] == before[change.last :]
        assert after != SOURCE


def test_changes_are_of_the_rooms_that_tests_can_see() -> None:
    modules = {change.module for change in all_changes()}
    assert {module.split(".")[0] for module in modules} == set(mutation.ROOMS)
    assert "ops.backends.chunked" in modules
    assert not any("triton" in module or "__init__" in module for module in modules)
    assert all(mutation.mirrored(module).is_file() for module in modules)


def survived(drawn: list[Change]) -> list[bool]:
    """Which changes survive, in a process of its own: it must not have imported what is changed."""
    code = """
import json, sys
from mutation import Change, survivors
drawn = [Change(*given) for given in json.load(sys.stdin)]
print(json.dumps([alive for _, alive in survivors(drawn)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=mutation.TESTS,
        input=json.dumps([dataclasses.astuple(change) for change in drawn]),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.nightly
def test_a_change_is_noticed_and_taken_back() -> None:
    wrong = next(c for c in all_changes(("nn",)) if c.module == "nn.rotary" and c.kind == "operator exchanged")
    same = Change("nn.rotary", 1, 1, "none", '"""Rotary positions."""\n')
    assert survived([wrong, same, same]) == [False, True, True]


@pytest.mark.nightly
def test_tests_notice_nearly_every_change() -> None:
    seed = int(time.time())
    drawn = random.Random(seed).sample(all_changes(), 100)
    alive = [str(change) for change, still in zip(drawn, survived(drawn), strict=True) if still]
    assert len(alive) <= 8, f"seed {seed}:\n" + "\n".join(alive)
