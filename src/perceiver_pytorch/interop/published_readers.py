"""What the published models read, as structured contexts: text, images, pairs of frames, clips.

Each reader takes what transformers' model takes as ``inputs``. Its parameters are those of that model's input
preprocessor; position features of a grid are tables, one per axis, and learned padding is the context's code.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch._execution import is_eager
from perceiver_pytorch.interop.published_config import PublishedConfig
from perceiver_pytorch.nn.fourier import position_table
from perceiver_pytorch.nn.plain import is_plain
from perceiver_pytorch.ops import Context

AUDIO_BANDS, VIDEO_BANDS, IMAGE_BANDS = 192, 32, 64
VIDEO_PATCH = 4
"""Pixels of a video patch's side."""
MODALITIES = ("audio", "image", "label")
"""Of the multi-modal model, in the order of their tokens."""


def grid_channels(num_axes: int, num_bands: int) -> int:
    """Position channels of a grid: coordinate, sines and cosines of every axis."""
    return num_axes * (2 * num_bands + 1)


def grid_tables(
    lengths: Sequence[int], resolutions: Sequence[int], num_bands: int, device: torch.device
) -> tuple[Tensor, ...]:
    """One table per axis: coordinates from -1 to 1, bands from 1 to half the resolution, equally spaced."""
    return tuple(
        position_table(length, resolution, num_bands, scale="linear", device=device)
        for length, resolution in zip(lengths, resolutions, strict=True)
    )


def published_order(num_data: int, num_axes: int, num_bands: int, num_code: int, device: torch.device) -> Tensor:
    """Where the published weights have the channels of a grid's token.

    They have all coordinates first, then the sines of every axis, then the cosines; a context has one axis after the
    other.
    """
    sines = num_data + num_axes
    cosines = sines + num_axes * num_bands
    order = list(range(num_data))
    for axis in range(num_axes):
        order += range(sines + axis * num_bands, sines + (axis + 1) * num_bands)
        order += range(cosines + axis * num_bands, cosines + (axis + 1) * num_bands)
        order.append(num_data + axis)
    order += range(len(order), len(order) + num_code)
    return torch.tensor(order, device=device)


def grid_context(
    data: Tensor, resolutions: Sequence[int], num_bands: int, code: Tensor | None = None, mask: Tensor | None = None
) -> Context:
    """A grid of tokens ``(batch, *axes, channels)`` with Fourier positions, in the published order of channels.

    Args:
        data: raw channels.
        resolutions: of each axis, in training.
        num_bands: of each axis.
        code: ``(channels,)``, the same for every token.
        mask: ``(batch, tokens)`` bool or None.
    """
    axes = data.shape[1:-1]
    num_code = 0 if code is None else code.shape[0]
    return Context(
        data,
        grid_tables(axes, resolutions, num_bands, data.device),
        code,
        mask=None if mask is None else mask.unflatten(1, axes),
        order=published_order(data.shape[-1], len(axes), num_bands, num_code, data.device),
    )


def shape_of(name: str, value: Tensor, expected: Sequence[int | str]) -> Tensor:
    """``value``, if it is a tensor of the expected shape, where words stand for any length."""
    _checks.tensor(name, value)
    fits = value.dim() == len(expected) and all(
        isinstance(size, str) or size == given for size, given in zip(expected, value.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} must be ({', '.join(map(str, expected))}), got {tuple(value.shape)}")
    return value


class Reader(nn.Module):
    """What turns inputs into contexts whose tokens have ``num_channels``."""

    num_channels: int


class TextReader(Reader):
    """Token ids ``(batch, length)``: embedding and learned position added up."""

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        self.config = config
        self.num_channels = config.d_model
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.positions = nn.Parameter(torch.randn(config.max_position_embeddings, config.d_model) * 0.02)

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> list[Context]:
        shape_of("inputs", inputs, ("batch", "length"))
        if inputs.dtype not in (torch.int64, torch.int32):
            raise TypeError(f"inputs must be token ids, int64, got {inputs.dtype}")
        length, longest = inputs.shape[1], self.config.max_position_embeddings
        if not 1 <= length <= longest:
            raise ValueError(f"inputs must have 1 to {longest} tokens (max_position_embeddings), got {length}")
        if inputs.numel() and is_eager(inputs):
            lowest, highest = int(inputs.min()), int(inputs.max())
            if lowest < 0 or highest >= self.config.vocab_size:
                raise ValueError(f"token ids must lie in [0, {self.config.vocab_size}), got {lowest} to {highest}")
        return [Context(self.embedding(inputs) + self.positions[:length], mask=mask)]


class LearnedImageReader(Reader):
    """Pixels ``(batch, 3, height, width)`` mapped to 256 channels, beside a projected position learned for each."""

    NUM_CHANNELS = 256

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        self.side = config.image_size
        self.num_channels = 2 * self.NUM_CHANNELS
        self.pixels = nn.Conv2d(3, self.NUM_CHANNELS, kernel_size=1)
        self.positions = nn.Parameter(torch.randn(self.side**2, self.NUM_CHANNELS) * 0.02)
        self.position_projection = nn.Linear(self.NUM_CHANNELS, self.NUM_CHANNELS)

    def forward(self, inputs: Tensor, mask: Tensor | None = None, *, interpolate: bool = False) -> list[Context]:
        size = ("height", "width") if interpolate else (self.side, self.side)
        shape_of("inputs", inputs, ("batch", 3, *size))
        positions: Tensor = self.positions
        if inputs.shape[2:] != (self.side, self.side):
            grid = positions.view(1, self.side, self.side, -1).permute(0, 3, 1, 2)
            positions = F.interpolate(grid, inputs.shape[2:], mode="bicubic", align_corners=False).flatten(2)[0].mT
        if is_plain(self.pixels):
            pixels = F.linear(inputs.flatten(2).mT, self.pixels.weight.flatten(1), self.pixels.bias)
        else:
            pixels = self.pixels(inputs).flatten(2).mT
        positions = self.position_projection(positions).expand(inputs.shape[0], -1, -1)
        return [Context(torch.cat([pixels, positions], -1), mask=mask)]


class FourierImageReader(Reader):
    """Pixels ``(batch, 3, height, width)`` with Fourier positions."""

    RESOLUTION = (224, 224)

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        self.num_channels = 3 + grid_channels(2, IMAGE_BANDS)

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> list[Context]:
        shape_of("inputs", inputs, ("batch", 3, "height", "width"))
        return [grid_context(inputs.permute(0, 2, 3, 1), self.RESOLUTION, IMAGE_BANDS, mask=mask)]


class ConvImageReader(Reader):
    """Pixels ``(batch, 3, height, width)`` through a convolution and a pooling, four times as coarse, with Fourier
    positions.

    The pooling has no padding: 224 x 224 pixels give 55 x 55 tokens.
    """

    NUM_CHANNELS = 64
    RESOLUTION = (56, 56)

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        self.num_channels = self.NUM_CHANNELS + grid_channels(2, IMAGE_BANDS)
        self.conv = nn.Conv2d(3, self.NUM_CHANNELS, kernel_size=7, stride=2, padding=3, bias=False)
        self.batchnorm = nn.BatchNorm2d(self.NUM_CHANNELS)

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> list[Context]:
        shape_of("inputs", inputs, ("batch", 3, "height", "width"))
        features = F.relu(self.batchnorm(self.conv(inputs)))
        features = F.max_pool2d(features, kernel_size=3, stride=2)
        return [grid_context(features.permute(0, 2, 3, 1), self.RESOLUTION, IMAGE_BANDS, mask=mask)]


class FlowReader(Reader):
    """Patches of 3 x 3 pixels about every pixel of two frames, ``(batch, 2, 27, height, width)``, mapped to 64
    channels, with Fourier positions.
    """

    NUM_CHANNELS = 64
    PATCH_CHANNELS = 27

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        self.size = config.train_size
        self.num_channels = self.NUM_CHANNELS + grid_channels(2, IMAGE_BANDS)
        self.patches = nn.Linear(2 * self.PATCH_CHANNELS, self.NUM_CHANNELS)

    def forward(self, inputs: Tensor, mask: Tensor | None = None, *, interpolate: bool = False) -> list[Context]:
        size = ("height", "width") if interpolate else self.size
        shape_of("inputs", inputs, ("batch", 2, self.PATCH_CHANNELS, *size))
        pixels = self.patches(inputs.flatten(1, 2).permute(0, 2, 3, 1))
        return [grid_context(pixels, self.size, IMAGE_BANDS, mask=mask)]


class MultimodalReader(Reader):
    """Clips: ``image`` (batch, frames, 3, height, width), ``audio`` (batch, samples, 1), ``label`` (batch, classes).

    Video is read in patches of 4 x 4 pixels, audio in patches of samples. Every modality's tokens are padded to one
    width by a learned vector. The label's token is always masked: a learned vector stands for it, whatever it is
    (transformers masks it with probability 1).
    """

    MIN_PADDING = 4

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        self.config = config
        channels = {
            "audio": config.samples_per_patch + grid_channels(1, AUDIO_BANDS),
            "image": 3 * VIDEO_PATCH**2 + grid_channels(3, VIDEO_BANDS),
            "label": config.num_labels,
        }
        width = self.num_channels = max(channels.values()) + self.MIN_PADDING
        self.padding = nn.ParameterDict({name: torch.randn(1, width - channels[name]) * 0.02 for name in MODALITIES})
        self.mask = nn.ParameterDict({name: torch.randn(1, width) * 0.02 for name in MODALITIES})

    def forward(self, inputs: Mapping[str, Tensor], mask: Tensor | None = None) -> list[Context]:
        if not isinstance(inputs, Mapping) or set(inputs) != set(MODALITIES):
            given = ", ".join(map(str, inputs)) if isinstance(inputs, Mapping) else type(inputs).__name__
            raise ValueError(f"inputs must be a mapping of {', '.join(MODALITIES)}, got {given}")
        image, audio = self._video_patches(inputs["image"]), self._audio_patches(inputs["audio"])
        batch = shape_of("inputs['label']", inputs["label"], ("batch", self.config.num_labels)).shape[0]
        if not image.shape[0] == audio.shape[0] == batch:
            raise ValueError(f"all inputs must have one batch size, got {audio.shape[0]}, {image.shape[0]}, {batch}")
        masks: Sequence[Tensor | None] = [None] * 3
        if mask is not None:
            masks = mask.split([audio.shape[1], image.shape[1:4].numel(), 1], dim=1)
        config = self.config
        video_size = (config.num_frames, config.image_size, config.image_size)
        return [
            grid_context(audio, (config.num_audio_samples,), AUDIO_BANDS, self.padding["audio"][0], masks[0]),
            grid_context(image, video_size, VIDEO_BANDS, self.padding["image"][0], masks[1]),
            Context(self.mask["label"].expand(batch, 1, -1), mask=masks[2]),
        ]

    def _video_patches(self, video: Tensor) -> Tensor:
        """(batch, frames, height / 4, width / 4, 48)."""
        shape_of("inputs['image']", video, ("batch", "frames", 3, "height", "width"))
        if video.shape[3] % VIDEO_PATCH or video.shape[4] % VIDEO_PATCH:
            raise ValueError(f"height and width of a video must be multiples of {VIDEO_PATCH}, got {video.shape[3:]}")
        patches = video.unflatten(4, (-1, VIDEO_PATCH)).unflatten(3, (-1, VIDEO_PATCH))
        return patches.permute(0, 1, 3, 5, 4, 6, 2).flatten(4)

    def _audio_patches(self, audio: Tensor) -> Tensor:
        """(batch, patches, samples of a patch)."""
        shape_of("inputs['audio']", audio, ("batch", "samples", 1))
        size = self.config.samples_per_patch
        if audio.shape[1] % size:
            raise ValueError(f"audio must have a multiple of {size} samples, got {audio.shape[1]}")
        return audio.reshape(audio.shape[0], audio.shape[1] // size, size)


READERS: dict[str, Callable[[PublishedConfig], Reader]] = {
    "masked-lm": TextReader,
    "text-classification": TextReader,
    "image-learned": LearnedImageReader,
    "image-fourier": FourierImageReader,
    "image-conv": ConvImageReader,
    "optical-flow": FlowReader,
    "multimodal-autoencoding": MultimodalReader,
}
