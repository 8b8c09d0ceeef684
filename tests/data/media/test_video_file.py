"""Video files."""

import io
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_helpers import fitted, png, shades, table_of, video
from perceiver_pytorch.data import DataError, VideoSpec, Where
from perceiver_pytorch.data.media.video_file import VideoFacts, read_video

WHERE = Where("here.csv", Path("/nowhere"), 17)


def unchanged(height, width):
    return height, width


def brightness(clip):
    """Mean of each frame, as the number of the shade it shows."""
    return clip.frames.reshape(len(clip.frames), -1).mean(1)


def reference(data, times):
    """The picture on display at each time, from all frames decoded by PyAV."""
    with av.open(io.BytesIO(data)) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    shown = [max((f for f in frames if f[0] <= time + 1e-6), key=lambda f: f[0], default=frames[0]) for time in times]
    return np.stack([pixels for _, pixels in shown])


@pytest.mark.parametrize("rate", [1, 4, 5, 10, 25])
@pytest.mark.parametrize("kind", ["mp4", "matroska", "avi"])
def test_frames_are_those_on_display(rate, kind):
    data = video(shades(20), 10, kind=kind)
    clip = read_video(data, rate, 1000, unchanged)
    frames = len(clip.frames)
    assert 2 * rate - rate // 10 <= frames <= 2 * rate  # AVI does not say how long its last frame is shown
    assert not clip.longer
    assert np.array_equal(clip.frames, reference(data, np.arange(frames) / rate))


def test_a_varying_rate_is_held_between_frames():
    times = [0, 0.1, 0.2, 1.0, 1.9]
    data = video(shades(5), 10, times=times)
    clip = read_video(data, 10, 100, unchanged)
    assert np.array_equal(clip.frames, reference(data, np.arange(len(clip.frames)) / 10))
    assert len(clip.frames) >= 20
    assert len({round(value) for value in brightness(clip)[2:10]}) == 1


def test_no_more_than_the_wanted_frames_are_kept():
    data = video(shades(30), 10)
    clip = read_video(data, 10, 12, unchanged)
    assert len(clip.frames) == 12
    assert clip.longer
    assert not read_video(data, 10, 30, unchanged).longer
    assert not read_video(data, 1, 3, unchanged).longer


def test_frames_are_resized_as_they_are_decoded():
    clip = read_video(video(shades(3), 10), 10, 10, lambda h, w: (h // 2, w // 4))
    assert clip.frames.shape == (3, 16, 12, 3)
    assert (clip.height, clip.width) == (32, 48)


def test_a_long_video_is_read_by_seeking(monkeypatch):
    """An hour, of which a frame every 20 minutes is wanted."""
    data = video(shades(60), 10, times=[60 * i for i in range(60)])
    clip = read_video(data, 1 / 1200, 3, unchanged)
    assert np.array_equal(clip.frames, reference(data, [0, 1200, 2400]))


def test_memory_holds_the_wanted_frames_only():
    data = video([np.full((240, 320, 3), i % 250, np.uint8) for i in range(150)], 25)
    tracemalloc.start()
    read_video(data, 5, 3, lambda h, w: (24, 32))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 240 * 320 * 3


def test_rotation_is_applied():
    frames = [np.zeros((32, 48, 3), np.uint8) for _ in range(3)]
    for frame in frames:
        frame[:16, :24] = 255  # upper left
    data = video(frames, 10)
    upright = _matrix(0x10000, 0, 0, 0x10000)
    assert data.count(upright) >= 2  # of the film and of its track
    place = data.rindex(upright)
    turned = data[:place] + _matrix(0, 0x10000, 0xFFFF0000, 0) + data[place + len(upright) :]  # a quarter clockwise
    clip = read_video(turned, 10, 3, unchanged)
    assert (clip.height, clip.width) == (48, 32)
    assert clip.frames[0, :20, 20:].mean() > 200  # upper right
    assert clip.frames[0, 28:, :12].mean() < 60
    assert VideoFacts.look(turned).height == 48


def _matrix(a, b, c, d):
    return b"".join(value.to_bytes(4, "big") for value in (a, b, 0, c, d, 0, 0, 0, 0x40000000))


WHOLE = {kind: video(shades(6, 16, 16), 10, sound=np.zeros(2000), kind=kind) for kind in ("mp4", "matroska")}


@given(
    st.sampled_from(sorted(WHOLE)),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=12),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_mutated_files_are_read_or_refused(kind, changes, data):
    content = bytearray(WHOLE[kind])
    for place, value in changes:
        content[place % len(content)] = value
    content = content[: data.draw(st.integers(1, len(content)))]
    spec = VideoSpec("x", 10, 4, 16, 16, 8)
    try:
        encoded = spec.encode({"x": bytes(content)}, WHERE)
    except DataError:
        return
    frames, rows, columns, values = encoded.values.shape  # a header may say another size as well
    assert (1 <= frames <= 4, 1 <= rows <= 2, 1 <= columns <= 2, values) == (True, True, True, 192)


def test_what_is_no_film_says_so(tmp_path):
    table = table_of(
        tmp_path, clip=[png(np.zeros((4, 4), np.uint8))] * 4, mute=[video(shades(4))] * 4, y=["a", "b"] * 2
    )
    with pytest.raises(
        DataError, match=r"row \d, column 'clip': the video cannot be decoded \(it is in no format that is read\)"
    ):
        fitted(table, "y", kinds={"clip": "video", "mute": "ignore"})
    with pytest.raises(ValueError, match=r"cannot be decoded \((?!it is in no format)"):  # a film, but a damaged one
        VideoFacts.look(video(shades(4), kind="matroska")[:40])
    with pytest.raises(DataError, match=r"'mute' has no file with sound .*; --column mute=video goes on without"):
        fitted(table, "y", kinds={"clip": "ignore", "mute": "video+audio"})


def test_one_wrong_duration_does_not_make_a_video_longer():
    """Frames of H.264 are stored in another order than shown, and one comes with the duration of another."""
    times = np.array([0, 1, 2, 3, 4, 15, 16, 17, 18, 19])
    buffer = io.BytesIO()
    av.logging.set_level(av.logging.PANIC)
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.time_base, stream.codec_context.max_b_frames = Fraction(1, 10), 2
        for time in times:
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 12 * time, np.uint8), format="rgb24")
            frame.pts, frame.time_base = int(time), Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = read_video(buffer.getvalue(), 4, 100, unchanged)
    shown = times[np.searchsorted(times, np.arange(8) * 2.5, side="right") - 1]
    assert len(clip.frames) == 8
    assert np.abs(brightness(clip) - 12 * shown).max() < 6
    assert len(read_video(buffer.getvalue(), 4, 100, unchanged, by_last_frame=False).frames) == 11


def test_frames_that_take_more_memory_than_a_cell_may_are_refused():
    data = video(np.zeros((3, 256, 512, 3), np.uint8))
    with pytest.raises(ValueError, match=r"the video takes 1 MB .*\(512x256 pixels\)"):
        read_video(data, 5, 3, unchanged, most=1 << 19)
    assert len(read_video(data, 5, 3, unchanged, most=1 << 20).frames)
