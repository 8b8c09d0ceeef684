"""What a classifier of pictures looks at: the pixels that its answer came from, by attention, rolled out."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from perceiver_pytorch.data import map_drawing
from perceiver_pytorch.data.kinds.base import Part
from perceiver_pytorch.explain.apart import NOTHING_APART, Apart
from perceiver_pytorch.explain.attention import decoded, recorded
from perceiver_pytorch.explain.maps import Map
from perceiver_pytorch.explain.rows import Explanation
from perceiver_pytorch.explain.texts import of_class

PICTURE = "picture"


def explain_picture(
    model: nn.Module,
    logits: Callable[[Tensor], Tensor],
    pixels: Tensor,
    shown: np.ndarray,
    labels: Sequence[str],
    *,
    number: int = 0,
    apart: Apart = NOTHING_APART,
) -> Explanation:
    """Where a classifier looked.

    Args:
        model: in evaluation mode, with a decoder.
        logits: of the classes ``(1, classes)``, of pixels as the model reads them.
        pixels: of one picture ``(1, 3, height, width)``.
        shown: the same as people see them, uint8 ``(height, width, 3)``.
        labels: names of the classes.
        number: of the picture.
        apart: layers, heads and latents told apart, besides.
    """
    with recorded(model) as record:
        said = logits(pixels)[0]
    best = int(said.argmax())
    (rolled,) = record.rollout(decoded(record)[:, [0]])
    found = {"attention": rolled[0, 0], **{name: share[0] for name, (share,) in apart.shares(record)}}
    maps: dict[str, Map] = {}
    drawings: dict[str, dict[str, list[Part]]] = {}
    for way, share in found.items():
        heat = on_pixels(share, shown.shape[0], shown.shape[1])
        maps[way] = Map({PICTURE: share.float().cpu().numpy()}, {PICTURE: heat})
        drawings[way] = {PICTURE: [{"kind": "image", "name": PICTURE, "value": map_drawing.picture(shown, heat)}]}
    return Explanation(number, "label", labels[best], None, of_class(said, best), maps, None, drawings, noun="picture")


def on_pixels(share: Tensor, height: int, width: int) -> np.ndarray:
    """What tokens have ``(rows, columns)``, or one after the other, shared out among the pixels that they stand for."""
    if share.dim() == 1:
        share = share.unflatten(0, _sides(len(share), height, width))
    spread = torch.nn.functional.interpolate(share[None, None].float(), size=(height, width), mode="nearest")[0, 0]
    return (spread * (share.sum() / spread.sum().clamp_min(1e-12))).cpu().numpy()


def _sides(tokens: int, height: int, width: int) -> tuple[int, int]:
    rows = max(1, round((tokens * height / width) ** 0.5))
    if tokens % rows:
        raise ValueError(f"{tokens} tokens make no grid of a picture of {height} x {width} pixels")
    return rows, tokens // rows
