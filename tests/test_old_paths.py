"""Import paths of release 1.4.0: they work, and say where the names live now."""

import importlib
import subprocess
import sys
import warnings
from types import ModuleType

import pytest

PATHS = {
    "perceiver_pytorch.perceiver_pytorch": {
        "Perceiver": "perceiver_pytorch.perceiver",
        "PreNorm": "perceiver_pytorch.nn",
        "Attention": "perceiver_pytorch.nn",
        "FeedForward": "perceiver_pytorch.nn",
        "FeedForwardGELU": "perceiver_pytorch.nn",
        "GEGLU": "perceiver_pytorch.nn",
        "fourier_encode": "perceiver_pytorch.nn",
        "cache_fn": "perceiver_pytorch.nn.cache",
    },
    "perceiver_pytorch.caching": {"cache_by_name_fn": "perceiver_pytorch.nn.cache"},
    "perceiver_pytorch.common": {
        "build_perceiver_layers": "perceiver_pytorch.nn.cache",
        "LatentTransformer": "perceiver_pytorch.nn.cache:CachedLatentTransformer",
    },
}


def import_quietly(path: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module(path)


NAMES = [(path, name, home) for path, names in PATHS.items() for name, home in names.items()]


@pytest.mark.parametrize(("path", "name", "home"), NAMES, ids=[f"{path}.{name}" for path, name, _ in NAMES])
def test_a_name_is_handed_out_with_a_warning_that_names_its_successor(path: str, name: str, home: str) -> None:
    module = import_quietly(path)
    home, _, attribute = home.partition(":")
    with pytest.warns(DeprecationWarning, match=rf"{path}\.{name} is now {home}\.{attribute or name}") as caught:
        value = getattr(module, name)
    assert value is getattr(importlib.import_module(home), attribute or name)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("path", PATHS)
def test_importing_an_old_path_warns_once_at_whoever_imports_it(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, path, raising=False)
    with pytest.warns(
        DeprecationWarning, match=rf"{path} is an old path; its names live in perceiver_pytorch\."
    ) as caught:
        importlib.import_module(path)
    assert len(caught) == 1


@pytest.mark.parametrize("path", PATHS)
def test_an_old_path_lists_its_names_and_has_no_others(path: str) -> None:
    module = import_quietly(path)
    assert dir(module) == sorted(PATHS[path])
    with pytest.raises(AttributeError, match=f"module '{path}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_in_a_fresh_interpreter_the_warnings_point_at_the_users_line() -> None:
    lines = [f"from {path} import {name}" for path, name, _ in NAMES]
    command = [sys.executable, "-W", "always::DeprecationWarning", "-c", "\n".join(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for line, (path, name, _) in enumerate(NAMES, start=1):
        assert f"<string>:{line}: DeprecationWarning: {path}.{name} is now perceiver_pytorch." in done.stderr
        assert f"DeprecationWarning: {path} is an old path" in done.stderr


def test_new_paths_do_not_warn() -> None:
    code = "import perceiver_pytorch, perceiver_pytorch.nn.cache, perceiver_pytorch.modalities"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
