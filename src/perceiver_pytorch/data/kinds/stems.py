"""Which stem a kind asks the model for: its name and its sizes, by the lengths of the modality's axes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from perceiver_pytorch._settings import knob

STEMS = ("none", "patch", "convolution")
"""What stands between a modality's values and the cross-attend: nothing, patches, or convolutions."""


def stem_knob(what: str, convolutions: str = "convolutions") -> Any:
    """The option of a kind that names its stem; runs of earlier versions have none.

    Args:
        what: the cells, for people.
        convolutions: what those do, for people.
    """
    help = f"what reads {what} before the model: {convolutions}, patches, or none"
    return knob("convolution", help, choices=STEMS, before="none")


WIDTHS = (16, 32, 64)
"""Channels of one convolution after another; compiled cross-attends read up to 64."""
_FEWEST, _MOST = 48, 300
"""Tokens that strides leave at least, and that further convolutions are added for."""
_FRAME_WIDTHS = (32, 32, 64)
"""Channels of the convolutions over each frame of a film."""
_LARGE_FRAME = 32  # pixels of its shorter side
_FEWEST_OF_A_FRAME, _MOST_OF_A_FRAME = 4, 16  # tokens, as of a picture
_FEWEST_FRAMES, _OVER_TIME = 8, 2  # frames that strides leave at least; convolutions over time, at least
_KERNEL = 3
_PATCH_SIDES = (2, 4, 8, 16)


def stem_config(stem: str, axes: Sequence[int], channels: int) -> dict[str, Any] | None:
    """The config of a stem over one or two axes, or over a film's three; None without one.

    Args:
        stem: one of `STEMS`.
        axes: lengths of the modality's axes, at most.
        channels: values per token.
    """
    if stem == "none":
        return None
    if stem == "patch":
        return patch(axes, channels)
    return film_convolution(axes, channels) if len(axes) == 3 else convolution(axes, channels)


def strides_of(config: Mapping[str, Any] | None, num_axes: int) -> list[int]:
    """Per axis, how many tokens a stem makes one of."""
    if config is None:
        return [1] * num_axes
    if config["name"] == "patch":
        return list(config["patch"])
    return [math.prod(steps) for steps in zip(*(layer["stride"] for layer in config["layers"]), strict=True)]


def stem_note(config: Mapping[str, Any] | None, axes: Sequence[int]) -> str:
    """For `note`."""
    if config is None:
        return ""
    tokens = "x".join(map(str, coarser(axes, strides_of(config, len(axes)))))
    if config["name"] == "patch":
        return f", patches to {tokens} tokens"
    count = len(config["layers"])
    return f", {count} convolution{'s' * (count != 1)} to {tokens} tokens"


def halved(axes: Sequence[int], fewest: int = _FEWEST) -> list[int]:
    """Per axis the stride of the next convolution: 2, or 1 where too few tokens would be left."""
    strides = [2 if length > _KERNEL else 1 for length in axes]
    return strides if math.prod(coarser(axes, strides)) >= fewest else [1] * len(axes)


def coarser(axes: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Lengths of the axes behind a convolution."""
    return [-(-length // stride) for length, stride in zip(axes, strides, strict=True)]


def convolution(axes: Sequence[int], channels: int, widths: Sequence[int] = WIDTHS) -> dict[str, Any]:
    """Convolutions of width 3 and stride 2 over one or two axes, the config of a `ConvolutionStem`.

    There is one for each of `widths`, and more of the last until no more than 300 tokens are left. A small picture or
    a short series is not made so small that nothing is left to attend to. A series has no more than one convolution
    of stride 1, at its end: further ones learn short series less well.
    """
    strides: list[list[int]] = []
    while len(strides) < len(widths) or math.prod(axes) > _MOST:
        strides.append(halved(axes))
        axes = coarser(axes, strides[-1])
        if set(strides[-1]) == {1} and (len(axes) == 1 or len(strides) >= len(widths)):
            break
    found = [*widths, *[widths[-1]] * len(strides)][max(0, len(widths) - len(strides)) :]
    layers = [
        {"channels": width, "kernel": [_KERNEL] * len(axes), "stride": stride}
        for width, stride in zip(found, strides, strict=False)
    ]
    return {"name": "convolution", "input_channels": channels, "layers": layers}


def film_convolution(axes: Sequence[int], channels: int) -> dict[str, Any]:
    """Convolutions over each frame, and then two or more over time.

    Half of what the first one finds is how it differs from the frame before, with a norm of its own: motion is small
    beside what all frames have in common. It makes large frames coarser by four at once, since there are many.
    """
    layers: list[dict[str, Any]] = []
    frames, *sides = axes
    while len(layers) < len(_FRAME_WIDTHS) or math.prod(sides) > _MOST_OF_A_FRAME:
        coarse = not layers and min(sides) >= _LARGE_FRAME
        strides = [4, 4] if coarse else halved(sides, fewest=_FEWEST_OF_A_FRAME)
        width = _FRAME_WIDTHS[min(len(layers), len(_FRAME_WIDTHS) - 1)]
        layers.append({"channels": width, "kernel": [1, *[5 if coarse else _KERNEL] * 2], "stride": [1, *strides]})
        sides = coarser(sides, strides)
    over_time = 0
    while over_time < _OVER_TIME or frames * math.prod(sides) > _MOST:
        (stride,) = halved([frames], fewest=_FEWEST_FRAMES)
        if over_time >= _OVER_TIME and stride == 1:
            break
        layers.append({"channels": WIDTHS[-1], "kernel": [_KERNEL, 1, 1], "stride": [stride, 1, 1]})
        (frames,) = coarser([frames], [stride])
        over_time += 1
    changes = _FRAME_WIDTHS[0] // 2 if axes[0] > 1 else 0
    return {"name": "convolution", "input_channels": channels, "layers": layers, "changes": changes}


def patch(axes: Sequence[int], channels: int) -> dict[str, Any]:
    """Patches of one side, as small as leaves no more than 300 tokens: the config of a `PatchStem`."""

    def tokens(side: int) -> int:
        return math.prod(coarser(axes, [min(side, length) for length in axes]))

    side = next((side for side in _PATCH_SIDES if tokens(side) <= _MOST), _PATCH_SIDES[-1])
    return {
        "name": "patch",
        "input_channels": channels,
        "channels": WIDTHS[-1],
        "patch": [min(side, length) for length in axes],
    }
