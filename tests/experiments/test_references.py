"""Models in Python are named, found without being imported, and told apart by their file."""

import sys
from pathlib import Path

import pytest

from perceiver_pytorch.experiments.references import check_reference, imported, source_digest

HERE = "perceiver_pytorch.experiments.contestants:gelu"


def test_a_name_is_checked_without_running_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loud_model.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert check_reference("model", "loud_model:build") == "loud_model:build"
    assert "loud_model" not in sys.modules
    assert source_digest("loud_model:build") != source_digest(HERE)


@pytest.mark.parametrize("given", [None, 3, "gelu", "a:b:c", "a.b:c()", "a-b:c", ":c"])
def test_other_names_are_refused(given: object) -> None:
    with pytest.raises(TypeError, match=r"model must be package\.module:function"):
        check_reference("model", given)


def test_what_is_imported_is_a_function() -> None:
    assert imported(HERE).__name__ == "gelu"
    with pytest.raises(ImportError, match="contestants has no nothing"):
        imported("perceiver_pytorch.experiments.contestants:nothing")
    with pytest.raises(ImportError, match="must be a function of spec and config, got str"):
        imported("perceiver_pytorch.experiments.cells:PACKAGE")
