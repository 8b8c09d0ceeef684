import dataclasses

import pytest
import torch
from einops import rearrange

from perceiver_pytorch.data import AudioSpec, Batch, ImageSpec, TextSpec, VideoSpec
from perceiver_pytorch.training.table.augment import augmented, mixed
from perceiver_pytorch.training.table.settings import AugmentConfig

NOTHING = {field.name: 0.0 for field in dataclasses.fields(AugmentConfig) if field.name not in ("enabled", "most_rows")}
IMAGE = ImageSpec("image", 12, 8, 3, 2)
VIDEO = VideoSpec("video", 5.0, 3, 8, 8, 4)
SOUND = AudioSpec("sound", 8000, 40, 4, sides=2)
MEL = AudioSpec("mel", 8000, 400, 40, mel_bands=5, mel_window=80)
TEXT = TextSpec("text", 8)
SPECS = (IMAGE, VIDEO, SOUND, MEL, TEXT)
ROWS = 300


def config(**changes):
    return AugmentConfig(**{**NOTHING, **changes})


@pytest.fixture
def batch():
    torch.manual_seed(0)
    inputs = {
        "image": torch.randint(1, 256, (ROWS, *IMAGE.shape), dtype=torch.uint8),
        "video": torch.randint(1, 256, (ROWS, *VIDEO.shape), dtype=torch.uint8),
        "sound": torch.randn(ROWS, *SOUND.shape),
        "mel": torch.randn(ROWS, *MEL.shape),
        "text": torch.randint(1, 257, (ROWS, 8)),
    }
    # A third of the images is 4 x 3 tokens (8 x 6 pixels), a third of the sounds has 6 tokens.
    image_mask, sound_mask = torch.ones(ROWS, 6, 4, dtype=torch.bool), torch.ones(ROWS, 10, dtype=torch.bool)
    image_mask[::3, 4:] = False
    image_mask[::3, :, 3:] = False
    sound_mask[::3, 6:] = False
    inputs["image"][~image_mask] = 0
    inputs["sound"][~sound_mask] = 0
    masks = {"image": image_mask, "sound": sound_mask}
    return Batch(inputs, masks, {"y": torch.arange(ROWS) % 2}, torch.arange(ROWS))


def pixels(values, patch):
    return rearrange(values, "b ... h w (p q c) -> b ... (h p) (w q) c", p=patch, q=patch)


def change(batch, **changes):
    torch.manual_seed(1)
    return augmented(batch, SPECS, config(**changes))


def test_nothing_changes_unless_a_knob_says_so(batch):
    assert augmented(batch, SPECS, AugmentConfig(enabled=False)) is batch
    for name, values in change(batch).inputs.items():
        assert torch.equal(values, batch.inputs[name]), name


def test_by_default_pictures_and_sounds_change_and_all_else_stays(batch):
    torch.manual_seed(1)
    after = augmented(batch, SPECS, AugmentConfig())
    for name, values in after.inputs.items():
        assert values.dtype == batch.inputs[name].dtype
        assert torch.equal(values, batch.inputs[name]) == (name == "text")
    assert after.masks is batch.masks
    assert after.targets is batch.targets
    torch.manual_seed(1)
    again = augmented(batch, SPECS, AugmentConfig())
    assert all(torch.equal(values, again.inputs[name]) for name, values in after.inputs.items())


def test_what_no_row_of_a_batch_has_stays(batch):
    none = Batch({"mel": torch.zeros(3, 1, 1, 1)}, {"mel": torch.zeros(3, 1, 1, dtype=torch.bool)}, {}, torch.arange(3))
    grid = AudioSpec("mel", 8000, 400, 40, mel_bands=5, mel_window=80, stem="convolution")
    assert augmented(none, [grid], AugmentConfig()).inputs["mel"].shape == (3, 1, 1, 1)


def test_images_move_within_their_own_size_and_repeat_their_edge(batch):
    before, after = pixels(batch.inputs["image"], 2), pixels(change(batch, image_shift=0.25).inputs["image"], 2)
    offsets = set()
    for i in range(ROWS):
        height, width = (8, 6) if i % 3 == 0 else (12, 8)
        assert torch.equal(after[i, height:], before[i, height:])
        assert torch.equal(after[i, :, width:], before[i, :, width:])
        reach = range(-(height // 4), height // 4 + 1), range(-(width // 4), width // 4 + 1)
        found = [
            (dy, dx)
            for dy in reach[0]
            for dx in reach[1]
            if torch.equal(
                after[i, :height, :width],
                before[i, :height, :width][
                    (torch.arange(height) + dy).clamp(0, height - 1)[:, None],
                    (torch.arange(width) + dx).clamp(0, width - 1),
                ],
            )
        ]
        assert found
        offsets |= set(found)
    assert {dy for dy, _ in offsets} == set(range(-3, 4))
    assert {dx for _, dx in offsets} == set(range(-2, 3))


def test_mirrored_images_are_mirrored_within_their_own_width(batch):
    before, after = pixels(batch.inputs["image"], 2), pixels(change(batch, image_flip=0.5).inputs["image"], 2)
    flipped = 0
    for i in range(ROWS):
        width = 6 if i % 3 == 0 else 8
        mirror = torch.cat([before[i, :, :width].flip(1), before[i, :, width:]], dim=1)
        flipped += torch.equal(after[i], mirror)
        assert torch.equal(after[i], mirror) or torch.equal(after[i], before[i])
    assert flipped / ROWS == pytest.approx(0.5, abs=0.12)


def test_all_frames_of_a_video_move_alike(batch):
    batch.inputs["video"][:] = batch.inputs["video"][:, :1]
    after = change(batch, image_shift=0.4, image_flip=0.5, image_color=0.3).inputs["video"]
    assert torch.equal(after, after[:, :1].expand_as(after))
    assert not torch.equal(after, batch.inputs["video"])


def test_colours_change_within_their_share(batch):
    batch.inputs["image"][:] = 100
    after = change(batch, image_color=0.2).inputs["image"].float()
    assert (after - 100).abs().max() <= 26
    assert (after - 100).abs().amax((1, 2, 3)).float().std() > 3
    grey = batch.inputs["image"][..., :1].expand_as(batch.inputs["image"]).contiguous()
    kept = change(dataclasses.replace(batch, inputs={**batch.inputs, "image": grey}), image_color=0.5).inputs["image"]
    assert torch.equal(kept, kept[..., :1].expand_as(kept))  # grey stays grey


def test_sounds_get_louder_noisier_and_later_but_not_longer(batch):
    before = batch.inputs["sound"]
    ratio = change(batch, audio_gain=6.0).inputs["sound"] / before
    loud = ratio.nan_to_num(1.0).flatten(1)
    assert 1.8 < loud.max() < 2
    assert 0.5 < loud.min() < 0.56
    torch.testing.assert_close(loud[:, :10].amax(1), loud[:, :10].amin(1))
    noise = change(batch, audio_noise=0.1).inputs["sound"] - before
    assert 0.03 < noise[1::3].std() < 0.07
    late = change(batch, audio_shift=0.5).inputs["sound"].reshape(ROWS, 40, 2)
    samples, moved = before.reshape(ROWS, 40, 2), set()
    for i in range(ROWS):
        length = 24 if i % 3 == 0 else 40
        for offset in range(-length // 2, length // 2 + 1):
            shifted = torch.zeros_like(samples[i])
            source = slice(max(0, -offset), min(length, length - offset))
            shifted[max(0, offset) : min(length, length + offset)] = samples[i, source]
            if torch.equal(late[i], shifted):
                moved.add(offset)
                break
        else:
            pytest.fail(f"row {i} is no shifted sound")
    assert min(moved) < -10
    assert max(moved) > 10
    for after in (late, noise, change(batch, audio_gain=6.0).inputs["sound"]):
        assert not after.reshape(ROWS, 10, -1)[::3, 6:].any()  # behind the end


def test_log_mel_loses_one_stretch_of_time_and_one_of_bands(batch):
    batch.inputs["mel"][:] = 1
    blank = change(batch, audio_changed=1.0, spec_time=0.3).inputs["mel"] == 0
    assert torch.equal(blank.any(2), blank.all(2))
    widths = blank[..., 0].sum(1)
    assert set(widths.tolist()) == {0, 1, 2, 3}
    edges = (blank[:, 1:, 0] != blank[:, :-1, 0]).sum(1)
    assert edges.max() <= 2
    blank = change(batch, audio_changed=1.0, spec_bands=0.4).inputs["mel"] == 0
    assert torch.equal(blank.any(1), blank.all(1))
    assert set(blank[:, 0].sum(1).tolist()) == {0, 1, 2}


def test_mixed_rows_are_the_sum_of_both_by_their_shares(batch):
    torch.manual_seed(3)
    after, mixture = mixed(batch, config(mixup=1.0))
    assert 0.5 <= mixture.share <= 1
    assert sorted(mixture.partner.tolist()) == list(range(ROWS))
    before = batch.inputs["mel"]
    expected = mixture.share * before + (1 - mixture.share) * before[mixture.partner]
    torch.testing.assert_close(after.inputs["mel"], expected)
    assert after.inputs["image"].dtype == torch.uint8
    assert torch.equal(after.inputs["text"], batch.inputs["text"])
    alone = ~batch.masks["sound"][mixture.partner]  # the partner has no token there
    assert torch.equal(after.inputs["sound"][alone], batch.inputs["sound"][alone])
    assert mixed(batch, config())[1] is None


@pytest.mark.parametrize("wrong", [{"image_shift": 2.0}, {"audio_gain": -1.0}, {"mixup": -0.5}, {"image_flip": -0.1}])
def test_wrong_knobs_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AugmentConfig(**wrong)


def test_two_rows_are_mixed_and_one_alone_is_not(batch):
    def rows(count):
        parts = {name: {key: x[:count] for key, x in getattr(batch, name).items()} for name in ("inputs", "masks")}
        return dataclasses.replace(batch, rows=batch.rows[:count], **parts)

    assert mixed(rows(2), config(mixup=1.0))[1] is not None
    assert mixed(rows(1), config(mixup=1.0))[1] is None
    assert mixed(batch, config(mixup=1.0, enabled=False))[1] is None
