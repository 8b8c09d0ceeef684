"""Video columns."""

from pathlib import Path

import numpy as np
import pytest

from data_helpers import shades, video
from perceiver_pytorch.data import DataError, SpecOptions, VideoSpec, Where
from perceiver_pytorch.data.media.video_file import VideoFacts

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
        assert VideoSpec.fit("x", facts, SpecOptions()) == VideoSpec("x", 5, 15, 48, 64, 4, by_last_frame=True)
        long = [VideoFacts(240, 320, float("inf"), False)]
        options = SpecOptions(video_rate=2, max_video_seconds=60, video_size=32, video_patch=16)
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
