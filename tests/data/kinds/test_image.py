"""Image columns."""

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from einops import rearrange
from PIL import Image

from data_helpers import SHARE, WHOLE, check_bounds, declared, png, table_of
from perceiver_pytorch.data import DataError, ImageSpec, SpecOptions, Where, drawing
from perceiver_pytorch.data.kinds.image import (
    ImageFacts,
    ImageKind,
    ImageSettings,
    PictureAugmentation,
    box,
    box_changes,
    patch_for,
    patches,
    whole,
)
from perceiver_pytorch.data.media.fitting import Box, fitted
from perceiver_pytorch.data.train_rows import TrainRows

WHERE = Where("here.csv", Path("/nowhere"), 17)


def picture(height=8, width=8, colors=1, patch=1):
    return ImageSpec("x", height, width, colors, patch)


class TestImage:
    def test_pixels_come_through_unchanged(self):
        pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
        encoded = picture().encode({"x": png(pixels)}, WHERE)
        assert encoded.values.dtype == np.uint8
        assert np.array_equal(encoded.values[..., 0], pixels)
        assert encoded.mask is None

    def test_a_patch_is_ordered_by_row_column_colour(self):
        pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
        values = picture(4, 6, 3, 2).encode({"x": png(pixels)}, WHERE).values
        assert values.shape == (2, 3, 12)
        assert np.array_equal(values[1, 2], pixels[2:4, 4:6].reshape(-1))

    def test_other_sizes_are_resized(self):
        cell = {"x": png(np.full((50, 20), 90, np.uint8))}
        fitted = picture(4, 4).encode(cell, WHERE)
        assert fitted.values.shape == (4, 2, 1)
        assert fitted.changes == ("resized", "padded")
        stretched = replace(picture(4, 4), filling="stretch").encode(cell, WHERE)
        assert stretched.values.shape == (4, 4, 1)
        assert stretched.changes == ("resized", "stretched")
        assert (fitted.values == 90).all()
        assert (stretched.values == 90).all()

    def test_an_image_of_the_boxs_size_is_unchanged(self):
        assert picture(8, 8).encode({"x": png(np.full((8, 8), 90, np.uint8))}, WHERE).changes == ()

    def test_zeros_fill_the_last_patches(self):
        values = picture(5, 7, 1, 4).encode({"x": png(np.full((5, 7), 90, np.uint8))}, WHERE).values
        assert values.shape == (2, 2, 16)
        assert np.array_equal(values[1, 1].reshape(4, 4), [[90, 90, 90, 0], *[[0] * 4] * 3])

    def test_transparency_lies_on_white(self):
        pixels = np.zeros((8, 8, 4), np.uint8)
        pixels[:4, :, 3] = 255
        values = picture(colors=3).encode({"x": png(pixels)}, WHERE).values
        assert (values[:4] == 0).all()
        assert (values[4:] == 255).all()

    def test_a_palette_becomes_colours(self):
        pixels = np.zeros((8, 8, 3), np.uint8)
        pixels[..., 0] = 255
        values = picture(colors=3).encode({"x": png(pixels, "P")}, WHERE).values
        assert (values == [255, 0, 0]).all()

    def test_16_bits_are_scaled(self):
        pixels = np.full((8, 8), 257 * 100, np.uint16)
        assert (picture().encode({"x": png(pixels)}, WHERE).values == 100).all()

    @pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
    def test_16_bit_files_are_read_in_as_many_bits_as_they_use(self, bits):
        peak = 2**bits - 1
        ramp = np.linspace(0, peak, 64).reshape(8, 8).astype(np.uint16)
        facts = ImageFacts.look(png(ramp))
        assert facts == ImageFacts(8, 8, True, peak)
        spec = ImageSpec.fit("x", [facts, ImageFacts(8, 8, True)], SpecOptions(image_patch=1))
        assert spec.white == peak
        encoded = spec.encode({"x": png(ramp)}, WHERE)
        assert (encoded.values.min(), encoded.values.max(), encoded.changes) == (0, 255, ())
        brighter = spec.encode({"x": png(np.minimum(ramp * 2 + 2, 65535).astype(np.uint16))}, WHERE)
        assert brighter.changes == (("bright",) if bits < 16 else ())
        assert ("of 16 bits" in spec.note()) == (bits < 16)

    def test_colours_that_are_read_as_grey_are_told(self):
        pixels = np.full((8, 8, 3), 90, np.uint8)
        assert picture().encode({"x": png(pixels)}, WHERE).changes == ()
        pixels[3, 3, 0] = 200
        assert picture().encode({"x": png(pixels)}, WHERE).changes == ("colored",)
        assert picture(colors=3).encode({"x": png(pixels)}, WHERE).changes == ()

    @pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
    def test_frames_that_are_not_read_are_told(self, kind):
        frames = [Image.fromarray(np.full((8, 8), shade, np.uint8)) for shade in (0, 255)]
        for count in (1, 2):
            buffer = io.BytesIO()
            frames[0].save(buffer, format=kind, save_all=True, append_images=frames[1:count])
            encoded = picture().encode({"x": buffer.getvalue()}, WHERE)
            assert encoded.changes == ("several",) * (count - 1)
            assert encoded.values.max() <= 2

    def test_exif_orientation_is_applied(self):
        image, buffer = (
            Image.fromarray(np.repeat([[0], [255]], 4, axis=0).repeat(8, axis=1).astype(np.uint8)),
            io.BytesIO(),
        )
        exif = Image.Exif()
        exif[0x0112] = 3  # upside down
        image.save(buffer, format="JPEG", exif=exif)
        values = picture().encode({"x": buffer.getvalue()}, WHERE).values
        assert values[:4].mean() > 250
        assert values[4:].mean() < 5

    def test_size_colour_and_patch_are_learned(self):
        knobs = SpecOptions(image_stem="none")
        grey, odd = ImageFacts(28, 28, True), ImageFacts(30, 20, False)
        assert ImageSpec.fit("x", [grey, grey, grey], knobs) == picture(28, 28, 1, 1)
        assert ImageSpec.fit("x", [grey, grey, odd], knobs) == picture(28, 28, 3, 1)
        assert ImageSpec.fit("x", [ImageFacts(64, 64, True)], knobs) == picture(64, 64, 1, 2)
        assert ImageSpec.fit("x", [ImageFacts(100, 200, True)], knobs) == picture(32, 64, 1, 2)
        assert ImageSpec.fit("x", [odd], SpecOptions(image_patch=8, image_stem="none")) == picture(30, 20, 3, 8)
        assert ImageSpec.fit("x", [grey], SpecOptions(image_size=7, image_stem="none")) == picture(7, 7, 1, 1)
        large = ImageFacts(64, 64, True)
        assert ImageSpec.fit("x", [large], SpecOptions()) == replace(picture(64, 64, 1, 1), stem="convolution")
        assert ImageSpec.fit("x", [large], SpecOptions(image_patch=8)) == replace(
            picture(64, 64, 1, 8), stem="convolution"
        )

    def test_facts_see_colour(self):
        grey = np.full((3, 4, 3), 9, np.uint8)
        assert ImageFacts.look(png(grey)) == ImageFacts(3, 4, True)
        grey[0, 0, 0] = 10
        assert ImageFacts.look(png(grey)) == ImageFacts(3, 4, False)

    @pytest.mark.parametrize(
        "data", [b"\x89PNG\r\n\x1a\n1234", png(np.zeros((90, 90), np.uint8))[:60], b"%!PS-Adobe-3.0 EPSF"]
    )
    def test_damage_is_named_with_its_row(self, data):
        with pytest.raises(DataError, match=r"here.csv: row 17, column 'x': the image cannot be decoded") as caught:
            picture().encode({"x": data}, WHERE)
        assert (caught.value.row, caught.value.column) == (17, "x")

    @pytest.mark.parametrize(("mode", "megabytes"), [("L", 4), ("RGB", 16), ("P", 20), ("RGBA", 32)])
    def test_an_image_takes_no_more_memory_than_a_cell_may(self, mode, megabytes):
        data = png(np.zeros((2048, 2048), np.uint8), mode)
        message = (
            rf"takes {megabytes} MB .*\(2048x2048 pixels\), .* may take {megabytes - 1} MB; --cell-mb {megabytes} a"
        )
        with pytest.raises(DataError, match=message):
            picture().encode({"x": data}, replace(WHERE, cell_bytes=(megabytes << 20) - 1))
        assert picture().encode({"x": data}, replace(WHERE, cell_bytes=megabytes << 20)) is not None

    def test_the_setting_wins_over_pillows_own_limit(self):
        data = png(np.zeros((12000, 15000), bool))
        with pytest.raises(DataError, match="takes 344 MB"):
            picture().encode({"x": data}, replace(WHERE, cell_bytes=64 << 20))
        assert picture().encode({"x": data}, replace(WHERE, cell_bytes=344 << 20)) is not None


SPEC = ImageSpec("x", 10, 6, 3, 4)


def test_numbers_of_a_spec():
    assert (SPEC.axes, SPEC.channels, SPEC.resolution, SPEC.seconds, SPEC.file_columns) == (
        (3, 2),
        48,
        3.0,
        0.0,
        ("x",),
    )
    assert (SPEC.layout(), SPEC.token_options()) == (
        {"patch": 4, "colors": 3},
        {"image_patch": 4, "image_stem": "none"},
    )
    assert SPEC.note() == "10x6 RGB, fitted and padded, 4x4 patches"
    assert ImageSpec("x", 8, 9, 1, 1, "stretch", 4095).note() == "8x9 grey, 12 of 16 bits, stretched, single pixels"
    convolved = ImageSpec("x", 28, 28, 1, 1, stem="convolution")
    assert convolved.note() == "28x28 grey, fitted and padded, single pixels, 3 convolutions to 7x7 tokens"
    assert (convolved.model_input().stem, convolved.model_input().resolution) == (convolved.stem_config, 7.0)
    assert (SPEC.model_input().stem, SPEC.model_input().resolution) == (None, 3.0)
    options, changes = ImageSettings(), PictureAugmentation()
    assert (options.image_size, options.max_image_size) == (None, 64)
    assert (options.image_patch, options.max_image_tokens) == (None, 1024)
    assert (changes.image_shift, changes.image_flip, changes.image_color) == (0.1, 0.0, 0.2)
    assert (options.image_stem, changes.image_scale, changes.image_turn) == ("convolution", 0.1, 8.0)
    assert {"incomplete", "bright", "colored", "several"} == set(SPEC.changes) - SPEC.harmless


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"height": 0}, "height must be"),
        ({"width": 0}, "width must be"),
        ({"patch": 0}, "patch must be"),
        ({"white": 0}, "white must be"),
        ({"colors": 2}, "colors must be"),
        ({"filling": "crop"}, "filling must be"),
    ],
)
def test_wrong_numbers_are_named(fields, reason):
    with pytest.raises(ValueError, match=reason):
        ImageSpec(**{"name": "x", "height": 4, "width": 4, "colors": 1, "patch": 1, **fields})


def test_the_box_has_the_most_common_proportions():
    assert box([(10, 20), (10, 20), (30, 30)], None, 64) == (10, 20)
    assert box([(64, 64)], None, 64) == (64, 64)
    assert box([(65, 130)], None, 64) == (32, 64)
    assert box([(130, 65)], 32, 64) == (32, 16)
    assert box([(10, 20)], 40, 5) == (20, 40)  # what is asked for is made larger, too
    assert box([(1, 1000)], None, 64) == (1, 64)
    assert box([(1000, 1)], None, 64) == (64, 1)


def test_patches_are_as_small_as_the_tokens_allow():
    assert patch_for(32, 32, 1024, "none") == 1
    assert patch_for(32, 33, 1024, "none") == 2
    assert patch_for(5, 5, 9, "none") == 2
    assert patch_for(5, 5, 8, "none") == 4
    assert patch_for(60, 64, 64, "none") == 8
    assert patch_for(65, 64, 64, "none") == 16
    assert patch_for(500, 500, 1, "none") == 16
    assert patch_for(500, 500, 1, "convolution") == 1


@pytest.mark.parametrize(
    ("before", "after", "fit", "expected"),
    [
        ((4, 4), (4, 4), "pad", ()),
        ((8, 8), (4, 4), "pad", ("resized",)),
        ((4, 2), (4, 2), "pad", ("padded",)),
        ((8, 4), (4, 2), "pad", ("resized", "padded")),
        ((8, 4), (4, 4), "stretch", ("resized", "stretched")),
        ((8, 8), (4, 4), "stretch", ("resized",)),
    ],
)
def test_what_was_done_to_fit_into_the_box(before, after, fit, expected):
    assert box_changes(before, after, (4, 4), fit) == expected


def test_patches_are_put_together_again():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 4, 3), np.uint8)
    np.testing.assert_array_equal(whole(patches(pixels, 4), 4, 3), pixels)
    grey = whole(patches(pixels[..., :1], 2), 2, 1)
    np.testing.assert_array_equal(grey, pixels[..., 0])
    odd = patches(pixels[:, :7, :3], 4)
    assert odd.shape == (2, 2, 1, 48)
    np.testing.assert_array_equal(whole(odd, 4, 3)[:, :7, :3], pixels[:, :7, :3])
    assert not whole(odd, 4, 3)[:, 7:].any()
    assert not whole(odd, 4, 3)[:, :, 3:].any()


def test_files_are_shown_as_the_model_saw_them(monkeypatch):
    shown = []
    monkeypatch.setattr(drawing, "png", lambda pixels: shown.append(pixels) or "png")
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    spec = picture(4, 4, 1, 2)
    assert spec.example(spec.encode({"x": png(pixels)}, WHERE), {}) == [{"kind": "image", "name": "x", "value": "png"}]
    np.testing.assert_array_equal(shown[0], pixels)


def test_empty_cells_are_missing():
    assert all(picture().encode({"x": cell}, WHERE) is None for cell in (None, "", b"", {"bytes": None, "path": None}))


def test_pictures_move_and_turn_within_their_own_size():
    torch.manual_seed(0)
    quiet = PictureAugmentation(image_shift=0.0, image_flip=0.0, image_color=0.0, image_scale=0.0, image_turn=0.0)
    values = torch.randint(1, 256, (300, 3, 2, 48), dtype=torch.uint8)  # 12 x 8 pixels
    mask = torch.ones(300, 3, 2, dtype=torch.bool)
    mask[::2, 2:] = mask[::2, :, 1:] = False  # 8 x 4 pixels
    values[~mask] = 0
    assert torch.equal(SPEC.augmented(values, mask, quiet), values)

    def pixels(tokens):
        return rearrange(tokens, "b h w (p q c) -> b (h p) (w q) c", p=4, q=4)

    before, flipped = pixels(values), pixels(SPEC.augmented(values, mask, replace(quiet, image_flip=1.0)))
    assert torch.equal(flipped[1::2], before[1::2].flip(2))
    assert torch.equal(flipped[::2, :, :4], before[::2, :, :4].flip(2))
    assert torch.equal(flipped[::2, :, 4:], before[::2, :, 4:])
    moved = pixels(SPEC.augmented(values, mask, replace(quiet, image_shift=0.25)))
    assert torch.equal(moved[::2, 8:], before[::2, 8:])
    assert torch.equal(moved[::2, :, 4:], before[::2, :, 4:])
    assert (moved[::2, :8, :4] > 0).all()
    offsets = {
        (dy, dx)
        for dy in range(-4, 5)
        for dx in range(-3, 4)
        if (moved[1::2, 5, 3] == before[1::2, 5 + dy, 3 + dx]).all(1).any()
    }
    assert {dy for dy, _ in offsets} == set(range(-3, 4))
    assert {dx for _, dx in offsets} == set(range(-2, 3))
    colored = SPEC.augmented(values, mask, replace(quiet, image_color=0.5))
    assert not torch.equal(colored, values)
    assert colored.dtype == torch.uint8


def test_pictures_are_learned_from_files_that_can_be_read(tmp_path):
    cells = [png(np.full((6, 9), 9, np.uint8)), b"\x89PNG\r\n\x1a\njunk", None, png(np.full((6, 9), 7, np.uint8))] * 3
    table = table_of(tmp_path, x=cells, y=["a", "b"] * 6)
    kind = ImageKind()
    (spec,) = kind.learn(["x"], TrainRows(table, np.arange(12), SpecOptions(), allow_outside=False))
    assert spec == ImageSpec("x", 6, 9, 1, 1, stem="convolution")
    assert kind.recognises(SimpleNamespace(media="image"))
    assert not kind.recognises(SimpleNamespace(media="video"))


def test_what_the_kind_declares():
    spec = (ImageSpec, "image", "uint8")
    assert declared(ImageKind()) == ("image", spec, ImageSettings, PictureAugmentation, False, False)
    check_bounds(ImageSettings, image_size=WHOLE, max_image_size=WHOLE, image_patch=WHOLE, max_image_tokens=WHOLE)
    check_bounds(ImageSettings, image_fit=(("pad", "stretch"), ("crop",)))
    check_bounds(PictureAugmentation, image_shift=SHARE, image_flip=SHARE, image_color=SHARE)


def test_sizes_that_fit_into_a_box():
    assert fitted(10, 20, 8, 8, "pad") == (4, 8)
    assert fitted(20, 10, 8, 8, "pad") == (8, 4)
    assert fitted(2, 4, 8, 12, "pad") == (6, 12)  # small ones grow
    assert fitted(1000, 1, 8, 8, "pad") == (8, 1)
    assert fitted(1, 1000, 8, 8, "pad") == (1, 8)
    assert fitted(1000, 1, 8, 9, "stretch") == (8, 9)
    assert Box(8, 9, "stretch")(5, 5) == (8, 9)
    assert Box(8, 9, "pad")(5, 5) == (8, 8)


def test_how_many_pictures_are_looked_at():
    seen = []
    look = lambda name, look, most: seen.append((name, most)) or iter([ImageFacts(4, 4, True)])  # noqa: E731
    ImageKind().learn(["x"], SimpleNamespace(look=look, options=lambda name: SpecOptions()))
    assert seen == [("x", 256)]
