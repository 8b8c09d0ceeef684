"""A table's batches as a published Perceiver reads its inputs: which columns, and how their tokens are cut anew.

A table's images, frames and sounds come in patches of the table's choice. They are put together again and cut as the
published model's were, so that each channel of a token means what it meant there. Positions span any size or length.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

from perceiver_pytorch.data import InputSpec, ModalitySpec, SpecOptions
from perceiver_pytorch.interop.clips import FRAMES_PER_SECOND
from perceiver_pytorch.interop.flow import frame_patches
from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver
from perceiver_pytorch.interop.published_readers import (
    AUDIO_BANDS,
    VIDEO_BANDS,
    VIDEO_PATCH,
    MultimodalReader,
    grid_context,
)
from perceiver_pytorch.ops import Context
from perceiver_pytorch.training.table.build import model_name

TEXT_TASKS = ("masked-lm", "text-classification")
IMAGE_TASKS = ("image-learned", "image-fourier", "image-conv")
_PIXELS = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}  # of ImageNet, where a checkpoint names none
_FIRST_BYTE, _CLS, _SEP = 6, 4, 5  # ids of the published byte vocabulary

Reads = Mapping[str, Any]
"""How a column is cut into tokens in the table: ``name`` of the modality; ``axes`` in tokens; ``patch``; ``colors`` and
for image tasks ``mean``, ``std`` of a pixel from 0 to 1; of sound ``sides``, and ``mean``, ``std`` of its samples."""


def columns_read(model: PublishedPerceiver, spec: InputSpec, place: str) -> dict[str, Reads]:
    """What the model's own reader reads of a table, by its role: the first columns of the kinds that it knows.

    Raises:
        ValueError: the table has nothing of the kind, cells that are read in pieces, or texts longer than the model's
            positions.
    """
    if long := [m.name for m in spec.modalities if m.in_memory()]:
        raise ValueError(
            f"--from {place}: a published model reads no cells in pieces, as long ones of {', '.join(long)} are; "
            "use --set data.stream_seconds=null"
        )
    if model.task in TEXT_TASKS:
        text = _first(spec, "text", lambda m: not m.tokenizer)
        if text is None:
            raise ValueError(
                f"--from {place}: this model reads text, but the table has no column of text as bytes "
                "(data.text_units=bytes)"
            )
        longest = model.config.max_position_embeddings - 2  # the text stands between two tokens
        if text.length > longest:
            raise ValueError(
                f"--from {place}: it reads {longest} bytes of text; use --set data.max_text_bytes={longest}"
            )
        return {"text": {"name": model_name(text.name)}}
    if model.task in IMAGE_TASKS:
        image = _first(spec, "image")
        if image is None:
            raise ValueError(f"--from {place}: this model reads images, but the table has no column of images")
        means, stds = (model.preprocessing.get(f"image_{name}", value) for name, value in _PIXELS.items())
        return {"image": {**_cut(image), "mean": list(means), "std": list(stds)}}
    if model.task == "optical-flow":
        images: list[Any] = [m for m in spec.modalities if m.kind == "image"][:2]
        if len(images) < 2:
            raise ValueError(
                f"--from {place}: this model reads two frames, so the table needs two columns of images, got "
                f"{len(images)}; of a video, give two of its frames as images"
            )
        first, second = images
        if (first.height, first.width) != (second.height, second.width):
            raise ValueError(
                f"--from {place}: both frames must have one size, but {first.name} has {first.height}x{first.width} "
                f"and {second.name} {second.height}x{second.width}; use "
                "--set data.image_size and data.image_fit=stretch"
            )
        return {"first": _cut(first), "second": _cut(second)}
    video = _first(spec, "video") or _first(spec, "image")
    audio = _first(spec, "audio", lambda m: not m.mel_bands)
    if video is None and audio is None:
        raise ValueError(
            f"--from {place}: this model reads video and sound, but the table has no column of videos, images or "
            "sounds as samples (data.audio_features=raw)"
        )
    return {role: _cut(m) for role, m in (("audio", audio), ("image", video)) if m is not None}


def adopt_rates(options: SpecOptions, model: PublishedPerceiver) -> SpecOptions:
    """The options with the rates and patches of a multi-modal checkpoint, and the bytes of one that reads text, unless
    they say something else than by default. Published models read no pieces.
    """
    default, config = SpecOptions(), model.config
    theirs: dict[str, Any] = {}
    if model.task in TEXT_TASKS:
        theirs = {"text_units": "bytes"}
    if model.task == "multimodal-autoencoding":
        theirs = {
            "sample_rate": FRAMES_PER_SECOND * config.audio_samples_per_frame,
            "audio_features": "raw",
            "audio_patch": config.samples_per_patch,
            "video_rate": float(FRAMES_PER_SECOND),
            "video_patch": VIDEO_PATCH,
        }
    theirs["stream_seconds"] = None
    free = {name: value for name, value in theirs.items() if getattr(options, name) == getattr(default, name)}
    return dataclasses.replace(options, **free)


def published_contexts(
    task: str, reader: Any, reads: Mapping[str, Reads], data: Mapping[str, Tensor], masks: Mapping[str, Tensor]
) -> list[Context]:
    """The contexts that a published reader makes of a table's batch; a column that is not given is left out.

    Args:
        task, reader: of the `PublishedPerceiver`.
        reads: of `columns_read`.
        data, masks: of the batch, by the names of the modalities.
    """
    given = {role: column for role, column in reads.items() if column["name"] in data}
    tensors = {role: (data[column["name"]], masks.get(column["name"])) for role, column in given.items()}
    if task == "multimodal-autoencoding":
        return _clip(reader, given, tensors)
    if len(given) < len(reads):
        return []
    if task in TEXT_TASKS:
        return reader(*_text(*tensors["text"]))
    pixels, masks_of_pixels = {}, []
    for role, column in given.items():
        pixels[role], there = _pixels(column, *tensors[role])
        masks_of_pixels.append(there)
    there = None if all(mask is None for mask in masks_of_pixels) else _both(masks_of_pixels)
    options = {} if task in ("image-fourier", "image-conv") else {"interpolate": True}
    if task == "optical-flow":
        pairs = zip(pixels["first"], pixels["second"], strict=True)
        patches = torch.stack([torch.stack([frame_patches(frame.movedim(0, -1)) for frame in pair]) for pair in pairs])
        return reader(patches, None if there is None else there.flatten(1), **options)
    column = reads["image"]
    mean, std = (torch.tensor(column[name], device=pixels["image"].device).view(3, 1, 1) for name in ("mean", "std"))
    if there is not None and task == "image-conv":
        side = [((size - 1) // 2 + 1 - 3) // 2 + 1 for size in there.shape[1:]]
        there = F.interpolate(there[:, None].float(), side, mode="nearest")[:, 0] > 0
    return reader((pixels["image"].float() / 255 - mean) / std, None if there is None else there.flatten(1), **options)


def _first(spec: InputSpec, kind: str, suits: Any = lambda modality: True) -> Any:
    return next((m for m in spec.modalities if m.kind == kind and suits(m)), None)


def _cut(modality: ModalitySpec) -> dict[str, Any]:
    """How a column is cut into tokens."""
    return {"name": model_name(modality.name), "axes": list(modality.axes), **modality.layout()}


def _text(ids: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """The published ids of a table's bytes (1 and up), between the tokens that begin and end a text."""
    there = ids > 0 if mask is None else mask
    published = torch.where(there, ids - 1 + _FIRST_BYTE, 0)
    lengths = there.sum(1, keepdim=True)
    framed = F.pad(published, (1, 1))
    framed[:, 0] = _CLS
    framed.scatter_(1, lengths + 1, _SEP)
    return framed, (torch.arange(framed.shape[1], device=ids.device) < lengths + 2) & (lengths > 0)


def _filled(axes: Sequence[int], tokens: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Tokens (batch, *axes, channels) and mask of the column's whole length, of which a batch may lack the end."""
    missing = [n for whole, length in zip(axes[::-1], tokens.shape[-2:0:-1], strict=True) for n in (0, whole - length)]
    if not any(missing):
        return tokens, mask
    there = tokens.new_ones(tokens.shape[:-1], dtype=torch.bool) if mask is None else mask
    return F.pad(tokens, (0, 0, *missing)), F.pad(there, missing)


def _pixels(column: Reads, patches: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Pixels (batch, *times, 3, height, width) of the whole box, and where they are real (None: everywhere)."""
    patches, mask = _filled(column["axes"], patches, mask)
    p = column["patch"]
    pixels = rearrange(patches, "b ... h w (p q c) -> b ... c (h p) (w q)", p=p, q=p)
    pixels = pixels.expand(*pixels.shape[:-3], 3, -1, -1)
    if mask is None or mask.all():
        return pixels, None
    return pixels, repeat(mask, "b ... h w -> b ... (h p) (w q)", p=p, q=p)


def _both(masks: Sequence[Tensor | None]) -> Tensor:
    """Where all of several masks hold."""
    known = [mask for mask in masks if mask is not None]
    return torch.stack(known).all(0)


def _clip(
    reader: MultimodalReader, reads: Mapping[str, Reads], tensors: Mapping[str, tuple[Tensor, Tensor | None]]
) -> list[Context]:
    """Sound, video and the label's token, which the published model never sees either."""
    config, contexts = reader.config, []
    if "audio" in reads:
        samples, there = _sound(reads["audio"], config.samples_per_patch, *tensors["audio"])
        contexts.append(
            grid_context(samples, (config.num_audio_samples,), AUDIO_BANDS, reader.padding["audio"][0], there)
        )
    if "image" in reads:
        patches, there = _video(reads["image"], *tensors["image"])
        resolutions = (config.num_frames, config.image_size, config.image_size)
        contexts.append(grid_context(patches, resolutions, VIDEO_BANDS, reader.padding["image"][0], there))
    if contexts:
        contexts.append(Context(reader.mask["label"].expand(len(contexts[0].data), 1, -1)))
    return contexts


def _video(column: Reads, patches: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Patches (batch, frames, rows, columns, 48) in [0, 1]; an image is a single frame."""
    pixels, there = _pixels(column, patches, mask)
    if pixels.dim() == 4:
        pixels, there = pixels[:, None], None if there is None else there[:, None]
    missing = (0, -pixels.shape[-1] % VIDEO_PATCH, 0, -pixels.shape[-2] % VIDEO_PATCH)
    cut = "b t c (h p) (w q) -> b t h w (p q c)"
    tokens = rearrange(F.pad(pixels, missing), cut, p=VIDEO_PATCH, q=VIDEO_PATCH).float() / 255
    if there is None:
        return tokens, None
    there = rearrange(F.pad(there, missing)[:, :, None], cut, p=VIDEO_PATCH, q=VIDEO_PATCH).any(-1)
    return tokens, there.flatten(1)


def _sound(column: Reads, size: int, patches: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Patches (batch, tokens, size) of samples as they were before the table standardised them, of all sides' mean."""
    patches, mask = _filled(column["axes"], patches, mask)
    samples = patches.unflatten(-1, (-1, column["sides"])) * column["std"] + column["mean"]
    there = (
        samples.new_ones(samples.shape[:3], dtype=torch.bool)
        if mask is None
        else mask[..., None].expand(samples.shape[:3])
    )
    missing = -samples.shape[1:3].numel() % size
    flat = F.pad((samples.mean(-1) * there).flatten(1), (0, missing)).unflatten(1, (-1, size))
    there = F.pad(there.flatten(1), (0, missing)).unflatten(1, (-1, size)).any(-1)
    return flat, None if there.all() else there
