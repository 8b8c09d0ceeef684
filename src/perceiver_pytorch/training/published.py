"""A published Perceiver for a table: its reader and encoder as they are, heads for the targets, and more modalities."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch._saving import SavedModel
from perceiver_pytorch.data import InputSpec
from perceiver_pytorch.interop.decoders import ClassDecoder
from perceiver_pytorch.interop.model import PublishedPerceiver
from perceiver_pytorch.modalities import (
    Coordinates,
    InputModality,
    InputModalityWithEmbedding,
    make_context,
    modality_from_config,
)
from perceiver_pytorch.multi_task_perceiver import sizes_of_tasks
from perceiver_pytorch.ops import Context
from perceiver_pytorch.training.build import TableModel, model_name, table_modality
from perceiver_pytorch.training.config import ModelConfig

TEXT_TASKS = ("masked-lm", "text-classification")
IMAGE_TASKS = ("image-learned", "image-fourier", "image-conv")
_PIXELS = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}  # of ImageNet, where a checkpoint names none
_FIRST_BYTE, _CLS, _SEP = 6, 4, 5  # ids of the published byte vocabulary


class PublishedTableModel(SavedModel):
    """The encoder of a `PublishedPerceiver` over a table's modalities, with a head per target.

    One modality is read as the published model reads it: text as its bytes with learned positions, images with its
    normalisation and positions, whatever their size. The others' tokens are as wide, and their learned codes fill what
    data and positions leave free.

    Args:
        published: ``task`` and ``sizes`` of the `PublishedPerceiver`.
        reads: ``name`` of the modality that its reader reads; of images also ``axes`` (rows and columns of tokens),
            ``patch``, ``colors``, ``mean`` and ``std`` (per colour, of pixels from 0 to 1).
        modalities: the other modalities.
        tasks: {target: size of its output}, or pairs of them.

    Raises:
        ValueError: another task than text or image, or a modality whose tokens are wider than the published ones.
    """

    def __init__(
        self,
        *,
        published: Mapping[str, Any],
        reads: Mapping[str, Any],
        modalities: Sequence[InputModality | Mapping[str, Any]],
        tasks: Mapping[str, int] | Sequence[Sequence[Any]],
    ) -> None:
        super().__init__()
        task = _checks.choice("the checkpoint's task", published["task"], (*TEXT_TASKS, *IMAGE_TASKS))
        model = PublishedPerceiver(task, published["sizes"])
        self.task, self.reads, self.tasks = task, dict(reads), sizes_of_tasks(tasks)
        self.reader, self.encoder = model.reader, model.encoder
        self.decoder = model.decoder if isinstance(model.decoder, ClassDecoder) else ClassDecoder(model.config)
        width = model.config.d_latents
        self.decoder.head = nn.Identity()  # type: ignore[assignment]
        self.queries = nn.Parameter(self.decoder.queries.detach().repeat(len(self.tasks), 1))
        del self.decoder.queries
        self.heads = nn.ModuleList(nn.Linear(width, size) for size in self.tasks.values())
        self.modalities = {m.name: m for m in map(modality_from_config, modalities)}
        self.embeddings, self.codes = nn.ModuleDict(), nn.ParameterDict()
        for name, modality in self.modalities.items():
            self._add(name, modality)
        self._record_config(
            published={"task": task, "sizes": model.config.to_json()},
            reads=self.reads,
            modalities=[modality.to_config() for modality in self.modalities.values()],
            tasks=list(self.tasks.items()),
        )

    def forward(
        self,
        multi_modality_data: Mapping[str, Tensor],
        mask: Mapping[str, Tensor] | None = None,
        *,
        coordinates: Mapping[str, Coordinates] | None = None,
    ) -> dict[str, Tensor]:
        """Arguments as in `MultiModalityWithTextPerceiver`.

        Returns:
            ``{target: (batch, size)}``.
        """
        masks, places = mask or {}, coordinates or {}
        contexts: list[Context] = []
        for name, data in multi_modality_data.items():
            if name == self.reads["name"]:
                read = self._text if self.task in TEXT_TASKS else self._image
                contexts += self.reader(*read(data, masks.get(name)), **self._options())
            else:
                contexts.append(self._context(self.modalities[name], data, masks.get(name), places.get(name)))
        latents = self.encoder(contexts)
        answers = self.decoder.block(self.queries.expand(len(latents), -1, -1), latents)
        return {name: head(answers[:, i]) for i, (name, head) in enumerate(zip(self.tasks, self.heads, strict=True))}

    def train(self, mode: bool = True) -> "PublishedTableModel":
        """The convolution's normalisation keeps its published statistics: batches of a table may be small."""
        super().train(mode)
        if self.task == "image-conv":
            self.reader.batchnorm.eval()  # type: ignore[union-attr]
        return self

    def summary(self, inputs: Any = None) -> str:
        """A few lines: parameters, latents, and what reads which modality."""
        parameters = sum(p.numel() for p in self.parameters())
        num_latents, width = self.encoder.latents.shape
        outputs = ", ".join(f"{name} ({size})" for name, size in self.tasks.items())
        others = ", ".join(self.modalities) or "none"
        return (
            f"{parameters:,} parameters; latents {num_latents} x {width}; published as {self.task}; output: {outputs}\n"
            f"{self.reader.num_channels} channels per token\n"
            f"  {self.reads['name']}: as published\n  other modalities: {others}"
        )

    def _options(self) -> dict[str, Any]:
        return {"interpolate": True} if self.task == "image-learned" else {}

    def _add(self, name: str, modality: InputModality) -> None:
        """A further modality's embedding, and the learned code that fills its tokens."""
        channels = modality.input_channels
        if isinstance(modality, InputModalityWithEmbedding):
            assert modality.embedding is not None
            self.embeddings._modules[name] = modality.embedding
            channels = modality.embedding.embedding_dim
        free = int(self.reader.num_channels) - channels - modality.position_dim  # type: ignore[arg-type]
        if free < 0:
            raise ValueError(
                f"modality {name!r} has {channels} channels and {modality.position_dim} of position, but tokens of "
                f"this checkpoint have {self.reader.num_channels}; make patches or embeddings smaller"
            )
        self.codes[name] = nn.Parameter(torch.randn(free) * 0.02)

    def _context(
        self, modality: InputModality, data: Tensor, mask: Tensor | None, coordinates: Coordinates | None
    ) -> Context:
        if modality.name in self.embeddings:
            data = self.embeddings[modality.name](data)
        return make_context(
            modality,
            data,
            width=int(self.reader.num_channels),  # type: ignore[arg-type]
            code=self.codes[modality.name],
            freq_scale="linear",
            mask=mask,
            coordinates=coordinates,
        )

    def _text(self, ids: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The published ids of a table's bytes (1 and up), between the tokens that begin and end a text."""
        there = ids > 0 if mask is None else mask
        published = torch.where(there, ids - 1 + _FIRST_BYTE, 0)
        lengths = there.sum(1, keepdim=True)
        framed = F.pad(published, (1, 1))
        framed[:, 0] = _CLS
        framed.scatter_(1, lengths + 1, _SEP)
        return framed, (torch.arange(framed.shape[1], device=ids.device) < lengths + 2) & (lengths > 0)

    def _image(self, patches: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Normalised pixels (batch, 3, height, width) of the whole box, and where they are real."""
        rows, columns = self.reads["axes"]
        there = patches.new_ones(patches.shape[:3], dtype=torch.bool) if mask is None else mask
        missing = (0, columns - patches.shape[2], 0, rows - patches.shape[1])
        patches, there = F.pad(patches, (0, 0, *missing)), F.pad(there, missing)
        p = self.reads["patch"]
        pixels = rearrange(patches, "b h w (p q c) -> b c (h p) (w q)", p=p, q=p).float() / 255
        mean, std = (torch.tensor(self.reads[name], device=pixels.device).view(3, 1, 1) for name in ("mean", "std"))
        pixels = (pixels.expand(-1, 3, -1, -1) - mean) / std
        if there.all():
            return pixels, None
        fine = repeat(there, "b h w -> b (h p) (w q)", p=p, q=p)
        if self.task == "image-conv":
            side = [((size - 1) // 2 + 1 - 3) // 2 + 1 for size in fine.shape[1:]]
            fine = F.interpolate(fine[:, None].float(), side, mode="nearest")[:, 0] > 0
        return pixels, fine.flatten(1)


RunModel = TableModel | PublishedTableModel
"""What a run trains."""


def published_table_model(
    model: PublishedPerceiver, spec: InputSpec, config: ModelConfig, place: str
) -> PublishedTableModel:
    """A fresh `PublishedTableModel` of a published model's sizes for a table.

    Raises:
        ValueError: the table has nothing that the published model can read, or a text longer than its positions.
    """
    kind = "text" if model.task in TEXT_TASKS else "image"
    if model.task not in (*TEXT_TASKS, *IMAGE_TASKS):
        raise ValueError(f"--from {place}: a model of {model.task} cannot be fine-tuned on a table")
    found = [m for m in spec.modalities if m.kind == kind and not getattr(m, "tokenizer", "")]
    if not found:
        words = "text that is read as bytes" if kind == "text" else "images"
        raise ValueError(f"--from {place}: this model reads {kind}, but the table has no column of {words}")
    read: Any = found[0]
    reads: dict[str, Any] = {"name": model_name(read.name)}
    longest = model.config.max_position_embeddings - 2  # the text stands between two tokens
    if kind == "text" and read.length > longest:
        raise ValueError(f"--from {place}: it reads {longest} bytes of text; use --set data.max_text_bytes={longest}")
    if kind == "image":
        means, stds = (model.preprocessing.get(f"image_{name}", value) for name, value in _PIXELS.items())
        reads |= {"axes": list(read.axes), "patch": read.patch, "colors": read.colors, "mean": means, "std": stds}
    return PublishedTableModel(
        published={"task": model.task, "sizes": model.config.to_json()},
        reads=reads,
        modalities=[table_modality(modality, config) for modality in spec.modalities if modality is not read],
        tasks={target.name: target.size for target in spec.targets},
    )
