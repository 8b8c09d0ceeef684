"""Image columns: decoded, fitted into a box and cut into patches."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from einops import rearrange

from perceiver_pytorch import _checks
from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch._settings import Settings, knob
from perceiver_pytorch.data import drawing, map_drawing
from perceiver_pytorch.data.cells import Where, media_source
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.fields import Field
from perceiver_pytorch.data.kinds.base import BLANK, ColumnSpec, Encoded, Kind, ModalitySpec, Part, check_positive
from perceiver_pytorch.data.kinds.stems import STEMS, stem_config, stem_knob, stem_note
from perceiver_pytorch.data.media import decoding
from perceiver_pytorch.data.media.fitting import Box, fitted
from perceiver_pytorch.data.media.image_file import WHITE, ImageFacts
from perceiver_pytorch.data.oddities import Oddity
from perceiver_pytorch.data.train_rows import TrainRows

if TYPE_CHECKING:
    from torch import Tensor

FILLINGS = ("pad", "stretch")
PATCHES = (1, 2, 4, 8, 16)
BOX_CHANGES = {
    "resized": "were resized",
    "padded": "do not fill the box, which is padded and masked",
    "stretched": "were stretched to other proportions",
}
_BITS = (8, 10, 12, 14, 16)  # that the values of 16-bit images may have
_NUM_IMAGES = 256  # images looked at for size and colour
_GREY, _PLAIN = 127.5, 8.0  # of 255: neither dark nor light; what a picture of one colour differs by at most

_BLANK, _DARK = 1.5, 10.0  # of 255: spread of the pixels of a picture that shows nothing, and mean of a black one


@dataclass(frozen=True, kw_only=True)
class ImageSettings(Settings):
    """How images become arrays."""

    image_size: int | None = knob(None, "longer side of every image in pixels; null: the most common size", above=0)
    max_image_size: int = knob(64, "longest side chosen without image_size", above=0)
    image_fit: str = knob("pad", "images and frames of other proportions", choices=FILLINGS)
    image_stem: str = stem_knob("images")
    image_patch: int | None = knob(
        None, "side of an image token in pixels; null: 1 with a stem, else by max_image_tokens", above=0
    )
    max_image_tokens: int = knob(1024, "tokens per image without a stem that image_patch is chosen by", above=0)


@dataclass(frozen=True, kw_only=True)
class PictureAugmentation(Settings):
    """How images and videos change at random."""

    image_shift: float = knob(
        0.1, "images and videos: move by up to this share of a side; the edge is repeated", least=0, most=1
    )
    image_flip: float = knob(
        0.0, "share of images and videos to mirror; leave at 0 where left and right differ", least=0, most=1
    )
    image_scale: float = knob(
        0.1, "images and videos: make larger or smaller by up to this share", least=0, below=1, before=0.0
    )
    image_turn: float = knob(8.0, "images and videos: turn by up to this many degrees", least=0, most=180, before=0.0)
    image_color: float = knob(0.2, "change brightness, contrast and saturation by up to this share", least=0, most=1)


@dataclass(frozen=True)
class ImageSpec(ColumnSpec):
    """One image column as at most `(height / patch, width / patch)` tokens of `patch * patch * colors` values.

    Attributes:
        name: the modality's and the column's name.
        height, width: of the box in pixels.
        colors: 1 (grey) or 3 (RGB).
        patch: side of a token, in pixels.
        filling: `"pad"`: images are made as large as the box allows and lie in its upper left corner; `"stretch"`: they
            fill it, and their proportions give way.
        white: the largest value of 16-bit images: cameras and scanners write 10, 12 or 14 bits into files of 16.
        stem: what reads it before the model.
    """

    name: str
    height: int
    width: int
    colors: int
    patch: int
    filling: str = "pad"
    white: int = WHITE
    stem: str = "none"

    kind: ClassVar[str] = "image"
    dtype: ClassVar[str] = "uint8"
    hidden_by: ClassVar[str] = BLANK
    changes: ClassVar[Mapping[str, str]] = {
        **BOX_CHANGES,
        "incomplete": "lack the end of their JPEG data: it is grey",
        "bright": "have 16-bit values above those of the train rows, and were clipped there",
        "colored": "have colours, which the train rows did not have, and are read as grey",
        "several": "have several frames or pages, of which the first is read",
    }
    harmless: ClassVar[frozenset[str]] = frozenset(BOX_CHANGES)

    def __post_init__(self) -> None:
        check_positive(self, "height", "width", "patch", "white")
        check_box(self.colors, self.filling)
        _checks.choice("stem", self.stem, STEMS)

    @classmethod
    def fit(cls, name: str, samples: Iterable[ImageFacts], options: ImageSettings) -> "ImageSpec":
        """Learn size, colours and patch from looked-at images (at least one)."""
        facts = list(samples)
        height, width = box([(fact.height, fact.width) for fact in facts], options.image_size, options.max_image_size)
        patch = options.image_patch or patch_for(height, width, options.max_image_tokens, options.image_stem)
        colors = 1 if all(fact.grey for fact in facts) else 3
        peak = max(fact.peak for fact in facts)
        white = next(2**bits - 1 for bits in _BITS if peak < 2**bits) if peak else WHITE
        return cls(name, height, width, colors, patch, options.image_fit, white, options.image_stem)

    @property
    def axes(self) -> tuple[int, ...]:
        return (-(-self.height // self.patch), -(-self.width // self.patch))

    @property
    def channels(self) -> int:
        return self.patch * self.patch * self.colors

    @property
    def stem_config(self) -> dict[str, Any] | None:
        return stem_config(self.stem, self.axes, self.channels)

    def encode(self, row: Mapping[str, Any], where: Where) -> Encoded | None:
        """uint8 (rows, columns, patch * patch * colors), by row, column, colour; zeros fill the last patches."""
        source = media_source(row[self.name], self.name, where)
        if source is None:
            return None
        box = Box(self.height, self.width, self.filling)
        try:
            file, pixels = decoding.image(source, box, self.colors, where.cell_bytes, self.white)
        except ValueError as error:
            raise where.error(self.name, str(error), row[self.name]) from error
        changes = box_changes(
            (file["height"], file["width"]), pixels.shape[:2], (self.height, self.width), self.filling
        )
        found = {**file, "bright": file["peak"] > self.white}
        changes += tuple(name for name in ("incomplete", "bright", "colored", "several") if found[name])
        return Encoded(patches(pixels, self.patch), changes=changes, unusual=shows_nothing(self.name, pixels))

    def note(self) -> str:
        colors = "grey" if self.colors == 1 else "RGB"
        tokens = "single pixels" if self.patch == 1 else f"{self.patch}x{self.patch} patches"
        filling = "fitted and padded" if self.filling == "pad" else "stretched"
        bits = "" if self.white == WHITE else f", {self.white.bit_length()} of 16 bits"
        return f"{self.height}x{self.width} {colors}{bits}, {filling}, {tokens}{stem_note(self.stem_config, self.axes)}"

    def augmented(self, values: "Tensor", mask: "Tensor | None", settings: PictureAugmentation) -> "Tensor":
        return changed_pictures(values, mask, self.patch, settings)

    def example(self, encoded: Encoded, row: Mapping[str, Any]) -> list[Part]:
        return [
            {"kind": "image", "name": self.name, "value": drawing.png(whole(encoded.values, self.patch, self.colors))}
        ]

    def blank(self, values: "Tensor", mask: "Tensor | None") -> "Tensor":
        return background(values, mask, self.colors)

    def on_grid(self, values: "np.ndarray") -> "np.ndarray":
        """(height, width): a value per pixel."""
        return on_pixels(values, len(self.axes), self.patch, self.colors)

    def draw_map(self, encoded: Encoded, heat: "np.ndarray", row: Mapping[str, Any], where: Where) -> list[Part]:
        """The picture, and beside it its map."""
        pixels = whole(encoded.values, self.patch, self.colors)
        return [{"kind": "image", "name": self.name, "value": map_drawing.picture(pixels, heat)}]

    @property
    def file_columns(self) -> tuple[str, ...]:
        return self.columns

    def fields(self) -> tuple[Field, ...]:
        return (Field(self.name, "image"),)

    def fewer_tokens(self) -> dict[str, Any]:
        if self.stem == "none":
            longer = ImageSettings().max_image_tokens
            return {"image_patch": max(2 * self.patch, patch_for(self.height, self.width, longer, self.stem))}
        return {"image_size": max(1, max(self.height, self.width) // 2)}

    def layout(self) -> dict[str, Any]:
        return {"patch": self.patch, "colors": self.colors}

    def token_options(self) -> dict[str, Any]:
        return {"image_patch": self.patch, "image_stem": self.stem}


class ImageKind(Kind):
    """Files of images, or paths of them."""

    name = "image"
    spec = ImageSpec
    settings = ImageSettings
    augmentation = PictureAugmentation

    def recognises(self, column: Column) -> bool:
        return column.media == "image"

    def learn(self, columns: Sequence[str], rows: TrainRows) -> list[ModalitySpec]:
        (name,) = columns

        def look(value: Any, where: Where) -> ImageFacts | None:
            source = media_source(value, name, where)
            return None if source is None else decoding.image_facts(source, where.cell_bytes)

        return [ImageSpec.fit(name, rows.look(name, look, most=_NUM_IMAGES), rows.options(name))]


def box(sizes: list[tuple[int, int]], longer: int | None, at_most: int) -> tuple[int, int]:
    """Height and width of the most common proportions, its longer side as given or as it is, up to a limit."""
    (height, width), _ = Counter(sizes).most_common(1)[0]
    scale = (longer or min(max(height, width), at_most)) / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def box_changes(before: tuple[int, int], after: tuple[int, ...], box: tuple[int, int], fit: str) -> tuple[str, ...]:
    """What was done to an image to make it fit, as `BOX_CHANGES` calls it."""
    changes = ["resized"] if before != after else []
    if after != box:
        changes.append("padded")
    if fit == "stretch" and fitted(*before, *box, "pad") != box:
        changes.append("stretched")
    return tuple(changes)


def shows_nothing(name: str, pixels: "np.ndarray") -> tuple[Oddity, ...]:
    """Whether a picture, or a film, (..., colors) uint8, shows nothing: it has one colour, as black ones have."""
    flat = pixels.reshape(-1, pixels.shape[-1])
    if not flat.size or float(flat.std(axis=0).max()) >= _BLANK:
        return ()
    what = "black" if float(flat.mean()) < _DARK else "of one colour"
    return (Oddity("blank", f"{name} is {what}"),)


def patches(pixels: "np.ndarray", patch: int) -> "np.ndarray":
    """(..., height, width, colors) as (..., rows, columns, patch * patch * colors); zeros fill the last ones."""
    height, width = pixels.shape[-3:-1]
    missing = [(0, 0)] * (pixels.ndim - 3) + [(0, -height % patch), (0, -width % patch), (0, 0)]
    full = np.pad(pixels, missing) if height % patch or width % patch else pixels
    return np.ascontiguousarray(rearrange(full, "... (h p) (w q) c -> ... h w (p q c)", p=patch, q=patch))


def whole(values: "np.ndarray", patch: int, colors: int) -> "np.ndarray":
    """What `patches` cut, put together again; without the last axis where there is one colour."""
    pixels = rearrange(values, "... h w (p q c) -> ... (h p) (w q) c", p=patch, q=patch, c=colors)
    return pixels.squeeze(-1) if colors == 1 else pixels


def on_pixels(values: "np.ndarray", num_axes: int, patch: int, colors: int) -> "np.ndarray":
    """A map of tokens (..., rows, columns), or of their values (..., rows, columns, patch * patch * colors), as one of
    pixels (..., height, width); a token's value is shared out evenly."""
    if values.ndim == num_axes:
        return (values / patch**2).repeat(patch, -2).repeat(patch, -1)
    return rearrange(values, "... h w (p q c) -> ... (h p) (w q) c", p=patch, q=patch, c=colors).sum(-1)


def background(values: "Tensor", mask: "Tensor | None", colors: int) -> "Tensor":
    """The usual colour of each picture or film (batch, ..., patch * patch * colors): the median of a channel. Something
    dark counts on a light ground, and something light on a dark one. A picture of one colour is compared with grey."""
    flat = values.reshape(len(values), -1, colors)
    if mask is not None:
        real = mask.flatten(1).repeat_interleave(values.shape[-1] // colors, 1)
        flat = flat.masked_fill(~real.unsqueeze(-1), float("nan"))
    usual = flat.nanmedian(1).values.nan_to_num(_GREY)  # (batch, colors)
    apart = (flat - usual.unsqueeze(1)).abs().nan_to_num(0.0).flatten(1).amax(1)
    usual = usual.masked_fill((apart < _PLAIN).unsqueeze(1), _GREY)
    channels = usual.repeat(1, values.shape[-1] // colors)
    return channels.view(len(values), *[1] * (values.dim() - 2), values.shape[-1])


def changed_pictures(values: "Tensor", mask: "Tensor | None", patch: int, settings: PictureAugmentation) -> "Tensor":
    """Shift, flip, size, angle and colour of images ``(batch, h, w, patch²·colors)`` or videos ``(batch, frames, ..)``.

    All frames of a video change alike.
    """
    from perceiver_pytorch.data import random_changes as change

    p = patch
    pixels = rearrange(values, "b ... h w (p q c) -> b ... (h p) (w q) c", p=p, q=p)
    frame = values if values.dim() == 4 else values[:, 0]
    there = mask if mask is None or mask.dim() == 3 else mask.any(1)
    heights, widths = (sizes * p for sizes in change.extents(frame, there, axes=2))
    if settings.image_scale or settings.image_turn:
        pixels = change.turned(pixels, heights, widths, settings)
    else:
        rows, columns = pixels.shape[-3:-1]
        y = change.moved(heights, rows, settings.image_shift, 0.0)
        x = change.moved(widths, columns, settings.image_shift, settings.image_flip)
        pixels = change.taken(change.taken(pixels, y, pixels.dim() - 3), x, pixels.dim() - 2)
    pixels = change.in_type_of(values, change.colored(pixels, settings.image_color))
    return rearrange(pixels, "b ... (h p) (w q) c -> b ... h w (p q c)", p=p, q=p)


def check_box(colors: int, filling: str) -> None:
    """Raise `ValueError` unless both are known."""
    _checks.choice("colors", colors, (1, 3))
    _checks.choice("filling", filling, FILLINGS)


def patch_for(height: int, width: int, max_tokens: int, stem: str) -> int:
    """The smallest patch that keeps to `max_tokens`, or the largest there is; a stem reads pixels."""
    if stem != "none":
        return 1
    fitting = (p for p in PATCHES if -(-height // p) * -(-width // p) <= max_tokens)
    return next(fitting, PATCHES[-1])
