"""Libraries that are not installed."""

import sys

import pytest


def test_a_missing_library_names_the_extra(monkeypatch, tmp_path):
    from perceiver_pytorch.data.errors import need

    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(ImportError, match=r'pip install "perceiver-multi-modality-pytorch\[data\]"'):
        need("soxr", "resample sound")
