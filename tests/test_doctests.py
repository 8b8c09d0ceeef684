"""Examples in the docstrings run."""

import doctest
import importlib
import pkgutil
import warnings

import pytest

import perceiver_pytorch
from test_old_paths import PATHS

ELSEWHERE = ("data", "training", "cli", "interop")  # tested beside their own tests
MODULES = [
    info.name
    for info in pkgutil.walk_packages(perceiver_pytorch.__path__, "perceiver_pytorch.")
    if info.name.split(".")[1] not in ELSEWHERE and info.name not in PATHS
]
WITH_EXAMPLES = (
    "perceiver_pytorch.models.perceiver",
    "perceiver_pytorch.models.multi_modality_perceiver",
    "perceiver_pytorch.models.multi_modality_with_text_perceiver",
    "perceiver_pytorch.models.hierarchical_multi_modality_perceiver",
    "perceiver_pytorch.models.perceiver_io",
)


@pytest.mark.parametrize("name", ["perceiver_pytorch", *MODULES])
def test_examples_run(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        pytest.skip(f"needs {error.name}, which is optional")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = doctest.testmod(module, raise_on_error=False, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
    if name in WITH_EXAMPLES:
        assert result.attempted > 0
