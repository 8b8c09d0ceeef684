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
    with pytest.raises(DataError, match="must be a file, is a folder; a text file is needed"):
        open_text(tmp_path)


@pytest.mark.parametrize("size", [128, 129])
def test_a_part_of_exactly_the_least_size_is_enough(size):
    """Of 64 test bytes 64 are needed; the train part needs the context and the byte that follows."""
    text = numbered(size + 128)
    assert [len(part) for part in split_text(text, "x", 64 / len(text), 64 / len(text), size - 1).values()] == [
        size,
        64,
        64,
    ]
    with pytest.raises(DataError, match=rf"of its {len(text)} bytes {size} are left to train on, which is less than"):
        split_text(text, "x", 64 / len(text), 64 / len(text), size)
    with pytest.raises(DataError, match=r"63 are left to test on, which is less than 64; use a text of at least"):
        split_text(text, "x", 64 / len(text), 63.5 / len(text), 64)


def test_a_text_may_be_asked_to_have_so_many_bytes(tmp_path):
    file = tmp_path / "text"
    file.write_bytes(b"abc")
    assert open_text(file).tobytes() == open_text(file, at_least=3).tobytes() == b"abc"
    with pytest.raises(DataError, match=r"text is too short: 3 bytes, at least 4 are needed"):
        open_text(file, at_least=4)
    file.write_bytes(b"a")
    assert len(open_text(file)) == 1


def test_the_places_are_those_that_runs_before_had():
    starts = RandomStarts(1000, 4, 6, seed=3)
    starts.set_epoch(2)
    generator = torch.Generator().manual_seed(3 * 1_000_003 + 2)
    expected = torch.randint(1000, (6, 4), generator=generator).tolist()
    starts.skip = 2
    assert list(starts) == expected[2:]
    assert list(starts) == expected  # batches are skipped once
    assert len(starts) == 6


def test_causal_windows_one_by_one():
    windows = CausalWindows(numbered(8), context=4, stride=3)
    assert [(ids.tolist(), int(count)) for ids, count in items(windows)] == [
        ([0, 6, 7, 8, 9], 3),
        ([8, 9, 10, 11, 12], 3),
        ([9, 10, 11, 12, 13], 1),
    ]


@pytest.mark.parametrize(("fraction", "groups"), [(0.25, 4), (0.15, 7), (0.9, 1), (0.4, 2)])
def test_the_places_that_are_hidden_are_those_that_runs_before_had(fraction, groups):
    windows = MaskedWindows(numbered(10), 6, fraction)
    assert len(windows) == 2 * groups
    for index, (ids, hidden) in enumerate(items(windows)):
        window, group = divmod(index, groups)
        mine = np.random.default_rng(window).permutation(6) % groups == group
        if window == 1:  # the last window overlaps the one before by two bytes
            mine[:2] = False
        assert hidden.tolist() == mine.tolist()
        assert ids.tolist() == (np.arange(6) + (6 if window == 0 else 10)).tolist()
    ((ids, hidden), *_) = items(MaskedWindows(numbered(2), 4, 1.0))
    assert (ids.tolist(), hidden.tolist()) == ([6, 7, 0, 0], [True, True, False, False])
