"""Tell images and sounds by their first bytes or by a path's suffix."""

from pathlib import PurePath
from typing import Literal

Media = Literal["image", "audio"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff"})
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3"})
# Files that no decoder reads yet: their paths are not text to learn from.
OTHER_SUFFIXES = frozenset({".mp4", ".mpg", ".mpeg", ".avi", ".mov", ".mkv", ".webm", ".npy", ".npz", ".pdf", ".m4a"})

_IMAGE_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*")
_AUDIO_STARTS = (b"fLaC", b"OggS", b"ID3")


def sniff_bytes(data: bytes) -> Media | None:
    """`"image"` (PNG, JPEG, GIF, BMP, WEBP, TIFF), `"audio"` (WAV, FLAC, OGG, MP3) or None, by the first bytes."""
    if data.startswith(_IMAGE_STARTS) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        return "image"
    if data.startswith(_AUDIO_STARTS) or (data[:4] == b"RIFF" and data[8:12] == b"WAVE") or _is_mpeg_frame(data):
        return "audio"
    return None


def sniff_path(path: str) -> Media | Literal["other"] | None:
    """The same by a path's suffix; `"other"` for a kind of file that is not read yet, None for no such suffix."""
    if len(path) > 1024 or "\n" in path:
        return None
    suffix = PurePath(path).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "image"
    if suffix in AUDIO_SUFFIXES:
        return "audio"
    return "other" if suffix in OTHER_SUFFIXES else None


def _is_mpeg_frame(data: bytes) -> bool:
    """An MP3 frame header without an ID3 tag: 11 sync bits, a known version, layer III."""
    if len(data) < 2 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return False
    return data[1] >> 3 & 0b11 != 0b01 and data[1] >> 1 & 0b11 == 0b01
