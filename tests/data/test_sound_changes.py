"""Random changes of log-mel energies."""

from dataclasses import replace

import pytest
import torch

from perceiver_pytorch.data.kinds.audio import AudioAugmentation
from perceiver_pytorch.data.sound_changes import another_take, blanked, warped

QUIET = AudioAugmentation(
    audio_shift=0.0,
    audio_warp=0.0,
    audio_stretch=0.0,
    audio_equaliser=0.0,
    audio_floor=0.0,
    spec_time=0.0,
    spec_bands=0.0,
)
LENGTHS = torch.tensor([40, 20, 1])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def energies(batch=3, sides=2, steps=40, bands=16):
    values = -10 * torch.rand(batch, sides, steps, bands)
    return values - values[:, :, :1].amax((1, 2, 3), keepdim=True)


def test_without_knobs_nothing_changes():
    given = energies().clamp(-10, 0)
    given[:, 0, 0, 0] = 0.0
    torch.testing.assert_close(another_take(given, LENGTHS, QUIET), given, atol=2e-5, rtol=0)
    assert torch.equal(blanked(given, LENGTHS, QUIET), given)


@pytest.mark.parametrize("knob", ["audio_shift", "audio_warp", "audio_stretch", "audio_equaliser", "audio_floor"])
def test_what_lies_behind_the_end_stays_and_a_take_keeps_its_range(knob):
    given = energies()
    changed = another_take(given, LENGTHS, replace(QUIET, **{knob: 0.5}))
    assert not torch.allclose(changed[0], given[0], atol=1e-3)
    for row, length in enumerate(LENGTHS):
        assert torch.equal(changed[row, :, length:], given[row, :, length:])
        inside = changed[row, :, :length]
        assert inside.amax() == pytest.approx(0, abs=1e-5)
        assert inside.amin() >= -10


def test_a_warp_moves_bands_from_the_lowest_on():
    given = torch.full((64, 1, 5, 32), -10.0)
    given[..., 0] = given[..., 16] = 0.0
    changed = warped(given, torch.full((64,), 5), replace(QUIET, audio_warp=0.25))
    assert (changed[..., 0] == 0).all()
    peaks = changed[:, 0, 2, 1:].argmax(1) + 1
    assert peaks.min() in (13, 14)
    assert peaks.max() in (20, 21)


def test_a_shift_leaves_silence_where_nothing_was():
    given = torch.zeros(64, 1, 40, 4)
    changed = warped(given, torch.full((64,), 40), replace(QUIET, audio_shift=0.5))
    silent = (changed == -10).all(3)[:, 0]
    assert 15 <= silent.sum(1).max() <= 20
    assert (silent[:, 0] | silent[:, -1]).float().mean() > 0.9


def test_an_equaliser_changes_all_steps_alike():
    given = torch.full((8, 1, 6, 32), -5.0)
    changed = another_take(given, torch.full((8,), 6), replace(QUIET, audio_equaliser=6.0))
    torch.testing.assert_close(changed, changed[:, :, :1].expand_as(changed))
    spread = changed[:, 0, 0].amax(1) - changed[:, 0, 0].amin(1)
    assert 0.5 < spread.max() < 2.8  # at most twice 6 dB


def test_noise_lifts_what_is_soft_and_leaves_what_is_loud():
    given = torch.full((200, 1, 2, 2), -10.0)
    given[:, :, 0, 0] = 0.0
    changed = another_take(given, torch.full((200,), 2), replace(QUIET, audio_floor=0.5))
    assert (changed[:, 0, 0, 0] == 0).all()
    soft = changed[:, 0, 1, 1]
    assert -10 <= soft.min() < -9
    assert -5.1 < soft.max() < -4.9


def test_blanks_are_stretches_of_time_and_bands():
    given = torch.ones(300, 2, 40, 16)
    blank = blanked(given, torch.full((300,), 20), replace(QUIET, spec_time=0.2, spec_bands=0.5)) == 0
    assert torch.equal(blank[:, 0], blank[:, 1])
    assert set(blank[:, 0].all(2).sum(1).tolist()) == {0, 1, 2, 3, 4}
    assert not blank[:, 0].all(2)[:, 20:].any()
    assert set(blank[:, 0].all(1).sum(1).tolist()) == set(range(9))
