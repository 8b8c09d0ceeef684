"""Images of every kind that Pillow reads, large ones, and damaged ones."""

import io
import tracemalloc
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from perceiver_pytorch.data import DataError, ImageSpec, Where
from perceiver_pytorch.data.media import image_file
from perceiver_pytorch.data.media.image_file import ImageFacts, read_image, to_array

WHERE = Where("here.csv", Path("/nowhere"), 17)
COLORS = np.zeros((12, 16, 3), np.uint8)
COLORS[:, :8] = (200, 30, 60)
COLORS[:, 8:] = (20, 160, 90)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


FORMATS = {
    "PNG": "RGB L RGBA P 1 LA",
    "TIFF": "RGB L RGBA P CMYK 1 LA",
    "JPEG": "RGB L CMYK",
    "WEBP": "RGB L RGBA P",
    "BMP": "RGB L P 1",
    "GIF": "RGB L RGBA P 1",
    "PPM": "RGB L 1",
    "TGA": "RGB L RGBA P LA",
    "ICO": "RGB RGBA",
    "JPEG2000": "RGB L RGBA LA",
    "PCX": "RGB L P 1",
    "SGI": "RGB L RGBA",
    "DDS": "RGB L RGBA",
}


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind in FORMATS for mode in FORMATS[kind].split()])
def test_every_format_and_mode_is_what_pillow_shows(kind, mode):
    image = Image.fromarray(COLORS).convert(mode)
    data = saved(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    got = to_array(read_image(data).image, 3).astype(int)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 2


def test_the_first_frame_of_several_is_taken():
    frames = [Image.fromarray(np.full((8, 8, 3), shade, np.uint8)) for shade in (10, 200)]
    for kind in ("GIF", "WEBP", "TIFF", "PNG"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert np.abs(to_array(read_image(data).image, 1).astype(int) - 10).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_orientation_is_that_of_pillows_own_transposition(orientation, kind):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    ramp = np.add.outer(np.arange(40) * 3, np.arange(64)).astype(np.uint8)
    data = saved(Image.fromarray(ramp), kind, exif=exif)
    with Image.open(io.BytesIO(data)) as file:
        expected = ImageOps.exif_transpose(file).convert("L")
    picture = read_image(data)
    assert (picture.width, picture.height) == expected.size
    assert np.abs(to_array(picture.image, 1)[..., 0].astype(int) - np.asarray(expected, int)).max() <= 3
    small = read_image(data, lambda height, width: (height // 4, width // 4))
    assert small.image.size == (expected.width // 4, expected.height // 4)
    assert np.abs(to_array(small.image, 1)[..., 0] - np.asarray(expected.reduce(4), float)).max() < 8


@pytest.mark.parametrize("shade", [0, 100, 65535])
def test_16_bits_are_scaled_and_unknown_ranges_refused(shade):
    data = saved(Image.fromarray(np.full((300, 4), shade, np.uint16)), "PNG")
    assert (to_array(read_image(data).image, 1) == round(shade / 257)).all()
    with pytest.raises(ValueError, match="must have 16 bits at most, got 70000"):
        read_image(saved(Image.fromarray(np.full((4, 4), 70000, np.int32)), "TIFF"))
    with pytest.raises(ValueError, match="must lie between 0 and 1, got"):
        read_image(saved(Image.fromarray(np.full((4, 4), 7, np.float32)), "TIFF"))
    half = read_image(saved(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "TIFF"))
    assert np.abs(to_array(half.image, 1) - 127.5).max() <= 0.5


def test_a_large_jpeg_is_decoded_small():
    data = saved(Image.new("RGB", (6000, 4000), (200, 30, 60)), "JPEG")
    spec = ImageSpec("x", 40, 60, 3, 4)
    tracemalloc.start()
    encoded = spec.encode({"x": data}, WHERE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6000 * 4000
    assert encoded.values.shape == (10, 15, 48)
    assert np.abs(encoded.values.reshape(-1, 3).astype(int) - (200, 30, 60)).max() <= 3


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0"}])
def test_a_webp_takes_no_memory_before_its_size_is_looked_at(options):
    data = saved(Image.new("RGB", (700, 300)), "WEBP", **options)
    with pytest.raises(ValueError, match=r"takes 2 MB .*\(700x300 pixels\)"):
        read_image(data, most=1 << 20)
    assert read_image(data, most=2 << 20).image.size == (700, 300)


def test_a_jpeg_that_was_cut_off_and_closed_is_told_from_one_that_ends_in_grey():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    whole = saved(Image.fromarray(noise), "JPEG")
    cut = whole[: len(whole) // 2] + b"\xff\xd9"
    noise[32:] = 128
    grey = saved(Image.fromarray(noise), "JPEG")
    assert [read_image(data).incomplete for data in (whole, cut, grey)] == [False, True, False]
    assert "incomplete" in ImageSpec("x", 64, 64, 3, 4).encode({"x": cut}, WHERE).changes
    assert read_image(whole[: len(whole) // 2] + bytes(len(whole) // 2)).incomplete
    with pytest.raises(ValueError, match="truncated"):
        read_image(whole[: len(whole) // 2])


def test_programs_are_not_started_for_an_image():
    with pytest.raises(DataError, match="cannot be decoded"):
        ImageSpec("x", 8, 8, 3, 4).encode({"x": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"}, WHERE)


WHOLE = {
    "PNG": saved(Image.fromarray(COLORS), "PNG"),
    "JPEG": saved(Image.fromarray(COLORS), "JPEG"),
    "GIF": saved(Image.fromarray(COLORS), "GIF"),
    "TIFF": saved(Image.fromarray(COLORS), "TIFF", compression="tiff_lzw"),
    "WEBP": saved(Image.fromarray(COLORS), "WEBP"),
    "BMP": saved(Image.fromarray(COLORS), "BMP"),
}
CHANGES = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=12)


@given(st.sampled_from(sorted(WHOLE)), CHANGES, st.data())
@settings(max_examples=200, deadline=None)
def test_mutated_files_are_read_or_refused(kind, changes, data):
    content = bytearray(WHOLE[kind])
    for place, value in changes:
        content[place % len(content)] = value
    content = content[: data.draw(st.integers(1, len(content)))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            encoded = ImageSpec("x", 8, 8, 3, 4).encode({"x": bytes(content)}, WHERE)
        except DataError:
            return
    assert encoded.values.shape[-1] == 48


def test_a_picture_is_grey_where_all_its_pixels_are():
    pixels = np.full((4, 5, 3), 9, np.uint8)
    assert read_image(saved(Image.fromarray(pixels), "PNG")).grey
    assert read_image(saved(Image.fromarray(pixels[..., 0]), "PNG")).grey
    pixels[3, 4, 1] = 10
    picture = read_image(saved(Image.fromarray(pixels), "PNG"))
    assert (picture.grey, picture.peak, picture.several, picture.incomplete) == (False, 0, False, False)
    assert to_array(picture.image, 3).shape == (4, 5, 3)
    assert to_array(picture.image, 1).shape == (4, 5, 1)


def test_facts_of_large_images_are_looked_at_small():
    pixels = np.zeros((600, 1200, 3), np.uint8)
    pixels[:, :600, 0] = 255
    assert ImageFacts.look(saved(Image.fromarray(pixels), "PNG")) == ImageFacts(600, 1200, False)
    seen = []
    real = image_file._upright
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_file, "_upright", lambda *args: seen.append(real(*args)) or seen[-1])
        ImageFacts.look(saved(Image.fromarray(pixels), "PNG"))
        ImageFacts.look(saved(Image.fromarray(pixels[:512, :512]), "PNG"))
    assert [picture.image.size for picture in seen] == [(512, 256), (512, 512)]


@pytest.mark.parametrize(
    ("image", "kind", "options", "each"),
    [
        (Image.new("L", (64, 64)), "PNG", {}, 1),
        (Image.new("1", (64, 64)), "PNG", {}, 2),
        (Image.new("RGB", (64, 64)), "PNG", {}, 4),
        (Image.new("P", (64, 64)), "PNG", {}, 5),
        (Image.new("LA", (64, 64)), "PNG", {}, 8),
        (Image.new("RGBA", (64, 64)), "PNG", {}, 8),
        (Image.new("CMYK", (64, 64)), "TIFF", {}, 8),
        (Image.fromarray(np.zeros((64, 64), np.uint16)), "PNG", {}, 3),
        (Image.fromarray(np.zeros((64, 64), np.float32)), "TIFF", {}, 5),
        (Image.new("RGB", (64, 64)), "JPEG", {}, 4),
        (Image.new("RGB", (64, 64)), "JPEG", {"progressive": True}, 10),
        (Image.new("L", (64, 64)), "JPEG", {"progressive": True}, 3),
    ],
)
def test_bytes_that_a_pixel_takes(image, kind, options, each):
    data = saved(image, kind, **options)
    assert read_image(data, most=each * 64 * 64).image.size == (64, 64)
    with pytest.raises(ValueError, match=r"the image takes 1 MB .*\(64x64 pixels\)"):
        read_image(data, most=each * 64 * 64 - 1)


def test_a_large_jpeg_takes_what_it_is_decoded_to():
    data = saved(Image.new("RGB", (640, 640)), "JPEG")
    quarter = 4 * 160 * 160
    assert read_image(data, lambda *_: (80, 80), quarter).image.size == (80, 80)
    with pytest.raises(ValueError, match=r"\(640x640 pixels\)"):
        read_image(data, lambda *_: (80, 80), quarter - 1)
    assert read_image(data, lambda *_: (80, 81), 4 * quarter).height == 640
    with pytest.raises(ValueError, match="takes"):
        read_image(data, lambda *_: (80, 81), 4 * quarter - 1)  # a quarter is less than twice what is wanted


def test_16_bits_may_end_at_another_white_and_rows_are_read_in_parts():
    ramp = np.linspace(0, 4095, 600 * 2).reshape(600, 2).astype(np.uint16)
    data = saved(Image.fromarray(ramp), "PNG")
    picture = read_image(data, white=4095)
    np.testing.assert_array_equal(to_array(picture.image, 1)[..., 0], np.round(ramp / (4095 / 255)))
    assert picture.peak == 4095
    bright = to_array(read_image(data, white=1023).image, 1)
    assert bright[ramp > 1023].min() == 255
    assert to_array(read_image(data).image, 1).max() == 16


def test_transparency_in_every_form_lies_on_white():
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.putpixel((1, 0), 1)
    assert to_array(read_image(saved(palette, "PNG", transparency=0)).image, 3).tolist() == [[[255] * 3, [255, 0, 0]]]
    alpha = Image.fromarray(np.array([[[0, 255], [0, 0], [100, 128]]], np.uint8))
    assert alpha.mode == "LA"
    picture = read_image(saved(alpha, "PNG"))
    assert picture.image.mode == "L"
    assert to_array(picture.image, 1)[0, :, 0].tolist() == [0, 255, pytest.approx(177, abs=1)]
    grey = Image.fromarray(np.array([[7, 9]], np.uint8))
    assert to_array(read_image(saved(grey, "PNG", transparency=7)).image, 1)[0, :, 0].tolist() == [255, 9]


def test_a_jpeg_whose_corner_is_of_one_grey_of_its_own():
    whole = np.full((64, 64, 3), 128, np.uint8)
    assert not read_image(saved(Image.fromarray(whole), "JPEG")).incomplete
    assert not read_image(saved(Image.fromarray(whole), "PNG")).incomplete
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), "JPEG")
    assert not read_image(data + bytes(20)).incomplete  # zeros behind its end
    assert not read_image(data).incomplete


def test_modes_of_8_bits_that_images_go_on_in():
    modes = {"L": "L", "1": "L", "F": "L", "I": "L", "I;16": "L", "LA": "LA", "La": "LA", "PA": "RGBA", "RGBA": "RGBA"}
    for mode, goes_on in {**modes, "RGBa": "RGBA", "RGB": "RGB", "P": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}.items():
        assert image_file._mode(SimpleNamespace(mode=mode, info={})) == goes_on
    assert image_file._mode(SimpleNamespace(mode="L", info={"transparency": 0})) == "RGBA"


def test_frames_of_a_file_that_is_damaged_behind_the_first_are_none():
    class Damaged:
        is_animated = property(lambda self: 1 / 0)

        def seek(self, frame):
            self.frame = frame

    damaged = Damaged()
    assert image_file._has_frames(damaged) is False
    assert damaged.frame == 0
    assert image_file._has_frames(SimpleNamespace(is_animated=True)) is True
    assert image_file._has_frames(SimpleNamespace(is_animated=False)) is False


def test_an_end_of_zeros_after_the_last_scan_never_arrived(tmp_path):
    scan, end = b"\xff\xda", b"\xff\xd9"
    never = image_file._never_arrived
    assert never(b"\1" + scan + b"\1" + bytes(16))
    assert not never(b"\1" + scan + b"\1" + bytes(15))
    assert not never(scan + b"\1" + end + bytes(16))
    assert never(end + scan + b"\1" + bytes(16))
    assert not never(bytes(16))  # no scan begins
    assert never(scan) is False
    (tmp_path / "a.jpg").write_bytes(scan + b"\1" + bytes(99))
    assert never(tmp_path / "a.jpg")


def test_a_corner_of_one_block_tells_a_grey_end():
    def ends(width, height, shade, corner, mode="L"):
        image = Image.new(mode, (width, height), (shade,) * 3 if mode == "RGB" else shade)
        image.paste((128,) * 3 if mode == "RGB" else 128, (width - corner, height - corner, width, height))
        return image_file._ends_grey(image)

    assert ends(20, 20, 9, 8)
    assert not ends(20, 20, 9, 7)
    assert ends(20, 20, 9, 8, "RGB")
    assert ends(4, 4, 128, 4)  # smaller than a block
    assert not image_file._ends_grey(Image.new("CMYK", (8, 8), (128,) * 4))
    assert not image_file._ends_grey(Image.new("RGB", (8, 8), (128, 128, 129)))


def test_sizes_of_webp_files_are_read_from_their_headers():
    def claimed(kind, rest):
        data = (b"RIFF0000WEBP" + kind + rest).ljust(30, b"\0")
        with pytest.raises(ValueError, match=r"pixels") as told:
            image_file._claim_webp(data, 0)
        return str(told.value).partition("(")[2].partition(" ")[0]

    assert claimed(b"VP8X", bytes(8) + b"\x00\x01\x00\x02\x00\x01") == "257x65539"
    assert claimed(b"VP8L", bytes(5) + ((300 - 1) | (200 - 1) << 14 | 3 << 28).to_bytes(4, "little")) == "300x200"
    assert (
        claimed(b"VP8 ", bytes(10) + (300 | 1 << 14).to_bytes(2, "little") + (200).to_bytes(2, "little")) == "300x200"
    )
    image_file._claim_webp(b"RIFF0000WAVE" + bytes(20), 0)
    pixels = (b"RIFF0000WEBPVP8L" + bytes(5) + ((300 - 1) | (200 - 1) << 14).to_bytes(4, "little")).ljust(30, b"\0")
    image_file._claim_webp(pixels, 8 * 300 * 200)
    with pytest.raises(ValueError, match=r"\(300x200 pixels\)"):
        image_file._claim_webp(pixels, 8 * 300 * 200 - 1)


def test_sizes_that_are_as_wanted_are_left_alone():
    image = Image.new("L", (6, 4))
    assert image_file._resized(image, 4, 6) is image
    assert image_file._resized(image, 6, 4).size == (4, 6)
    assert image_file._on_white(image) is image
