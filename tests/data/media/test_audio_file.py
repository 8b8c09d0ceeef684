"""Sound files."""

import contextlib
import io
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from data_helpers import shades, video, wav
from perceiver_pytorch.data import AudioSpec, DataError, Where
from perceiver_pytorch.data.media import decoding
from perceiver_pytorch.data.media.audio_file import AudioFacts, NoSoundError, read_audio

WHERE = Where("here.csv", Path("/nowhere"), 17)


TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)


def sound(samples, kind, subtype=None, rate=8000):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def aac(samples, kind, rate=8000):
    """AAC in a file that libsndfile cannot read."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as container:
        stream = container.add_stream("aac", rate=rate, layout="mono")
        for start in range(0, len(samples), 1024):
            part = np.asarray(samples[None, start : start + 1024], np.float32)
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [(kind, subtype) for kind in ("WAV", "FLAC", "AIFF", "AU", "CAF", "W64")
     for subtype in ("PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW") if soundfile.check_format(kind, subtype)]
    + [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")],
)  # fmt: skip
def test_every_kind_of_file_is_the_same_sound(kind, subtype):
    rate = 48000 if subtype == "OPUS" else 8000
    samples = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    decoded = read_audio(sound(samples, kind, subtype, rate), 8000, 8000).samples
    assert decoded.shape[1] == 1
    assert abs(len(decoded) - 8000) < 200
    strength = np.abs(np.fft.rfft(decoded[1000:7000, 0]))
    assert strength.argmax() == pytest.approx(440 * 6000 / 8000, abs=1)
    assert decoded[1000:7000].std() == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("kind", ["mp4", "adts", "matroska"])
def test_what_libsndfile_cannot_read_ffmpegs_libraries_do(kind):
    data = aac(TONE, kind)
    assert AudioFacts.look(data).sample_rate == 8000
    decoded, longer = (found := read_audio(data, 8000, 8000)).samples, found.longer
    assert not longer
    assert decoded[2000:6000].std() == pytest.approx(0.5 / np.sqrt(2), rel=0.1)
    assert read_audio(data, 8000, 3000).longer


@pytest.mark.parametrize("channels", [3, 8, 9, 24, 64])
def test_many_channels_are_the_same_sound_in_every_kind_of_file(channels):
    samples = np.random.default_rng(0).uniform(-0.1, 0.1, (2000, channels)).astype(np.float32)
    data = sound(samples, "WAV", "PCM_16")
    buffer = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    for sides in (1, 2):
        wav_sound = decoding.audio(data, 8000, 8000, sides).samples
        mka_sound = decoding.audio(buffer.getvalue(), 8000, 8000, sides).samples
        assert np.abs(wav_sound[:, 0] - samples.mean(1)).max() < 1e-4
        assert np.abs(wav_sound - mka_sound).max() < 1e-7


def test_a_long_sound_of_many_channels_takes_little_memory():
    data = sound(np.zeros((100_000, 64), np.float32), "WAV", "PCM_16")
    tracemalloc.start()
    assert read_audio(data, 8000, 100_000).samples.shape == (100_000, 1)
    assert tracemalloc.get_traced_memory()[1] < 12 << 20
    tracemalloc.stop()
    with pytest.raises(ValueError, match=r"the sound takes 1 MB .*\(12 s at 8000 Hz\)"):
        read_audio(data, 8000, 100_000, most=1 << 19)


CUT_OFF = {
    **{kind: (kind, None) for kind in ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "SVX", "CAF", "MP3")},
    "ULAW": ("WAV", "ULAW"),
    "ADPCM": ("WAV", "IMA_ADPCM"),
}


@pytest.mark.parametrize("kind", CUT_OFF)
def test_a_sound_of_fewer_samples_than_its_header_says_is_told(kind):
    data = sound(np.tile(TONE, 4), *CUT_OFF[kind])
    whole = read_audio(data, 8000, 40_000)
    half = read_audio(data[: len(data) // 2], 8000, 40_000)
    assert len(half.samples) < 0.6 * len(whole.samples)
    assert (whole.incomplete, half.incomplete) == (False, True)
    assert (whole.longer, half.longer) == (False, False)
    beginning = read_audio(data[: len(data) // 2], 8000, 8000)  # all that is wanted is there
    assert (beginning.longer, beginning.incomplete) == (True, False)


def test_a_matroska_file_that_was_cut_off_is_told():
    data = aac(np.tile(TONE, 4), "matroska")
    assert not read_audio(data, 8000, 40_000).incomplete
    half = read_audio(data[: len(data) // 2], 8000, 40_000)
    assert len(half.samples) < 20_000
    assert half.incomplete
    assert decoding.audio(data[: len(data) // 2], 8000, 40_000, 1).incomplete


PIPES = [(0x7FFEFFFF, True), (0x7FFF0000, False), (0x80000000, False), (0xFFFFFFFF, False)]


@pytest.mark.parametrize(
    ("size", "told"),
    [(999, False), (1000, False), (1001, False), (1002, True), *PIPES],
)
def test_a_header_of_who_wrote_into_a_pipe_claims_nothing(size, told):
    data = bytearray(wav(TONE[:500]))
    data[40:44] = size.to_bytes(4, "little")
    assert read_audio(bytes(data), 8000, 8000).incomplete == told


def test_the_length_of_an_mp3_file_that_does_not_say_it_is_what_is_there():
    data = sound(np.tile(TONE, 4), "MP3").replace(b"Xing", b"none").replace(b"Info", b"none")
    assert not read_audio(data[: len(data) // 2], 8000, 40_000).incomplete


def test_absurd_rates_are_refused():
    data = bytearray(wav(np.zeros(100)))
    data[24:28] = (4_000_000_000).to_bytes(4, "little")
    with pytest.raises(DataError, match="row 17"):
        AudioSpec("x", 8000, 64, 32).encode({"x": bytes(data)}, WHERE)


def test_decoders_write_nothing_to_the_terminal(capfd):
    data = bytearray(sound(TONE, "MP3"))
    data[200::50] = b"\x55" * len(data[200::50])
    for cut in range(0, len(data), 97):
        with contextlib.suppress(DataError):
            AudioSpec("x", 8000, 640, 32).encode({"x": bytes(data[: cut + 1])}, WHERE)
    assert capfd.readouterr() == ("", "")


WHOLE = {
    "wav": wav(TONE[:500]),
    "flac": sound(TONE[:500], "FLAC"),
    "ogg": sound(TONE[:500], "OGG"),
    "mp3": sound(TONE[:2000], "MP3"),
    "m4a": aac(TONE[:2000], "mp4"),
}


@given(
    st.sampled_from(sorted(WHOLE)),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=12),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_mutated_files_are_read_or_refused(kind, changes, data):
    content = bytearray(WHOLE[kind])
    for place, value in changes:
        content[place % len(content)] = value
    content = content[: data.draw(st.integers(1, len(content)))]
    try:
        encoded = AudioSpec("x", 8000, 640, 32).encode({"x": bytes(content)}, WHERE)
    except DataError:
        return
    assert encoded.values.shape[1] == 32
    assert np.isfinite(encoded.values).all()


def test_facts_are_those_of_the_header(tmp_path):
    assert AudioFacts.look(wav(np.zeros(4000), 16000)) == AudioFacts(16000, 0.25)
    (tmp_path / "a.flac").write_bytes(sound(TONE[:2000], "FLAC"))
    assert AudioFacts.look(tmp_path / "a.flac") == AudioFacts(8000, 0.25)
    film = AudioFacts.look(aac(TONE, "matroska"))
    assert (film.sample_rate, film.seconds) == (8000, pytest.approx(1.1, abs=0.1))
    assert AudioFacts.look(sound(TONE, "MP3")) == AudioFacts(8000, pytest.approx(1.0, abs=0.01))
    with pytest.raises(NoSoundError, match=r"^the file has no sound track$"):
        AudioFacts.look(video(shades(3)))
    with pytest.raises(NoSoundError, match=r"^the file has no sound track$"):
        read_audio(video(shades(3)), 8000, 100)
    with pytest.raises(ValueError, match="the sound cannot be decoded"):
        AudioFacts.look(b"junk")


def test_sounds_that_cannot_be_used_say_why():
    with pytest.raises(ValueError, match=r"^the sound has no samples$"):
        read_audio(wav(np.zeros(0)), 8000, 100)
    odd = TONE[:50].copy()
    odd[7] = np.nan
    with pytest.raises(ValueError, match=r"^the sound has samples that are not finite numbers$"):
        read_audio(sound(odd, "WAV", "FLOAT"), 8000, 100)
    with pytest.raises(ValueError, match=r"^the sound is shorter than one sample at 10 Hz$"):
        read_audio(wav(np.zeros(3)), 10, 100)
    with pytest.raises(ValueError, match=r"^the sound cannot be decoded \(Error : flac decoder lost sync"):
        read_audio(sound(TONE, "FLAC")[:2000], 8000, 8000)


@pytest.mark.parametrize("rate", [1 << 20, (1 << 20) + 1])
def test_the_highest_rate(rate):
    data = wav(np.zeros(100), rate)
    if rate == 1 << 20:
        assert len(read_audio(data, rate, 100).samples) == 100
    else:
        with pytest.raises(ValueError, match=rf"^the sound cannot be decoded \(a rate of {rate} Hz\)$"):
            read_audio(data, rate, 100)


def test_a_cut_sees_the_samples_behind_it_and_keeps_as_many_as_are_wanted():
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16000)
    whole = read_audio(sound(noise, "WAV", "FLOAT", 16000), 8000, 8000).samples
    for wanted in (1000, 4000):
        part = read_audio(sound(noise, "WAV", "FLOAT", 16000), 8000, wanted)
        assert part.samples.shape == (wanted, 1)
        assert part.longer
        np.testing.assert_allclose(part.samples, whole[:wanted], atol=1e-4)
    exact = read_audio(sound(noise, "WAV", "FLOAT", 16000), 16000, 16000)
    assert (len(exact.samples), exact.longer) == (16000, False)
    assert read_audio(sound(noise, "WAV", "FLOAT", 16000), 16000, 15999).longer
    np.testing.assert_allclose(exact.samples[:, 0], noise, atol=1e-6)


def test_memory_is_claimed_for_what_is_read_and_resampled():
    data = wav(np.zeros(80_000))
    needed = 8 * 8800  # the wanted second, a tenth of one more, twice
    assert len(read_audio(data, 8000, 8000, most=needed).samples) == 8000
    with pytest.raises(ValueError, match=r"^the sound takes 1 MB .*\(1 s at 8000 Hz\)"):
        read_audio(data, 8000, 8000, most=needed - 1)
    assert len(read_audio(data, 8000, 8000, 2, most=2 * needed).samples) == 8000
    with pytest.raises(ValueError, match="the sound takes"):
        read_audio(data, 8000, 8000, 2, most=2 * needed - 1)
    mp3 = sound(np.tile(TONE, 10), "MP3")
    with pytest.raises(ValueError, match=r"the sound takes 1 MB .*\(1 channels\)"):
        read_audio(mp3, 8000, 8000, most=4 * 8000 - 1)
    with pytest.raises(ValueError, match=r"the sound takes 1 MB .*\(\d s at 8000 Hz\)"):
        read_audio(mp3, 8000, 80_000, most=8 * 40_000)


def test_a_track_that_begins_after_its_picture_has_silence_before_it():
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        picture = container.add_stream("mpeg4", rate=10)
        picture.width, picture.height, picture.pix_fmt = 16, 16, "yuv420p"
        track = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for _ in range(10):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        container.mux(picture.encode())
        samples = np.full((1, 4000), 8192, np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, 4000, Fraction(1, 8000)
        container.mux(track.encode(frame))
        container.mux(track.encode())
    found = read_audio(buffer.getvalue(), 8000, 8000).samples[:, 0]
    assert len(found) == 8000
    assert not found[:4000].any()
    np.testing.assert_allclose(found[4000:], 0.25)
    assert not read_audio(buffer.getvalue(), 8000, 1000).samples.any()


def test_silence_that_fills_a_codecs_frames_makes_no_sound_longer():
    data = aac(TONE, "mp4")
    length = len(read_audio(data, 8000, 80_000).samples)
    assert 8000 < length < 8000 + 2500
    assert not read_audio(data, 8000, length - 2500).longer
    assert read_audio(data, 8000, length - 2501).longer
    assert read_audio(data, 8000, 1000).samples.shape == (1000, 1)


def test_mp3_is_left_to_ffmpeg(monkeypatch, tmp_path):
    (tmp_path / "a.mp3").write_bytes(sound(TONE, "MP3"))
    monkeypatch.setattr(soundfile, "SoundFile", lambda *_: pytest.fail("libsndfile"))
    assert len(read_audio(tmp_path / "a.mp3", 8000, 8000).samples) == 8000
