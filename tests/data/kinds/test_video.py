"""Video columns."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from data_helpers import POSITIVE, WHOLE, check_bounds, declared, shades, table_of, video
from perceiver_pytorch.data import DataError, Encoded, SpecOptions, VideoSpec, Where, drawing
from perceiver_pytorch.data.kinds.image import PictureAugmentation, patches
from perceiver_pytorch.data.kinds.video import VideoKind, VideoSettings
from perceiver_pytorch.data.media.video_file import VideoFacts
from perceiver_pytorch.data.train_rows import TrainRows

WHERE = Where("here.csv", Path("/nowhere"), 17)


class TestSpec:
    def test_tokens_are_patches_of_frames(self):
        spec = VideoSpec("x", 10, 4, 32, 48, 8)
        assert (spec.axes, spec.channels) == ((4, 4, 6), 192)
        encoded = spec.encode({"x": video(shades(3), 10)}, WHERE)
        assert encoded.values.shape == (3, 4, 6, 192)
        assert encoded.values.dtype == np.uint8
        assert encoded.changes == ()

    def test_other_sizes_and_lengths_are_said(self):
        cell = {"x": video(shades(12, 32, 32), 10)}
        assert VideoSpec("x", 10, 4, 16, 48, 8).encode(cell, WHERE).changes == ("resized", "padded", "cut")
        stretched = VideoSpec("x", 10, 12, 16, 48, 8, "stretch").encode(cell, WHERE)
        assert stretched.changes == ("resized", "stretched")

    def test_size_length_and_patch_are_learned(self):
        facts = [VideoFacts(240, 320, 3.0, True)] * 2 + [VideoFacts(100, 100, 2.0, False)]
        assert VideoSpec.fit("x", facts, SpecOptions(video_stem="none")) == VideoSpec(
            "x", 12.5, 38, 36, 48, 8, by_last_frame=True
        )
        assert VideoSpec.fit("x", facts, SpecOptions()) == VideoSpec(
            "x", 12.5, 38, 36, 48, 1, by_last_frame=True, stem="convolution"
        )
        long = [VideoFacts(240, 320, float("inf"), False)]
        options = SpecOptions(video_rate=2, max_video_seconds=60, video_size=32, video_patch=16, video_stem="none")
        assert VideoSpec.fit("x", long, options) == VideoSpec("x", 2, 120, 24, 32, 16, by_last_frame=True)

    @pytest.mark.parametrize("cell", [None, "", {"bytes": None, "path": None}])
    def test_empty_cells_are_missing(self, cell):
        assert VideoSpec("x", 10, 4, 32, 48, 8).encode({"x": cell}, WHERE) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\x18ftypmp42" + b"\0" * 40,
        b"\x1a\x45\xdf\xa3junk",
        b"RIFF0000AVI junk",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"junk",
        video(shades(8), 10)[:400],
    ],
)
def test_damage_is_named_with_its_row(data):
    with pytest.raises(DataError, match=r"here.csv: row 17, column 'x': the (video|file)") as caught:
        VideoSpec("x", 10, 4, 32, 48, 8).encode({"x": data}, WHERE)
    assert (caught.value.row, caught.value.column) == (17, "x")


SPEC = VideoSpec("x", 5.0, 10, 10, 6, 4)


def test_numbers_of_a_spec():
    assert (SPEC.axes, SPEC.channels, SPEC.seconds, SPEC.resolution) == ((10, 3, 2), 48, 2.0, 10.0)
    assert (SPEC.layout(), SPEC.token_options(), SPEC.file_columns) == (
        {"patch": 4, "colors": 3},
        {"video_patch": 4, "video_stem": "none"},
        ("x",),
    )
    assert SPEC.note() == "10 frames, 5 a second, 10x6 RGB, 4x4 patches"
    assert (SPEC.grid(0), SPEC.by_last_frame, set(SPEC.changes) - SPEC.harmless) == (None, False, {"cut", "beyond"})
    timed = VideoSpec("x", 5.0, 10, 10, 6, 4, clock=4.0)
    np.testing.assert_allclose(timed.grid(0), 2 * np.arange(10) / 20 - 1, atol=1e-6)
    assert (timed.grid(1), timed.resolution) == (None, 20.0)
    options = VideoSettings()
    assert (options.video_rate, options.video_size, options.max_video_size) == (None, None, 48)
    assert (options.video_patch, options.max_video_tokens, options.max_video_seconds) == (None, 4096, 10.0)


@pytest.mark.parametrize("field", ["rate", "num_frames", "height", "width", "patch", "filling"])
def test_wrong_numbers_are_named(field):
    given = {"name": "x", "rate": 5.0, "num_frames": 10, "height": 10, "width": 6, "patch": 4}
    with pytest.raises(ValueError, match=f"{field} must be"):
        VideoSpec(**{**given, field: 0})


def test_length_and_patch_at_their_bounds():
    def learned(seconds, height=32, width=32, **options):
        return VideoSpec.fit(
            "x", [VideoFacts(height, width, seconds, False)], SpecOptions(video_stem="none", video_rate=5.0, **options)
        )

    assert learned(0.0).num_frames == 1
    assert learned(2.0).num_frames == 10
    assert learned(2.0 + 1e-8).num_frames == 10  # rounding adds no frame
    assert learned(2.01).num_frames == 11
    assert learned(99.0).num_frames == 50
    assert learned(0.8).patch == 1  # 4 frames of 1024 tokens
    assert learned(1.0).patch == 2
    assert learned(10.0, max_video_tokens=49).patch == 16
    assert learned(1.0, image_fit="stretch").filling == "stretch"


def test_frames_are_shown_as_a_film(monkeypatch):
    shown = []
    monkeypatch.setattr(drawing, "animation", lambda frames, rate: shown.append((frames, rate)) or "film")
    frames = np.random.default_rng(0).integers(0, 256, (3, 12, 8, 3), np.uint8)
    assert SPEC.example(Encoded(patches(frames, 4)), {}) == [{"kind": "image", "name": "x", "value": "film"}]
    np.testing.assert_array_equal(shown[0][0], frames)
    assert shown[0][1] == 5.0


def test_all_frames_of_a_film_move_alike():
    torch.manual_seed(0)
    values = torch.randint(1, 256, (50, 1, 3, 2, 48), dtype=torch.uint8).expand(50, 4, 3, 2, 48)
    after = SPEC.augmented(values, None, PictureAugmentation(image_flip=0.5))
    assert torch.equal(after, after[:, :1].expand_as(after))
    assert not torch.equal(after, values)


@pytest.mark.parametrize(("seconds", "rate"), [(1.0, 12.5), (3.8, 12.5), (5.0, 25 / 3), (7.0, 6.25), (10.0, 5.0)])
def test_long_films_have_fewer_frames_per_second(seconds, rate):
    found = VideoSpec.fit("x", [VideoFacts(32, 32, seconds, False)], SpecOptions())
    assert found.rate == rate
    assert found.num_frames <= 50
    one_is_long = [VideoFacts(32, 32, seconds, False)] * 3 + [VideoFacts(32, 32, 60.0, False)]
    found = VideoSpec.fit("x", one_is_long, SpecOptions())
    assert (found.rate, found.num_frames) == (rate, math.ceil(10 * rate))


def test_sound_that_is_not_read_is_hinted_at(tmp_path):
    kind = VideoKind()
    loud, silent = video(shades(3), 10, sound=np.zeros(3000)), video(shades(3), 10)
    hint = "column 'x' has sound too, which is not read; --column x=video+audio reads it"
    cases = [([silent] * 3, None), ([silent, b"junk", None, loud], hint), ([silent] * 99 + [loud], hint)]
    for cells, expected in [*cases, ([silent, loud] + [silent] * 98, None)]:
        table = table_of(tmp_path, x=cells)
        rows = TrainRows(table, np.arange(len(cells)), SpecOptions(), allow_outside=False)
        assert kind.left_unread("x", rows) == expected
    assert kind.recognises(SimpleNamespace(media="video"))
    assert not kind.recognises(SimpleNamespace(media="image"))
    (spec,) = kind.learn(["x"], rows)
    assert (spec.num_frames, spec.height, spec.width, spec.by_last_frame) == (4, 32, 48, True)


def test_what_the_kind_declares():
    spec = (VideoSpec, "video", "uint8")
    assert declared(VideoKind()) == ("video", spec, VideoSettings, PictureAugmentation, False, False)
    check_bounds(VideoSettings, video_size=WHOLE, max_video_size=WHOLE, video_patch=WHOLE, max_video_tokens=WHOLE)
    check_bounds(VideoSettings, video_rate=POSITIVE, max_video_seconds=POSITIVE)


def test_how_many_films_are_looked_at():
    seen = []

    def look(name, look, most):
        seen.append((name, most))
        return iter([VideoFacts(8, 8, 1.0, False)])

    def iterate(rows, columns):
        seen.append((len(rows), columns))
        return iter(())

    table = SimpleNamespace(iterate=iterate)
    rows = SimpleNamespace(look=look, options=lambda name: SpecOptions(), rows=np.arange(99), table=table)
    VideoKind().learn(["x"], rows)
    assert VideoKind().left_unread("x", rows) is None
    assert seen == [("x", 512), (8, ["x"])]
