"""Clips for the multi-modal model: frames in [0, 1], sound in [-1, 1], from arrays, images or video files."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perceiver_pytorch.interop.images import open_image
from perceiver_pytorch.interop.published_config import PublishedConfig

FRAMES_PER_SECOND = 25
"""Of the published model; with 1,920 samples a frame, sound has 48,000 samples a second."""


def clip_inputs(clip: Any, config: PublishedConfig) -> dict[str, Tensor]:
    """Inputs of the model, a batch of one.

    Args:
        clip: a video file's path, or a mapping with ``video``: frames ``(frames, height, width, 3)`` uint8 or floats in
            [0, 1], or a list of images; and ``audio``: samples ``(samples,)`` or ``(samples, 1)``, floats in [-1, 1] or
            int16. One of both may be missing and is then silent or black. Frames are cropped and resized; what is
            beyond the model's length is left out.
        config: sizes.

    Raises:
        ValueError, TypeError: for a clip that is too short or has neither.
    """
    if isinstance(clip, str | Path):
        clip = read_video(clip, config)
    if not isinstance(clip, Mapping) or not set(clip) <= {"video", "audio"} or not clip:
        raise ValueError("a clip must be a video file's path, or a mapping with 'video', 'audio' or both")
    _, frames, height, width = config.output_shape
    video = torch.zeros(frames, 3, height, width)
    audio = torch.zeros(config.num_audio_samples)
    if clip.get("video") is not None:
        video = _frames(clip["video"], frames, (height, width))
    if clip.get("audio") is not None:
        audio = _samples(clip["audio"], config.num_audio_samples)
    return {"image": video[None], "audio": audio[None, :, None], "label": torch.zeros(1, config.num_labels)}


def read_video(path: str | Path, config: PublishedConfig) -> dict[str, Any]:
    """The first frames and samples of a video file, at the model's rates."""
    try:
        import av
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'video files need av: pip install "perceiver-multi-modality-pytorch[data]"', name="av"
        ) from error
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is no file")
    clip: dict[str, Any] = {}
    try:
        with av.open(str(path)) as file:
            if file.streams.video:
                clip["video"] = _decode_frames(file, config.num_frames)
        with av.open(str(path)) as file:
            if file.streams.audio:
                rate = FRAMES_PER_SECOND * config.audio_samples_per_frame
                clip["audio"] = _decode_samples(file, rate, config.num_audio_samples)
    except av.error.FFmpegError as error:
        raise ValueError(f"{path} cannot be read as video: {error}") from error
    return clip


def _decode_frames(file: Any, number: int) -> list[np.ndarray]:
    """Frames at `FRAMES_PER_SECOND`: for each moment the last one shown."""
    frames: list[np.ndarray] = []
    shown = None
    first = None
    for frame in file.decode(video=0):
        first = frame.time if first is None else first
        while (
            shown is not None and len(frames) < number and first + Fraction(len(frames), FRAMES_PER_SECOND) < frame.time
        ):
            frames.append(shown)
        if len(frames) >= number:
            break
        shown = frame.to_ndarray(format="rgb24")
    if shown is not None and len(frames) < number:
        frames.append(shown)
    return frames


def _decode_samples(file: Any, rate: int, number: int) -> np.ndarray:
    from av import AudioResampler

    resampler = AudioResampler(format="flt", layout="mono", rate=rate)
    parts: list[np.ndarray] = []
    for frame in file.decode(audio=0):
        parts += [part.to_ndarray().reshape(-1) for part in resampler.resample(frame)]
        if sum(map(len, parts)) >= number:
            break
    else:
        parts += [part.to_ndarray().reshape(-1) for part in resampler.resample(None)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _frames(video: Any, number: int, size: tuple[int, int]) -> Tensor:
    """(frames, 3, height, width) in [0, 1]: the middle square of each frame, resized."""
    from PIL import Image

    if len(video) < number:
        raise ValueError(f"a clip must have at least {number} frames, got {len(video)}")
    frames = []
    for frame in list(video)[:number]:
        pixels = open_image(frame)
        side = min(pixels.shape[:2])
        top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
        image = Image.fromarray(np.ascontiguousarray(pixels[top : top + side, left : left + side]))
        resized = image.resize((size[1], size[0]), resample=Image.Resampling.BILINEAR)
        frames.append(torch.from_numpy(np.array(resized)).permute(2, 0, 1))
    return torch.stack(frames).float() / 255


def _samples(audio: Any, number: int) -> Tensor:
    """(samples,) in [-1, 1]; silence after a shorter sound."""
    values = torch.as_tensor(audio)
    if values.dim() == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dim() != 1:
        raise ValueError(f"audio must be (samples,) or (samples, 1), got {tuple(values.shape)}")
    if values.dtype == torch.int16:
        values = values.float() / 2**15
    elif not values.is_floating_point():
        raise TypeError(f"audio must be floats in [-1, 1], or int16, got {values.dtype}")
    values = values.float()[:number]
    return torch.nn.functional.pad(values, (0, number - len(values)))
