"""Parts and windows of a text: every byte is measured once, and files that are no text are refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perceiver_pytorch.data import DataError
from perceiver_pytorch.training.language.text_file import (
    CausalWindows,
    MaskedWindows,
    RandomStarts,
    Windows,
    open_text,
    split_text,
    to_ids,
)


def items(dataset):
    return [dataset[i] for i in range(len(dataset))]


def numbered(size):
    return (np.arange(size) % 256).astype(np.uint8)


@given(st.integers(2, 90), st.integers(1, 20), st.integers(0, 20))
@settings(deadline=None)
def test_causal_windows_predict_every_byte_but_the_first_once_from_what_precedes(size, stride, more):
    text, context = numbered(size), stride + more
    predicted = []
    for ids, count in items(CausalWindows(text, context, stride)):
        assert ids.shape == (context + 1,)
        seen = ids[ids != 0]
        assert 1 <= count <= min(stride, len(seen) - 1)
        assert len(seen) == min(context + 1, seen[-1] - 6 + 1)  # as much context as there is
        assert (seen.diff() == 1).all()
        predicted += (seen[-int(count) :] - 6).tolist()
    assert predicted == list(range(1, size))


@given(st.integers(1, 90), st.integers(2, 30), st.sampled_from([0.15, 0.5, 0.3]))
@settings(deadline=None)
def test_masked_windows_hide_every_byte_once(size, context, fraction):
    text = numbered(size)
    hidden_bytes = []
    for ids, hidden in items(MaskedWindows(text, context, fraction)):
        assert ids.shape == hidden.shape == (context,)
        assert hidden.sum() <= context * fraction * 1.5 + 1
        hidden_bytes += (ids[hidden] - 6).tolist()
    assert sorted(hidden_bytes) == list(range(size))


def test_training_windows_are_places_of_the_text():
    windows = Windows(numbered(50), 10)
    assert len(windows) == 41
    assert torch.equal(windows[40], to_ids(numbered(50))[40:])


def test_starts_depend_on_seed_and_epoch_and_can_be_taken_up_anywhere():
    def batches(epoch, skip=0, seed=1):
        starts = RandomStarts(1000, 4, 6, seed)
        starts.set_epoch(epoch)
        starts.skip = skip
        return list(starts)

    assert len(batches(0)) == 6
    assert batches(0) == batches(0) != batches(1)
    assert batches(0) != batches(0, seed=2)
    assert batches(3)[2:] == batches(3, skip=2)
    assert {len(batch) for batch in batches(0)} == {4}
    assert max(max(batch) for batch in batches(0)) < 1000


def test_parts_are_consecutive_and_cover_the_text():
    parts = split_text(numbered(2000), "x", 0.1, 0.2, 64)
    assert [len(part) for part in parts.values()] == [1400, 200, 400]
    assert np.array_equal(np.concatenate(list(parts.values())), numbered(2000))


def test_a_file_is_mapped_not_read(tmp_path):
    (tmp_path / "text").write_bytes(bytes(range(256)) * 4)
    text = open_text(tmp_path / "text")
    assert isinstance(text, np.memmap)
    assert text[:300].tobytes() == (bytes(range(256)) * 2)[:300]


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (0, "is empty"),
        (60, "less than the context of 64 bytes"),
        (1000, "50 are left to validate on, which is less than 64; use a text of at least 1,281 bytes"),
    ],
)
def test_texts_that_are_too_short_say_how_long_they_must_be(tmp_path, size, message):
    file = tmp_path / "text"
    file.write_bytes(b"a" * size)
    with pytest.raises(DataError, match=message):
        split_text(open_text(file), str(file), 0.05, 0.05, 64)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        open_text(tmp_path / "nothing")
    with pytest.raises(DataError, match="is not a file; a text file is needed"):
        open_text(tmp_path)
