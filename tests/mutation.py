"""Small random changes to the source, each of which a test should notice: ``python tests/mutation.py --draw 100``.

A change flips a comparison, moves a constant by one, exchanges an operator or drops a line. The tests that mirror the
changed module run in a copy of the checkout. A change that they pass "survives": a test is missing, or the line does
nothing that can be seen. CONTRIBUTING.md says what to do about it.
"""

import argparse
import ast
import contextlib
import copy
import importlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from test_mirror import ELSEWHERE, TESTS, listed, own_file

ROOT = TESTS.parent
PACKAGE = Path("src/perceiver_pytorch")
ROOMS = ("ops", "nn", "data", "training")
UNSEEN = ("triton", "triton_kernels", "triton_tiles")
"""Modules that run on a GPU only: without one, no test sees a change."""
FLIPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
}
PRELOADED = (
    "torch",
    "lightning.pytorch",
    "torchmetrics",
    "pyarrow.parquet",
    "numba",
    "matplotlib.pyplot",
    "scipy.stats",
)
"""What most tests import, imported once for all of them."""
QUICKLY = ("-q", "-x", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
SIMPLE = (ast.Expr, ast.Assign, ast.AugAssign, ast.Raise, ast.Delete, ast.Break, ast.Continue)
"""Statements that can be dropped and leave a function that still parses."""


@dataclass(frozen=True)
class Change:
    """One small change: lines ``first`` to ``last`` (from 1) of ``module`` become ``new``."""

    module: str
    first: int
    last: int
    kind: str
    new: str

    @property
    def file(self) -> Path:
        return PACKAGE.joinpath(*self.module.split(".")).with_suffix(".py")

    def apply(self, source: str) -> str:
        lines = source.splitlines(keepends=True)
        return "".join([*lines[: self.first - 1], self.new, *lines[self.last :]])

    def __str__(self) -> str:
        return f"{self.file}:{self.first} ({self.kind}): {' '.join(self.new.split())[:160]}"


def changes(module: str, source: str) -> Iterator[Change]:
    """Every change of a module: each node of each statement in a function or class that can be changed."""
    lines = source.splitlines()
    for statement in _statements(ast.parse(source)):
        first, last = statement.lineno, _end_of_head(statement)
        indent = " " * statement.col_offset
        if lines[first - 1].startswith(f"{indent}elif"):
            indent += "el"
        if isinstance(statement, SIMPLE):
            yield Change(module, first, last, "line dropped", f"{indent}pass\n")
        for kind, changed in _changed(statement):
            yield Change(module, first, last, kind, _head(changed, indent))


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """What is executed: neither imports nor docstrings nor the heads of functions and classes."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt) or isinstance(node, ast.Import | ast.ImportFrom | ast.Try | ast.With):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Pass):
            yield node


def _end_of_head(statement: ast.stmt) -> int:
    """The last line of a statement without the block that it heads."""
    body = getattr(statement, "body", None)
    return body[0].lineno - 1 if body else statement.end_lineno


def _head(statement: ast.stmt, indent: str) -> str:
    """The text of a statement without the block that it heads; what stood on lines of its own is one line."""
    if getattr(statement, "body", None):
        statement = copy.copy(statement)
        statement.body, statement.orelse = [ast.Pass()], []
        return f"{indent}{ast.unparse(statement).splitlines()[0]}\n"
    return f"{indent}{ast.unparse(statement)}\n"


def _changed(statement: ast.stmt) -> Iterator[tuple[str, ast.stmt]]:
    """Copies of a statement, each with one node of its head changed."""
    for number, node in enumerate(_nodes(statement)):
        for kind, change in _ways(node):
            other = copy.deepcopy(statement)
            change(_nodes(other)[number])
            yield kind, other


def _nodes(statement: ast.stmt) -> list[ast.AST]:
    """The expressions of a statement's head, without annotations and the text of f-strings."""
    found, waiting = [], [statement]
    while waiting:
        node = waiting.pop()
        for name, value in ast.iter_fields(node):
            if name in ("body", "orelse", "annotation", "handlers") and isinstance(node, ast.stmt):
                continue
            children = value if isinstance(value, list) else [value]
            waiting += [child for child in children if isinstance(child, ast.expr | ast.keyword | ast.comprehension)]
        if not isinstance(node, ast.JoinedStr):
            found.append(node)
        else:
            waiting = [other for other in waiting if other not in node.values]
    return found


def _ways(node: ast.AST) -> Iterator[tuple[str, object]]:
    """How one node can be changed: the name of the change, and the function that makes it in place."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in FLIPPED:
        yield "comparison flipped", lambda n: n.ops.__setitem__(0, FLIPPED[type(n.ops[0])]())
    if isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in FLIPPED and not _joins_text(node):
        yield "operator exchanged", lambda n: setattr(n, "op", FLIPPED[type(n.op)]())
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield "constant negated", lambda n: setattr(n, "value", not n.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield "constant off by one", lambda n: setattr(n, "value", _next(n.value))


def _next(value: float) -> float:
    """One more, or twice as much where one more is lost in rounding."""
    return value + 1 if value + 1 != value else value * 2


def _joins_text(node: ast.AST) -> bool:
    """Whether an operator joins texts or types: an exchange breaks at once, and shows nothing of the tests."""
    sides = [getattr(node, "left", None), getattr(node, "right", None)]
    return any(isinstance(side, ast.JoinedStr) or isinstance(getattr(side, "value", None), str) for side in sides)


def all_changes(rooms: tuple[str, ...] = ROOMS) -> list[Change]:
    """Every change of the modules of some rooms."""
    found = []
    for room in rooms:
        for path in sorted((ROOT / PACKAGE / room).rglob("*.py")):
            if path.name != "__init__.py" and path.stem not in UNSEEN:
                module = ".".join(path.relative_to(ROOT / PACKAGE).with_suffix("").parts)
                found += changes(module, path.read_text(encoding="utf-8"))
    return found


def mirrored(module: str) -> Path:
    """The file of tests that mirrors a module: its own, or the one that tests/test_mirror.py names."""
    if (path := own_file(module)).is_file():
        return path
    name = next(name for name in ELSEWHERE if listed(module, {name}))
    return TESTS / ELSEWHERE[name].partition(": ")[0]


class Copy:
    """A copy of the checkout's files in which a change is made, tested and taken back."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.sound: set[Path] = set()  # tests that pass without a change
        self.writes = 0
        listing = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
        for name in listing.stdout.splitlines():
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)
        if (ROOT / ".peers").exists():
            (folder / ".peers").symlink_to((ROOT / ".peers").resolve())

    def survives(self, change: Change, limit: float) -> bool:
        """Whether the mirrored tests pass in spite of a change."""
        tests = Path("tests") / mirrored(change.module).relative_to(TESTS)
        if tests not in self.sound:
            assert self._pass(tests, limit), f"{tests} fails without any change"
            self.sound.add(tests)
        path = self.folder / change.file
        before, stamp = path.read_text(encoding="utf-8"), path.stat().st_mtime
        path.write_text(change.apply(before), encoding="utf-8")
        self.writes += 1
        os.utime(path, (stamp + self.writes,) * 2)  # else what was compiled before the change could be taken for it
        try:
            return self._pass(tests, limit)
        finally:
            path.write_text(before, encoding="utf-8")
            os.utime(path, (stamp, stamp))

    def _pass(self, tests: Path, limit: float) -> bool:
        """Whether some tests pass; ones that take longer than ``limit`` seconds do not."""
        child = os.fork()
        if not child:
            os.setpgid(0, 0)
            self._run(tests)
        end = time.monotonic() + limit
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return status == 0
            time.sleep(0.05)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False

    def _run(self, tests: Path) -> NoReturn:
        """In a child, which has imported `PRELOADED` already: runs the tests and ends with pytest's code."""
        code = 1
        try:
            silent = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(silent, stream)
            os.chdir(self.folder)
            os.environ["PYTHONPATH"] = str(self.folder / "src")
            sys.path[:] = [
                str(self.folder / "src"),
                *(path for path in sys.path if not path.startswith(str(ROOT / "src"))),
            ]
            for name in ("test_mirror", "test_imports"):
                sys.modules.pop(name, None)
            code = int(pytest.main([*QUICKLY, str(tests)]))
        finally:
            sys.stdout.flush()
            os._exit(code)


def survivors(drawn: list[Change], limit: float = 900) -> Iterator[tuple[Change, bool]]:
    """Each change, and whether it survived the tests."""
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        checkout = Copy(Path(folder))
        for change in drawn:
            yield change, checkout.survives(change, limit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", type=int, default=100, help="how many changes are drawn")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the draw; a new one each time")
    parser.add_argument("--rooms", default=",".join(ROOMS), help="rooms or modules, separated by commas")
    parser.add_argument("--list", action="store_true", help="print what is drawn, and test nothing")
    given = parser.parse_args()
    found = [change for change in all_changes() if listed(change.module, given.rooms.split(","))]
    drawn = random.Random(given.seed).sample(found, min(given.draw, len(found)))
    print(f"seed {given.seed}: {len(drawn)} of {len(found)} possible changes", flush=True)
    if given.list:
        print(*drawn, sep="\n")
        return
    alive = 0
    for number, (change, survived) in enumerate(survivors(drawn), 1):
        alive += survived
        print(f"{number:4} {'SURVIVED' if survived else 'noticed '} {change}", flush=True)
    print(f"{len(drawn) - alive} of {len(drawn)} noticed ({1 - alive / max(len(drawn), 1):.0%})")


if __name__ == "__main__":
    main()
