"""Parts of random changes."""

from types import SimpleNamespace

import torch

from perceiver_pytorch.data import random_changes as change


def test_extents_are_those_of_real_tokens_and_one_at_least():
    values = torch.zeros(3, 4, 5, 2)
    rows, columns = change.extents(values, None, axes=2)
    assert rows.tolist() == [4] * 3
    assert columns.tolist() == [5] * 3
    mask = torch.zeros(3, 4, 5, dtype=torch.bool)
    mask[0, :3, :2] = mask[1, 1, 4] = True  # row 2 has nothing
    rows, columns = change.extents(values, mask, axes=2)
    assert rows.tolist() == [3, 2, 1]
    assert columns.tolist() == [2, 5, 1]
    (length,) = change.extents(values[:, :, 0], mask[:, :, 4], axes=1)
    assert length.tolist() == [1, 2, 1]
    assert length.dtype == torch.int64


def test_moves_reach_both_ends_alike_and_stay_within_the_row():
    torch.manual_seed(0)
    sizes = torch.full((2000,), 8)
    source = change.moved(sizes, 10, 0.25, 0.0)
    assert source.shape == (2000, 10)
    assert (source[:, 8:] == torch.tensor([8, 9])).all()
    offsets = source[:, 4] - 4
    counts = torch.bincount(offsets + 2)
    assert len(counts) == 5
    assert counts.min() > 300
    assert source[:, :8].min() == 0
    assert source[:, :8].max() == 7
    assert torch.equal(change.moved(sizes, 10, 0.1, 0.0), torch.arange(10).expand(2000, -1))  # less than a pixel
    assert torch.equal(change.moved(sizes, 10, 0.0, 1.0)[:, :8], torch.arange(7, -1, -1).expand(2000, -1))


def test_values_are_taken_along_any_axis():
    values = torch.arange(24).view(2, 3, 4)
    rows = change.taken(values, torch.tensor([[2, 0, 0], [1, 1, 2]]), 1)
    assert torch.equal(rows, torch.stack([values[0, [2, 0, 0]], values[1, [1, 1, 2]]]))
    columns = change.taken(values, torch.tensor([[3, 3, 3, 0]] * 2), 2)
    assert torch.equal(columns, values[:, :, [3, 3, 3, 0]])


def test_colours_lie_evenly_within_their_share(monkeypatch):
    pixels = torch.tensor([[[40.0, 80.0, 120.0]]]).expand(1, 2, 3).clone()
    pixels[0, 1] += 40.0
    assert change.colored(pixels, 0.0) is pixels
    drawn = []

    def uniform(size, like, low, high):
        drawn.append((tuple(size), round(low, 6), round(high, 6)))
        return torch.full(size, [1.5, 0.5, 0.25][len(drawn) - 1])

    monkeypatch.setattr(change, "uniform", uniform)
    found = change.colored(pixels, 0.5)
    assert drawn == [((1, 1, 1), 0.5, 1.5), ((1, 1, 1), 0.5, 1.5), ((1, 1, 1), -0.5, 0.5)]
    contrast = (pixels - 100) * 1.5 + 100
    grey = contrast.mean(-1, keepdim=True)
    torch.testing.assert_close(found, (contrast - grey) * 0.5 + grey + 32)
    drawn.clear()
    change.colored(pixels[..., :1], 0.5)
    assert len(drawn) == 2  # one colour has no saturation


def test_sounds_move_both_ways_and_silence_fills_in():
    torch.manual_seed(0)
    sounds = torch.arange(1.0, 11.0).view(1, 10, 1).expand(4000, 10, 2)
    lengths = torch.full((4000,), 8)
    found = change.shifted(sounds, lengths, 0.5)
    assert torch.equal(found[:, 8:], sounds[:, 8:])
    offsets = torch.where(found[:, 3, 0] > 0, 4 - found[:, 3, 0], 4)
    assert set(offsets.tolist()) == {-3, -2, -1, 0, 1, 2, 3} | ({4} if (found[:, 3] == 0).any() else set())
    late = found[offsets == 2][0, :, 0]
    early = found[offsets == -2][0, :, 0]
    assert late.tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 9, 10]
    assert early.tolist() == [3, 4, 5, 6, 7, 8, 0, 0, 9, 10]
    assert torch.equal(change.shifted(sounds, lengths, 0.0), sounds)


def test_stretches_have_every_width_and_place_within_the_row():
    torch.manual_seed(0)
    sizes = torch.tensor([4, 8]).repeat(2000)
    chosen = change.stretch(sizes, 10, 0.5)
    assert chosen.shape == (4000, 10)
    for start, size in enumerate((4, 8)):
        rows = chosen[start::2]
        assert not rows[:, size:].any()
        assert set(rows.sum(1).tolist()) == set(range(size // 2 + 1))
        assert ((rows[:, 1:] != rows[:, :-1]).sum(1) <= 2).all()
        one = rows[rows.sum(1) == 1].float().mean(0)
        assert one[:size].min() > 0.5 / size  # every place, about as often
        assert one[:size].max() < 2 / size


def test_random_numbers_fill_their_range_and_pixels_are_rounded():
    torch.manual_seed(0)
    numbers = change.uniform((10_000, 1), torch.zeros(1), -2.0, 6.0)
    assert numbers.shape == (10_000, 1)
    assert -2 <= numbers.min() < -1.98
    assert 5.98 < numbers.max() <= 6
    pixels = change.in_type_of(torch.zeros(1, dtype=torch.uint8), torch.tensor([-3.0, 0.6, 254.6, 300.0]))
    assert pixels.dtype == torch.uint8
    assert pixels.tolist() == [0, 1, 255, 255]
    half = change.in_type_of(torch.zeros(1, dtype=torch.float16), torch.tensor([-3.0, 0.6]))
    assert half.dtype == torch.float16
    assert half[0] == -3


def test_a_warp_keeps_both_ends_and_what_lies_behind():
    torch.manual_seed(0)
    values = torch.arange(20.0).view(1, 20, 1).expand(300, 20, 1)
    lengths = torch.tensor([20, 12, 1]).repeat(100)
    changed = change.warped_in_time(values, lengths, 0.5)
    assert torch.allclose(changed[:, 0], values[:, 0])
    torch.testing.assert_close(changed[1::3, 11:], values[1::3, 11:])
    assert torch.equal(changed[2::3], values[2::3])
    assert (changed[:, 1:] >= changed[:, :-1]).all()  # time goes on
    assert not torch.allclose(changed[0::3], values[0::3], atol=0.5)


def test_pictures_turn_within_their_own_size():
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (40, 3, 12, 10, 1), dtype=torch.uint8)
    heights, widths = torch.tensor([12, 6]).repeat(20), torch.tensor([10, 7]).repeat(20)
    knobs = {"image_shift": 0.0, "image_flip": 0.0, "image_scale": 0.0, "image_turn": 0.0}
    same = change.turned(pixels, heights, widths, SimpleNamespace(**knobs))
    torch.testing.assert_close(same, pixels.float(), atol=1e-3, rtol=0)
    flipped = change.turned(pixels, heights, widths, SimpleNamespace(**{**knobs, "image_flip": 1.0}))
    torch.testing.assert_close(flipped[::2], pixels[::2].flip(3).float(), atol=1e-3, rtol=0)
    for knob, value in (("image_turn", 30.0), ("image_scale", 0.3), ("image_shift", 0.3)):
        changed = change.turned(pixels, heights, widths, SimpleNamespace(**{**knobs, knob: value}))
        assert torch.equal(changed[1::2, :, 6:], pixels[1::2, :, 6:].float())
        assert torch.equal(changed[1::2, :, :, 7:], pixels[1::2, :, :, 7:].float())
        assert not torch.allclose(changed[1::2, :, :6, :7], pixels[1::2, :, :6, :7].float())
