"""Public names of packages that are imported on first use."""

import importlib
import pkgutil
import sys
import types

import pytest

from perceiver_pytorch import _lazy

PACKAGES = ("perceiver_pytorch", "perceiver_pytorch.data", "perceiver_pytorch.interop")


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


def test_a_module_that_cannot_be_imported_is_not_taken_for_a_name_that_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python makes "cannot import name" of an AttributeError, whatever it says."""

    def broken(name: str) -> None:
        raise AttributeError("module 'os' has no attribute 'register_at_fork'")

    monkeypatch.setattr(_lazy.importlib, "import_module", broken)
    package = types.ModuleType("lazy_package")
    monkeypatch.setitem(sys.modules, "lazy_package", package)
    package.__getattr__, _ = _lazy.lazily("lazy_package", {"inner": "Name"})
    with pytest.raises(ImportError, match=r"lazy_package.inner cannot be imported: .* 'register_at_fork'") as told:
        from lazy_package import Name  # noqa: F401
    assert isinstance(told.value.__cause__, AttributeError)
