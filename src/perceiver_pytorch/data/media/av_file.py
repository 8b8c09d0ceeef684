"""Open video and sound files with PyAV (FFmpeg's libraries)."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from perceiver_pytorch.data.cell_memory import claim, exhausted
from perceiver_pytorch.data.errors import need

# Demuxers that read one file. Others (playlists, concatenations, stream descriptions) open whatever a file names.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,m4v,h264,hevc,ogg,flv,asf,wav,w64,aiff,au,aac,mp3,"
    "flac,ac3,eac3,amr,amrnb,amrwb,caf,gif,apng,ivf,mxf,rm,dv,nut,wv,ape,tta,dts,voc,y4m,yuv4mpegpipe,vob"
)
_INT = (1 << 31) - 1
_EDGES = 1 << 20  # pixels that decoders put around a small frame
_BYTES = 8  # of a pixel: a frame as it is decoded, the one before it, and one in RGB


@contextmanager
def opened(source: bytes | Path, what: str, most: int) -> Iterator[Any]:
    """An open PyAV container.

    Args:
        source: the file's bytes, or its path.
        what: "sound" or "video", for messages.
        most: bytes that decoding may take, for messages.

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
    except MemoryError as error:
        if isinstance(error, av.FFmpegError):  # also where a damaged file asks for absurd sizes
            raise exhausted(f"the {what}", most) from error
        raise
    except (av.FFmpegError, OSError, EOFError, RuntimeError, OverflowError, TypeError) as error:
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


def check_pixels(height: int, width: int, most: int) -> None:
    """Raise `ValueError` for a frame without pixels, or with more than `most` bytes hold."""
    if height < 1 or width < 1:
        raise ValueError("the video has no picture size")
    claim("the video", f"{width}x{height} pixels", _BYTES * height * width, most)


def limit_pixels(stream: Any, most: int) -> None:
    """Have the decoder refuse frames far beyond `most` bytes: their size may change on the way."""
    stream.codec_context.options = {"max_pixels": str(min(2 * most // _BYTES + _EDGES, _INT))}


def is_whole_jpeg(source: bytes | Path) -> bool:
    """Whether FFmpeg's decoder, which is stricter than others, finds all of a JPEG's data."""
    av = need("av", "look at JPEG files")
    av.logging.set_level(av.logging.PANIC)
    try:
        with av.open(BytesIO(source) if isinstance(source, bytes) else str(source), format="jpeg_pipe") as container:
            stream = container.streams.video[0]
            stream.codec_context.options = {"err_detect": "explode"}
            return any(True for _ in container.decode(stream))
    except (av.FFmpegError, ValueError, IndexError):
        return False
