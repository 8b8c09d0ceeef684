"""Video files."""

import io
import tracemalloc
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_helpers import fitted, png, shades, table_of, video, wav
from perceiver_pytorch.data import DataError, VideoSpec, Where
from perceiver_pytorch.data.media import av_file, video_file
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


def test_facts_are_those_of_header_and_first_frame(tmp_path):
    (tmp_path / "a.mp4").write_bytes(video(shades(5), 10, sound=np.zeros(4000)))
    assert VideoFacts.look(tmp_path / "a.mp4") == VideoFacts(32, 48, pytest.approx(0.5, abs=0.02), True)
    assert VideoFacts.look(video(shades(5), 10)).has_sound is False
    with pytest.raises(ValueError, match=r"^the file has no pictures$"):
        VideoFacts.look(wav(np.zeros(100)))
    with pytest.raises(ValueError, match=r"^the video takes 1 MB .*\(48x32 pixels\)"):
        VideoFacts.look(video(shades(5), 10), most=8 * 32 * 48 - 1)
    assert VideoFacts.look(video(shades(5), 10), most=8 * 32 * 48).height == 32


def test_one_frame_at_least_is_shown_however_short_the_video_is():
    data = video(shades(1), 10)
    for rate in (0.1, 1, 5):
        clip = read_video(data, rate, 9, unchanged)
        assert (len(clip.frames), clip.longer) == (1, False)
    assert len(read_video(video(shades(11), 10), 1, 9, unchanged).frames) == 2  # 1.1 s
    assert len(read_video(video(shades(10), 10), 1, 9, unchanged).frames) == 1


def film(pixels, aspect):
    """A frame of pixels that are not square."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


@pytest.mark.parametrize(("aspect", "width"), [(Fraction(2), 96), (Fraction(1, 2), 24), (Fraction(1), 48)])
def test_pixels_are_made_square(aspect, width):
    data = film(np.zeros((32, 48, 3), np.uint8), aspect)
    assert (VideoFacts.look(data).height, VideoFacts.look(data).width) == (32, width)
    clip = read_video(data, 5, 1, unchanged)
    assert clip.frames.shape == (1, 32, width, 3)
    assert (clip.height, clip.width) == (32, width)


class Stream:
    """What is asked of PyAV's streams."""

    def __init__(self, **fields):
        self.__dict__.update({"duration": None, "time_base": None, "start_time": None, "average_rate": None, **fields})


def test_lengths_and_beginnings_by_the_header():
    tenth = Fraction(1, 10)
    container = SimpleNamespace(duration=None, start_time=None)
    assert av_file.seconds(container, Stream()) is None
    assert av_file.seconds(container, Stream(duration=25, time_base=tenth)) == 2.5
    assert av_file.seconds(container, Stream(duration=25)) is None
    assert av_file.seconds(SimpleNamespace(duration=3_000_000), Stream(time_base=tenth)) == 3.0
    assert av_file.start(container) == 0
    assert av_file.start(SimpleNamespace(start_time=1_500_000)) == 1.5
    last = video_file._last_moment
    assert last(container, Stream()) == float("inf")
    assert last(container, Stream(duration=25, time_base=tenth)) == 2.5
    assert last(container, Stream(duration=25, time_base=tenth, start_time=5)) == 3.0
    late = SimpleNamespace(duration=None, start_time=200_000)
    assert last(late, Stream(duration=25, time_base=tenth, start_time=5)) == pytest.approx(2.8)
    assert last(late, Stream(duration=25, time_base=tenth, start_time=1)) == 2.5  # never before it begins


def test_how_long_and_how_a_frame_is_shown():
    frame = SimpleNamespace(duration=3, time_base=Fraction(1, 10))
    assert video_file._duration(frame, Stream()) == pytest.approx(0.3)
    assert video_file._duration(SimpleNamespace(duration=3, time_base=None), Stream(average_rate=4)) == 0.25
    assert video_file._duration(SimpleNamespace(duration=0, time_base=Fraction(1, 10)), Stream()) == 0.0
    turns = {0: 0, 90: 1, -90: 3, 180: 2, 44: 0, 46: 1, 360: 0, None: 0}
    assert {angle: video_file._quarters(SimpleNamespace(rotation=angle)) for angle in turns} == turns
    for aspect, width in ((9.9, 99), (10, 10), (0.11, 1), (0.1, 10), (0.01, 10), (None, 10)):
        stream = SimpleNamespace(sample_aspect_ratio=aspect, codec_context=SimpleNamespace(sample_aspect_ratio=None))
        shape = SimpleNamespace(height=20, width=10, rotation=0)
        assert video_file._size(shape, stream, 1 << 20) == (20, width)
        assert video_file._size(SimpleNamespace(height=20, width=10, rotation=90), stream, 1 << 20) == (width, 20)
    codec = SimpleNamespace(sample_aspect_ratio=None, codec_context=SimpleNamespace(sample_aspect_ratio=3))
    assert video_file._size(shape, codec, 1 << 20) == (20, 30)


def timed(frames, rate, taken=0, beginning=0, sought=None, seekable=True, **stream):
    """The times that `_timed` gives to decoded frames, `taken` of which are said to be there already."""

    def seek(place, stream):
        if not seekable:
            raise OSError
        sought.append(place)

    container = SimpleNamespace(start_time=beginning, decode=lambda _: iter(frames), seek=seek)
    reading = video_file.Frames(b"", rate, 100, None)
    reading.count = taken
    return [time for _, time in reading._timed(container, Stream(**stream))]


def test_times_of_frames():
    def frame(time):
        return SimpleNamespace(time=time, duration=2, time_base=Fraction(1, 10))

    assert timed([frame(1.0), frame(1.5)], 5, beginning=1_000_000) == [0.0, 0.5]
    assert timed([frame(0.5)], 5, beginning=1_000_000) == [0.0]
    assert timed([frame(None), frame(None), frame(None)], 5) == [0.0, pytest.approx(0.2), pytest.approx(0.4)]
    frames, base = [frame(0.0), frame(1.0)], {"time_base": Fraction(1, 100)}
    for rate, taken, seeks in ((1 / 10, 2, True), (1 / 9.9, 3, False), (1 / 10, 1, False)):
        sought = []
        timed(frames, rate, taken, sought=sought, **base)
        assert sought == ([2000] if seeks else [])  # once a frame that is wanted
    sought = []
    timed(frames, 1 / 10, 2, beginning=500_000, sought=sought, **base)
    assert sought == [2050]
    timed(frames, 1 / 10, 2, sought=sought)
    assert len(sought) == 1  # without a time base nothing is sought
    assert timed(frames, 1 / 10, 2, seekable=False, **base) == [0.0, 1.0]


def test_what_libraries_raise_is_said_of_the_file():
    for error, reason in (
        (OSError(5, "odd"), r"^the video cannot be decoded \(odd\)$"),
        (EOFError("gone"), r"^the video cannot be decoded \(gone\)$"),
        (OverflowError("huge"), r"^the video cannot be decoded \(huge\)$"),
        (av.error.MemoryError(12, "none"), r"^the video takes more memory to decode than the 3 MB"),
        (av.error.InvalidDataError(1094995529, "odd"), r"^the video cannot be decoded \(odd\)$"),
        (ValueError("ours"), r"^ours$"),
    ):
        with pytest.raises(ValueError, match=reason), av_file.opened(WHOLE["mp4"], "video", 3 << 20):
            raise error
    with pytest.raises(MemoryError), av_file.opened(WHOLE["mp4"], "video", 3 << 20):
        raise MemoryError
    with pytest.raises(ValueError, match=r"^the sound cannot be decoded \(its codec is unknown\)$"):
        av_file.check_codec(SimpleNamespace(codec_context=None), "sound")
    for size in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match=r"^the video has no picture size$"):
            av_file.check_pixels(*size, 1 << 20)
    av_file.check_pixels(1, 1, 8)
    for most, pixels in ((8, 2 + (1 << 20)), (1 << 60, (1 << 31) - 1)):
        stream = SimpleNamespace(codec_context=SimpleNamespace())
        av_file.limit_pixels(stream, most)
        assert stream.codec_context.options == {"max_pixels": str(pixels)}


def test_a_whole_jpeg_is_told_from_half_of_one(tmp_path):
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(buffer, "JPEG")
    data = buffer.getvalue()
    (tmp_path / "a.jpg").write_bytes(data)
    assert av_file.is_whole_jpeg(data)
    assert av_file.is_whole_jpeg(tmp_path / "a.jpg")
    assert not av_file.is_whole_jpeg(data[: len(data) // 2] + b"\xff\xd9")
    assert not av_file.is_whole_jpeg(b"junk")
