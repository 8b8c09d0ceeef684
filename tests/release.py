"""Release 1.4.0 itself, installed into a folder of its own and imported beside ours, to be compared with."""

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

VERSION = "1.4.0"
FOLDER = Path(__file__).parent.parent / ".peers" / f"release-{VERSION}"
PACKAGE = "perceiver_pytorch"
MODULES = (
    "perceiver_pytorch",
    "caching",
    "common",
    "modalities",
    "multi_modality_perceiver",
    "multi_modality_with_text_perceiver",
    "hierarchical_multi_modality_perceiver",
)


@cache
def release() -> SimpleNamespace:
    """Its modules, by name (``release().multi_modality_perceiver``)."""
    install(f"perceiver-multi-modality-pytorch=={VERSION}", FOLDER)
    with another_package(FOLDER):
        return SimpleNamespace(**{name: importlib.import_module(f"{PACKAGE}.{name}") for name in MODULES})


@cache
def release_names() -> SimpleNamespace:
    """Everything its modules define, in one namespace (``release_names().Perceiver``)."""
    return SimpleNamespace(**_defined_in(vars(release()).values()))


@cache
def our_names() -> SimpleNamespace:
    """The same for our package: what a user of the release finds under its names."""
    import perceiver_pytorch
    from perceiver_pytorch import nn
    from perceiver_pytorch.models import hierarchical_multi_modality_perceiver as hierarchical
    from perceiver_pytorch.models import modalities
    from perceiver_pytorch.nn import cache as layer_cache

    names = _defined_in([modalities, hierarchical]) | {name: getattr(nn, name) for name in nn.__all__}
    names |= {name: getattr(perceiver_pytorch, name) for name in perceiver_pytorch.__all__}
    names |= {name: getattr(layer_cache, name) for name in ("cache_fn", "cache_by_name_fn", "build_perceiver_layers")}
    return SimpleNamespace(**(names | {"LatentTransformer": layer_cache.CachedLatentTransformer}))


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings that torch gives about the release's code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def running_release(dtype: torch.dtype) -> Iterator[None]:
    """For calls of the release: quiet, and in float64 without its casts of queries and keys to float32."""
    with quiet(), pytest.MonkeyPatch.context() as patch:
        if dtype == torch.float64:
            patch.setattr(torch.Tensor, "float", lambda tensor: tensor)
        yield


def install(requirement: str, folder: Path) -> None:
    """Installs one package, without what it needs, into a folder of its own."""
    install_packages([requirement], folder, PACKAGE, "--no-deps")


def install_packages(requirements: list[str], folder: Path, package: str, *options: str) -> None:
    """Installs under a temporary name and renames: workers that start together do not meet a half-written folder.

    Args:
        requirements: what pip is told to install.
        folder: where.
        package: which is there afterwards.
        options: of pip.
    """
    if (folder / package).is_dir():
        return
    folder.parent.mkdir(exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", *options, "--target", str(partial)]
        subprocess.run([*pip, *requirements], check=True)
        partial.chmod(0o755)
        os.rename(partial, folder)
    except OSError:
        if not (folder / package).is_dir():  # else another worker was first
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def another_package(folder: Path) -> Iterator[None]:
    """Within the block the package's name stands for the one in a folder."""
    with _without_shape_checks(), _under_our_name(folder):
        yield


@contextmanager
def _under_our_name(folder: Path) -> Iterator[None]:
    ours = {name: module for name, module in sys.modules.items() if name.split(".")[0] == PACKAGE}
    for name in ours:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        # Its modules keep working: they hold one another by reference, and ours get their name back.
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
            del sys.modules[name]
        sys.modules.update(ours)


@contextmanager
def _without_shape_checks() -> Iterator[None]:
    """The import hook of conftest.py goes by module names, and must leave the release's modules alone."""
    finders = list(sys.meta_path)
    sys.meta_path[:] = [finder for finder in finders if not type(finder).__module__.startswith("jaxtyping")]
    try:
        yield
    finally:
        sys.meta_path[:] = finders


def _defined_in(modules: "list[ModuleType]") -> dict[str, object]:
    """Names that each module defines itself."""
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
    }
