"""Files of models: what is none is said to be none, and is not unpickled."""

import contextlib
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perceiver_pytorch._saved_files import read_tensors


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"a,b,label\n1,x,u\n", b"\x80\x02.", b"PK\x03\x04", b"c0\n."])
def test_what_is_no_checkpoint_is_said_to_be_none(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as weights"):
        read_tensors(path)


@given(place=st.integers(0, 400), value=st.integers(0, 255))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, place: int, value: int) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.ones(3)}, path, _use_new_zipfile_serialization=False)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content)
    with contextlib.suppress(ValueError):  # and nothing else
        read_tensors(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_tensors(tmp_path / "none.pt")
