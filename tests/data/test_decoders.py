import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_helpers import png, wav
from perceiver_pytorch.data import (
    AudioSpec,
    CategoriesSpec,
    DataError,
    ImageSpec,
    NumbersSpec,
    SeriesSpec,
    SpecOptions,
    TextSpec,
    VideoSpec,
    Where,
)
from perceiver_pytorch.data.kinds.image import ImageFacts

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

    def test_exif_orientation_is_applied(self):
        from PIL import Image

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
        knobs = SpecOptions()
        grey, odd = ImageFacts(28, 28, True), ImageFacts(30, 20, False)
        assert ImageSpec.fit("x", [grey, grey, grey], knobs) == picture(28, 28, 1, 1)
        assert ImageSpec.fit("x", [grey, grey, odd], knobs) == picture(28, 28, 3, 1)
        assert ImageSpec.fit("x", [ImageFacts(64, 64, True)], knobs) == picture(64, 64, 1, 2)
        assert ImageSpec.fit("x", [ImageFacts(100, 200, True)], knobs) == picture(32, 64, 1, 2)
        assert ImageSpec.fit("x", [odd], SpecOptions(image_patch=8)) == picture(30, 20, 3, 8)
        assert ImageSpec.fit("x", [grey], SpecOptions(image_size=7)) == picture(7, 7, 1, 1)

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

    def test_image_bombs_are_refused(self, monkeypatch):
        from PIL import Image

        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
        with pytest.raises(DataError, match="suspiciously large"):
            picture().encode({"x": png(np.zeros((20, 20), np.uint8))}, WHERE)
        picture().encode({"x": png(np.zeros((8, 8), np.uint8))}, WHERE)  # Pillow only warns of up to twice the limit


class TestFiles:
    def where(self, root, **options):
        return Where("here.csv", root, 17, **options)

    def test_bytes_win_over_the_path(self, tmp_path):
        cell = {"bytes": png(np.full((8, 8), 5, np.uint8)), "path": "missing.png"}
        assert (picture().encode({"x": cell}, self.where(tmp_path)).values == 5).all()

    @pytest.mark.parametrize("cell", [None, "", b"", {"bytes": None, "path": None}, {"bytes": b"", "path": ""}])
    def test_empty_cells_are_missing(self, tmp_path, cell):
        assert picture().encode({"x": cell}, self.where(tmp_path)) is None
        assert AudioSpec("x", 8000, 64, 32).encode({"x": cell}, self.where(tmp_path)) is None

    def test_a_path_may_not_leave_the_folder(self, tmp_path):
        root = tmp_path / "inside"
        root.mkdir()
        outside = tmp_path / "secret.png"
        outside.write_bytes(png(np.zeros((8, 8), np.uint8)))
        (root / "link.png").symlink_to(outside)
        for cell in ("../secret.png", str(outside), "link.png", {"bytes": None, "path": "../secret.png"}):
            with pytest.raises(DataError, match=r"row 17, column 'x': .*leads out of the table's folder"):
                picture().encode({"x": cell}, self.where(root))
            assert picture().encode({"x": cell}, self.where(root, allow_outside=True)) is not None

    @pytest.mark.parametrize(
        ("cell", "message"),
        [("gone.png", "no file 'gone.png'"), (".", "no file"), (3, "type int"), ("a\0b.png", "path|file")],
    )
    def test_unusable_cells_are_named(self, tmp_path, cell, message):
        with pytest.raises(DataError, match=f"row 17, column 'x': .*({message})"):
            picture().encode({"x": cell}, self.where(tmp_path))

    def test_a_path_as_windows_writes_it_is_found(self, tmp_path):
        (tmp_path / "some").mkdir()
        (tmp_path / "some/5.png").write_bytes(png(np.full((8, 8), 5, np.uint8)))
        assert picture().encode({"x": "some\\5.png"}, self.where(tmp_path)) is not None
        with pytest.raises(DataError, match="leads out of the table's folder"):
            picture().encode({"x": "some\\..\\..\\5.png"}, self.where(tmp_path))

    def test_an_address_is_told_from_a_path(self, tmp_path):
        with pytest.raises(DataError, match=r"column 'x': 'https://here\.example/1\.png' is an address; download"):
            picture().encode({"x": "https://here.example/1.png"}, self.where(tmp_path))

    @pytest.mark.parametrize(
        ("spec", "reason"),
        [
            (picture(), r"the image cannot be decoded \(it is in no format that Pillow reads\)"),
            (AudioSpec("x", 8000, 64, 32), r"the sound cannot be decoded \(.*\)"),
            (VideoSpec("x", 5.0, 4, 8, 8, 2), r"the video cannot be decoded \(.*\)"),
            (SeriesSpec("x", 8, (0.0,), (1.0,)), r"the array cannot be read \(it is no NumPy file\)"),
        ],
    )
    def test_a_damaged_file_is_named(self, tmp_path, spec, reason):
        (tmp_path / "bad.npy").write_bytes(b"no such thing")
        for cell in ("bad.npy", {"bytes": None, "path": "bad.npy"}):
            with pytest.raises(DataError, match=rf"row 17, column 'x': {reason}, file 'bad\.npy'$"):
                spec.encode({"x": cell}, self.where(tmp_path))
        with pytest.raises(DataError, match=rf"row 17, column 'x': {reason}$"):
            spec.encode({"x": {"bytes": b"no such thing", "path": "bad.npy"}}, self.where(tmp_path))


class TestAudio:
    def test_samples_are_standardised_and_the_last_token_is_filled(self):
        spec = AudioSpec("x", 8000, 128, 32, mean=0.5, std=0.25)
        encoded = spec.encode({"x": wav(np.full(40, 0.75))}, WHERE)
        assert spec.shape == (4, 32)
        assert encoded.values.shape == (2, 32)
        assert encoded.values.dtype == np.float32
        np.testing.assert_allclose(encoded.values.reshape(-1)[:40], 1.0, atol=2e-4)
        assert (encoded.values.reshape(-1)[40:] == 0).all()
        assert encoded.mask is None
        assert not encoded.changes

    def test_longer_clips_are_cut(self):
        encoded = AudioSpec("x", 8000, 64, 32).encode({"x": wav(np.linspace(0, 1, 65))}, WHERE)
        assert encoded.changes == ("cut",)
        assert encoded.mask is None
        assert not AudioSpec("x", 8000, 64, 32).encode({"x": wav(np.zeros(64))}, WHERE).changes

    def test_rates_and_channels_are_brought_together(self):
        time = np.arange(4800) / 48000
        left = 0.8 * np.sin(2 * np.pi * 440 * time)
        stereo = np.stack([left, np.zeros_like(left)], axis=1)
        values = AudioSpec("x", 8000, 800, 32).encode({"x": wav(stereo, 48000, 2)}, WHERE).values.reshape(-1)
        expected = 0.4 * np.sin(2 * np.pi * 440 * np.arange(800) / 8000)
        np.testing.assert_allclose(values[80:720], expected[80:720], atol=5e-3)

    def test_damage_is_named(self):
        for data in (b"RIFF0000WAVEjunk", b"junk", wav(np.zeros(0))):
            with pytest.raises(DataError, match="row 17, column 'x': the sound"):
                AudioSpec("x", 8000, 64, 32).encode({"x": data}, WHERE)


class TestText:
    def test_bytes_are_ids_from_1(self):
        encoded = TextSpec("x", 8).encode({"x": "aé"}, WHERE)
        assert encoded.values.tolist() == [98, 0xC3 + 1, 0xA9 + 1]

    def test_a_cut_keeps_whole_characters(self):
        encoded = TextSpec("x", 8).encode({"x": "1234567é"}, WHERE)
        assert encoded.changes == ("cut",)
        assert encoded.values.tolist() == [ord(c) + 1 for c in "1234567"]

    def test_a_full_text_has_no_mask_and_the_highest_byte_fits(self):
        encoded = TextSpec("x", 8).encode({"x": "12345678"}, WHERE)
        assert encoded.mask is None
        assert TextSpec("x", 8).vocab_size == 257

    def test_missing_and_other_values(self):
        assert TextSpec("x", 8).encode({"x": None}, WHERE) is None
        assert TextSpec("x", 8).encode({"x": ""}, WHERE) is None
        assert len(TextSpec("x", 8).encode({"x": 12.0}, WHERE).values) == 2

    def test_the_length_is_learned(self):
        assert TextSpec.fit("x", ["a" * 9, None], SpecOptions()).length == 16
        assert TextSpec.fit("x", ["é" * 900], SpecOptions()).length == 512
        assert TextSpec.fit("x", [None], SpecOptions()).length == 8


class TestNumbers:
    spec = NumbersSpec.fit("numbers", {"a": [1.0, 3.0, None], "b": [5.0, 5.0, 5.0], "c": [None, None, None]})

    def test_moments_leave_missing_values_out(self):
        assert self.spec.means == (2.0, 5.0, 0.0)
        assert self.spec.stds == (1.0, 1.0, 1.0)

    def test_values_are_standardised_clipped_and_masked(self):
        encoded = self.spec.encode({"a": 99, "b": "4.5", "c": float("nan")}, WHERE)
        assert encoded.values.tolist() == [[10.0], [-0.5], [0.0]]
        assert encoded.changes == ("clipped",)
        assert encoded.mask.tolist() == [True, True, False]
        assert self.spec.encode({"a": None, "b": "NA", "c": ""}, WHERE) is None

    @pytest.mark.parametrize("cell", ["abc", float("inf"), "-inf", [1], 10**400])
    def test_what_is_no_number_is_named(self, cell):
        with pytest.raises(DataError, match=r"row 17, column 'a': must be a .*number"):
            self.spec.encode({"a": cell, "b": 1, "c": 1}, WHERE)


class TestCategories:
    spec = CategoriesSpec.fit("categories", {"color": ["red", "blue", None], "flag": [True, False, True]})

    def test_each_column_has_its_own_ids(self):
        assert self.spec.values == (("blue", "red"), ("false", "true"))
        assert self.spec.vocab_size == 6
        assert self.spec.encode({"color": "red", "flag": False}, WHERE).values.tolist() == [1, 3]

    def test_unknown_values_share_an_id_and_missing_ones_are_masked(self):
        encoded = self.spec.encode({"color": "green", "flag": None}, WHERE)
        assert encoded.values.tolist() == [2, 5]
        assert encoded.mask.tolist() == [True, False]
        assert self.spec.encode({"color": None, "flag": None}, WHERE) is None
