"""Ways to damage the files of a run folder, and what is done with such a folder afterwards."""

import copy
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

VALUES = (
    *(None, True, -1, 0, 3, 10**6, 10**12, 10**40, 1.5, float("nan"), float("inf")),
    *("", "x", [], {}, [[]], [1, 2], ["a"], {"a": 1}),
)
"""What may stand in the place of a value, of any type."""


def deep(levels: int = 3000) -> str:
    return "[" * levels + "]" * levels


def damaged(path: Path, rng: random.Random) -> tuple[str, bytes | None]:
    """A way to damage a file, and what it holds then; None: it is removed."""
    content = path.read_bytes()
    ways = {
        "removed": lambda: None,
        "empty": lambda: b"",
        "cut": lambda: content[: rng.randrange(len(content))],
        "junk": lambda: rng.randbytes(len(content)),
        "bytes changed": lambda: _flipped(content, rng),
        "start changed": lambda: _flipped(content[:300], rng) + content[300:],
    }
    if path.suffix in (".json", ".yaml"):
        ways |= dict.fromkeys(("a value", "another value", "a third value"), lambda: _other_value(path, rng))
        ways |= {"deep": lambda: deep().encode(), "a list": lambda: b"[1]", "a number": lambda: b"3"}
    way = rng.choice(list(ways))
    return way, ways[way]()


def damages(run: Path, files: list[str], folder: Path, *, count: int, seed: int) -> Iterator[tuple[str, Path]]:
    """Copies of a run, in each of which one file is damaged, and a line that says which and how."""
    rng = random.Random(seed)
    for i in range(count):
        name, copied = files[i % len(files)], folder / "run"
        shutil.rmtree(copied, ignore_errors=True)
        shutil.copytree(run, copied)
        way, content = damaged(run / name, rng)
        (copied / name).unlink()
        if content is not None:
            (copied / name).write_bytes(content)
        yield f"{i}: {name}, {way}", copied


def _flipped(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 4))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _other_value(path: Path, rng: random.Random) -> bytes:
    """The file's tree with one value changed for one of another type, removed, or given a neighbour."""
    tree = yaml.safe_load(path.read_text()) if path.suffix == ".yaml" else json.loads(path.read_text())
    places = list(_places(tree))
    parent, key = rng.choice(places)
    kind = rng.random()
    if kind < 0.1:
        del parent[key]
    elif kind < 0.2 and isinstance(parent, dict):
        parent["more"] = copy.deepcopy(parent[key])
    else:
        parent[key] = rng.choice(VALUES)
    return (yaml.safe_dump(tree) if path.suffix == ".yaml" else json.dumps(tree)).encode()


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)
