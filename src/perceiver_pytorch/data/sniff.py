"""Tell images, sounds, videos and arrays by their first bytes or by a path's suffix."""

import re
from pathlib import PurePath
from typing import Literal

Media = Literal["image", "audio", "video", "array"]

IMAGE_SUFFIXES = frozenset((
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff",
    ".avif", ".avifs", ".jp2", ".j2k", ".jpx", ".ico", ".icns", ".tga", ".pcx", ".ppm", ".pgm", ".pbm", ".pnm",
    ".pfm", ".dds", ".sgi", ".xbm", ".qoi", ".psd",
))  # fmt: skip
AUDIO_SUFFIXES = frozenset((
    ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".m4b", ".aac", ".aif", ".aiff", ".aifc",
    ".au", ".caf", ".w64", ".wma", ".amr", ".ac3", ".mka",
))  # fmt: skip
VIDEO_SUFFIXES = frozenset((
    ".mp4", ".m4v", ".mov", ".mpg", ".mpeg", ".avi", ".mkv", ".webm", ".ogv", ".flv", ".wmv", ".3gp", ".3g2",
    ".mts", ".m2ts", ".vob", ".mxf", ".asf",
))  # fmt: skip
ARRAY_SUFFIXES = frozenset({".npy"})
# Files that no decoder reads: their paths are not text to learn from.
OTHER_SUFFIXES = frozenset({".npz", ".pdf", ".zip", ".h5", ".hdf5", ".pkl", ".pt", ".parquet", ".svg", ".eps", ".heic"})

_IMAGE_STARTS = (
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"qoif", b"8BPS"),
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"P1\n", b"P2\n", b"P3\n", b"P4\n", b"P5\n", b"P6\n", b"DDS ", b"icns"),
)
_AUDIO_STARTS = (b"fLaC", b".snd", b"caff", b"#!AMR", b"riff\x2e\x91\xcf\x11", b"\x0b\x77")
_VIDEO_STARTS = (b"\x1a\x45\xdf\xa3", b"FLV\x01", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11")
_RIFF = {b"WEBP": "image", b"WAVE": "audio", b"AVI ": "video"}  # what stands at byte 8 of a RIFF file
_BRANDS = {b"avif": "image", b"avis": "image", b"M4A ": "audio", b"M4B ": "audio"}  # of an ISO media file


def sniff_bytes(data: bytes) -> Media | None:
    """`"image"`, `"audio"`, `"video"`, `"array"` (NumPy's format) or None, by the first bytes."""
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12])  # type: ignore[return-value]
    if data[:4] == b"FORM":
        return "audio" if data[8:12] in (b"AIFF", b"AIFC") else None
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "video")  # type: ignore[return-value]
    if data.startswith(b"OggS"):
        return "video" if b"theora" in data[:64] else "audio"
    if data.startswith(b"\x93NUMPY"):
        return "array"
    if data.startswith(_IMAGE_STARTS):
        return "image"
    if data.startswith(_VIDEO_STARTS) or data[4:8] in (b"moov", b"mdat", b"wide"):
        return "video"
    return "audio" if data.startswith(_AUDIO_STARTS) or is_mpeg_audio(data) else None


def sniff_path(path: str, *, query: bool = True) -> Media | Literal["other"] | None:
    """The same by the suffix of a path or an address; `"other"` for a kind of file that is not read, None for no such
    suffix.

    Args:
        query: there may be one behind it: ``pic.jpg?w=200``.
    """
    if len(path) > 1024 or "\n" in path:
        return None
    return _by_suffix(path) or (_by_suffix(without_query(path)) if query and " " not in path else None)


def without_query(path: str) -> str:
    """A path or an address without what stands behind ``?`` or ``#``."""
    return re.split("[?#]", path, maxsplit=1)[0]


def _by_suffix(path: str) -> Media | Literal["other"] | None:
    suffix = PurePath(path).suffix.lower()
    known: dict[Media | Literal["other"], frozenset[str]] = {
        "image": IMAGE_SUFFIXES,
        "audio": AUDIO_SUFFIXES,
        "video": VIDEO_SUFFIXES,
        "array": ARRAY_SUFFIXES,
        "other": OTHER_SUFFIXES,
    }
    return next((media for media, suffixes in known.items() if suffix in suffixes), None)


def is_mpeg_audio(data: bytes) -> bool:
    """An ID3 tag, a frame header of MP3 (11 sync bits, a known version, layer III), or one of AAC (ADTS)."""
    if data.startswith(b"ID3"):
        return True
    if len(data) < 2 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return False
    return data[1] & 0xF6 == 0xF0 or (data[1] >> 3 & 0b11 != 0b01 and data[1] >> 1 & 0b11 == 0b01)
