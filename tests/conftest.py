"""For every test: shape annotations are checked, one thread, a fixed seed.

``PERCEIVER_SHAPE_CHECKS=0`` leaves the annotations unchecked (torch.compile cannot look through the checks; see
`test_compile_and_export.py`).
"""

import os
from collections.abc import Iterator

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


@pytest.fixture
def user_view() -> Iterator[None]:
    """Annotations unchecked within the test, as for a user: for tests of our own error messages."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
