import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from data_helpers import video, wav
from perceiver_pytorch.data import AudioSpec, DataError, SpecOptions, Where
from perceiver_pytorch.data.media.audio_file import AudioFacts, read_audio
from perceiver_pytorch.data.media.mel import log_mel, mel_filters

WHERE = Where("here.csv", Path("/nowhere"), 17)
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)


def sound(samples, kind, subtype=None, rate=8000):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def aac(samples, kind, rate=8000):
    """AAC in a file that libsndfile cannot read."""
    import av

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
    decoded, _ = read_audio(sound(samples, kind, subtype, rate), 8000, 8000)
    assert decoded.shape[1] == 1
    assert abs(len(decoded) - 8000) < 200
    strength = np.abs(np.fft.rfft(decoded[1000:7000, 0]))
    assert strength.argmax() == pytest.approx(440 * 6000 / 8000, abs=1)
    assert decoded[1000:7000].std() == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("kind", ["mp4", "adts", "matroska"])
def test_what_libsndfile_cannot_read_ffmpegs_libraries_do(kind):
    data = aac(TONE, kind)
    assert AudioFacts.look(data).sample_rate == 8000
    decoded, longer = read_audio(data, 8000, 8000)
    assert not longer
    assert decoded[2000:6000].std() == pytest.approx(0.5 / np.sqrt(2), rel=0.1)
    assert read_audio(data, 8000, 3000)[1]


def test_stereo_is_kept_or_mixed():
    stereo = np.stack([TONE, np.zeros_like(TONE)], axis=1)
    both, _ = read_audio(sound(stereo, "WAV", "FLOAT"), 8000, 8000, 2)
    np.testing.assert_allclose(both, stereo, atol=1e-6)
    mono, _ = read_audio(sound(stereo, "WAV", "FLOAT"), 8000, 8000, 1)
    np.testing.assert_allclose(mono[:, 0], TONE / 2, atol=1e-6)
    spread, _ = read_audio(sound(TONE, "WAV", "FLOAT"), 8000, 8000, 2)
    np.testing.assert_allclose(spread, np.stack([TONE, TONE], axis=1), atol=1e-6)
    spec = AudioSpec("x", 8000, 8000, 100, sides=2)
    values = spec.encode({"x": sound(stereo, "WAV", "FLOAT")}, WHERE).values
    assert values.shape == (80, 200)
    np.testing.assert_allclose(values.reshape(-1, 2), stereo, atol=1e-6)


@pytest.mark.parametrize(
    ("rate", "window", "step", "bands"), [(8000, 200, 80, 20), (16000, 400, 160, 64), (800, 20, 33, 5)]
)
def test_log_mel_is_that_of_a_direct_computation(rate, window, step, bands):
    samples = np.random.default_rng(0).normal(size=(rate, 2))
    got = log_mel(samples.astype(np.float32), rate, bands, window, step)
    rows = -(-rate // step)
    assert got.shape == (rows, 2, bands)
    padded = np.concatenate([samples, np.zeros((rows * step + window, 2))]).astype(np.float32).astype(np.float64)
    hann = scipy.signal.get_window("hann", window)  # periodic
    for row in (0, rows // 2, rows - 1):
        for side in range(2):
            part = padded[row * step : row * step + window, side]
            part[rate - row * step :] = 0
            wave = np.exp(-2j * np.pi * np.outer(np.arange(window // 2 + 1), np.arange(window)) / window)
            power = np.abs(wave @ (part * hann)) ** 2
            np.testing.assert_allclose(got[row, side], np.log(mel_filters(rate, bands, window) @ power), atol=1e-4)


def test_mel_bands_cover_the_spectrum_once():
    filters = mel_filters(16000, 40, 1024)
    middle = filters[:, 20:-60].sum(0)
    np.testing.assert_allclose(middle, 1, atol=0.1)
    assert (filters.sum(1) > 0).all()
    assert (mel_filters(8000, 64, 100).sum(1) > 0).all()  # bands narrower than a frequency step


def test_log_mel_tokens_of_a_column():
    options = SpecOptions(audio_features="logmel", mel_bands=16)
    spec = AudioSpec.fit("x", [AudioFacts(8000, 1.0)], [wav(TONE)], options)
    assert (spec.mel_bands, spec.mel_window, spec.patch, spec.axes, spec.channels) == (16, 200, 80, (100,), 16)
    encoded = spec.encode({"x": wav(TONE)}, WHERE)
    assert encoded.values.shape == (100, 16)
    assert encoded.values.mean() == pytest.approx(0, abs=1e-3)
    assert encoded.values.std() == pytest.approx(1, abs=1e-3)
    assert spec.encode({"x": wav(TONE[:4000])}, WHERE).values.shape == (50, 16)


def test_a_film_without_sound_is_named_unless_its_track_is_asked_for():
    silent = video([np.zeros((16, 16, 3), np.uint8)] * 3)
    with pytest.raises(DataError, match="row 17, column 'x': the file has no sound track"):
        AudioSpec("x", 8000, 64, 32).encode({"x": silent}, WHERE)
    assert AudioSpec("x.audio", 8000, 64, 32, track_of="x").encode({"x": silent}, WHERE) is None


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
