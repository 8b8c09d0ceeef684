"""Public names of packages that are imported on first use."""

import importlib
import pkgutil

import pytest

PACKAGES = ("perceiver_pytorch", "perceiver_pytorch.data")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_found(package: str) -> None:
    loaded = importlib.import_module(package)
    for name in loaded.__all__:
        assert getattr(loaded, name) is not None
    assert set(loaded.__all__) <= set(dir(loaded))


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_name_is_hidden_by_a_module(package: str) -> None:
    loaded = importlib.import_module(package)
    assert set(loaded.__all__) & {module.name for module in pkgutil.iter_modules(loaded.__path__)} == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_another_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match=f"{package!r} has no attribute 'nonsense'"):
        importlib.import_module(package).nonsense  # noqa: B018
