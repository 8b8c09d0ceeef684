"""For every test: shape annotations are checked, one thread, a fixed seed.

``PERCEIVER_SHAPE_CHECKS=0`` leaves the annotations unchecked (torch.compile cannot look through the checks; see
`test_compile_and_export.py`). Tests that train whole runs leave them unchecked too, and end their runs with less: a few
of these tests, in `IN_FULL`, pay for all of it.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import jaxtyping
import pytest
import torch

pytest_plugins = ["s3"]
OPS = ["context", "cross_attend", "structured", "backends.chunked", "backends.reference"]  # not what others compile
CHECKED = [f"perceiver_pytorch.ops.{name}" for name in OPS] + [
    "perceiver_pytorch.nn",
    "perceiver_pytorch.models.modalities",
]

if os.environ.get("PERCEIVER_SHAPE_CHECKS") != "0":
    jaxtyping.install_import_hook(CHECKED, "shape_checks.checker")

TESTS = Path(__file__).parent
WHOLE_RUNS = (
    *("cli/", "experiments/", "export/", "runtime/", "serve/", "tables/", "training/", "tuning/"),
    "test_docs.py",
)
IN_FULL = (
    "experiments/test_report.py",
    "training/language/test_task.py",
    "training/table/test_kinds.py",
    "training/table/test_old_runs.py",
    "training/table/test_task.py",
    "training/table/test_task_targets.py",
    "training/table/test_worth.py",
    "tuning/test_page.py",
)
"""Tests of all that a run computes and draws."""

torch.set_num_threads(1)  # tensors are tiny here, and threads of parallel workers would wait for one another


@pytest.fixture(autouse=True)
def seed() -> None:
    """The same random numbers in every run, whatever ran before."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def compiled_at_once() -> Iterator[None]:
    """What a test computes does not depend on which loops were compiled by then."""
    from perceiver_pytorch._waiting import waiting

    with waiting():
        yield


@contextmanager
def quick_runs() -> Iterator[None]:
    """Annotations are unchecked; columns are permuted twice and not eight times; figures are not drawn."""
    from perceiver_pytorch.report import figures
    from perceiver_pytorch.training.table import worth

    before = jaxtyping.config.jaxtyping_disable
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "_svg", lambda figure, **options: "<svg></svg>")
        patch.setattr(worth, "REPEATS", 2)
        jaxtyping.config.update("jaxtyping_disable", True)
        try:
            yield
        finally:
            jaxtyping.config.update("jaxtyping_disable", before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Whole runs are quick ones, those of fixtures too."""
    where = item.path.relative_to(TESTS).as_posix() if item.path.is_relative_to(TESTS) else ""
    if where.startswith(WHOLE_RUNS) and not where.startswith(IN_FULL):
        with quick_runs():
            return (yield)
    return (yield)


@pytest.fixture
def quick() -> Iterator[None]:
    """Runs of a test are quick ones where those of its file are not. The module's fixtures are made before, in full."""
    with quick_runs():
        yield


@pytest.fixture
def user_view() -> Iterator[None]:
    """Annotations unchecked within the test, as for a user: for tests of our own error messages."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
