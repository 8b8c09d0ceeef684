"""Open video and sound files with PyAV (FFmpeg's libraries)."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from perceiver_pytorch.data.errors import need

# Demuxers that read one file. Others (playlists, concatenations, stream descriptions) open whatever a file names.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,m4v,h264,hevc,ogg,flv,asf,wav,w64,aiff,au,aac,mp3,"
    "flac,ac3,eac3,amr,amrnb,amrwb,caf,gif,apng,ivf,mxf,rm,dv,nut,wv,ape,tta,dts,voc,y4m,yuv4mpegpipe,vob"
)
_MAX_PIXELS = 178_956_970  # of one frame; as for images


@contextmanager
def opened(source: bytes | Path, what: str) -> Iterator[Any]:
    """An open PyAV container.

    Args:
        source: the file's bytes, or its path.
        what: "sound" or "video", for messages.

    Raises:
        ValueError: it cannot be opened, or reading it fails within the context.
    """
    av = need("av", f"decode {what}")
    av.logging.set_level(av.logging.PANIC)  # what is wrong comes as an error; FFmpeg's own words are not for a terminal
    file = BytesIO(source) if isinstance(source, bytes) else str(source)
    begun = False
    try:
        with av.open(file, options={"format_whitelist": _FORMATS}, metadata_errors="ignore") as container:
            begun = True
            yield container
    except ValueError as error:
        if isinstance(error, av.FFmpegError):
            unknown = not begun and error.errno == errno.EINVAL  # a demuxer that is none of ours
            reason = "it is in no format that is read" if unknown else error.strerror
            raise ValueError(f"the {what} cannot be decoded ({reason})") from error
        raise
    except (av.FFmpegError, OSError, EOFError, RuntimeError, MemoryError, OverflowError, TypeError) as error:
        raise ValueError(f"the {what} cannot be decoded ({getattr(error, 'strerror', None) or error})") from error


def seconds(container: Any, stream: Any) -> float | None:
    """Length of a stream by its header; None where it does not say."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None


def start(container: Any) -> float:
    """When the container's earliest stream begins, in seconds."""
    return (container.start_time or 0) / 1e6


def check_codec(stream: Any, what: str) -> None:
    """Raise `ValueError` for a stream that no codec is known for; PyAV gives such a one no size and no rate."""
    if stream.codec_context is None:
        raise ValueError(f"the {what} cannot be decoded (its codec is unknown)")


def check_pixels(height: int, width: int) -> None:
    """Raise `ValueError` for a frame without pixels, or with more than memory should hold."""
    if height < 1 or width < 1:
        raise ValueError("the video has no picture size")
    if height * width > _MAX_PIXELS:
        raise ValueError(f"the video is suspiciously large ({width}x{height} pixels)")
