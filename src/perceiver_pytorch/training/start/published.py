"""A published Perceiver for a table: its reader and encoder as they are, heads for the targets, and more modalities."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch.data import InputSpec
from perceiver_pytorch.interop.published_decoders import ClassDecoder
from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver
from perceiver_pytorch.models.blended import BlendedPerceiver
from perceiver_pytorch.models.inputs import Tokens, read_by_stem
from perceiver_pytorch.models.modalities import (
    Coordinates,
    InputModality,
    InputModalityWithEmbedding,
    make_context,
    modality_from_config,
)
from perceiver_pytorch.models.multi_task_perceiver import sizes_of_tasks
from perceiver_pytorch.models.saving import SavedModel
from perceiver_pytorch.nn.module_dict import NamedModules
from perceiver_pytorch.ops import Context
from perceiver_pytorch.training.start.published_inputs import columns_read, published_contexts
from perceiver_pytorch.training.table.build import TableModel, model_name, table_modality
from perceiver_pytorch.training.table.settings import ModelConfig


class PublishedTableModel(SavedModel):
    """The encoder of a `PublishedPerceiver` over a table's modalities, with a head per target.

    One modality, or two, are read as the published model reads them: text as its bytes with learned positions; images
    with its normalisation and positions, whatever their size; two images as the frames of optical flow; video and sound
    in its patches. The others' tokens are as wide, and their learned codes fill what data and positions leave free.

    Args:
        published: ``task`` and ``sizes`` of the `PublishedPerceiver`.
        reads: what its reader reads, by role (``text``, ``image``, ``audio``, ``first`` and ``second``): see
            `perceiver_pytorch.training.start.published_inputs.Reads`.
        modalities: the other modalities.
        tasks: {target: size of its output}, or pairs of them.

    Raises:
        ValueError: an unknown task, or a modality whose tokens are wider than the published ones.
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
        model = PublishedPerceiver(published["task"], published["sizes"])
        self.task, self.tasks = model.task, sizes_of_tasks(tasks)
        self.reads = {role: dict(column) for role, column in reads.items()}
        self.reader, self.encoder = model.reader, model.encoder
        self.decoder = model.decoder if isinstance(model.decoder, ClassDecoder) else ClassDecoder(model.config)
        width = model.config.d_latents
        self.decoder.head = nn.Identity()  # type: ignore[assignment]
        self.queries = nn.Parameter(self.decoder.queries.detach().repeat(len(self.tasks), 1))
        del self.decoder.queries
        self.heads = nn.ModuleList(nn.Linear(width, size) for size in self.tasks.values())
        self.modalities = {m.name: m for m in map(modality_from_config, modalities)}
        self.embeddings, self.stems, self.codes = NamedModules(), NamedModules(), nn.ParameterDict()
        for name, modality in self.modalities.items():
            self._add(name, modality)
        self._record_config(
            published={"task": model.task, "sizes": model.config.to_json()},
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
        contexts = published_contexts(self.task, self.reader, self.reads, multi_modality_data, masks)
        for name, modality in self.modalities.items():
            if name in multi_modality_data:
                contexts.append(self._context(modality, multi_modality_data[name], masks.get(name), places.get(name)))
        if not contexts:
            raise ValueError(f"the batch has no modality that this model reads, got {', '.join(multi_modality_data)}")
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
        read = ", ".join(column["name"] for column in self.reads.values())
        return (
            f"{parameters:,} parameters; latents {num_latents} x {width}; published as {self.task}; output: {outputs}\n"
            f"{self.reader.num_channels} channels per token\n"
            f"  {read}: as published\n  other modalities: {others}"
        )

    def _add(self, name: str, modality: InputModality) -> None:
        """A further modality's embedding and stem, and the learned code that fills its tokens."""
        if isinstance(modality, InputModalityWithEmbedding) and modality.embedding is not None:
            self.embeddings[name] = modality.embedding
        if modality.stem is not None:
            self.stems[name] = modality.stem
        channels = modality.data_channels
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
        if modality.name in self.stems:
            found = read_by_stem(modality, self.stems[modality.name], Tokens(data, mask, coordinates))
            data, mask, coordinates = found.data, found.mask, found.coordinates
        return make_context(
            modality,
            data,
            width=int(self.reader.num_channels),  # type: ignore[arg-type]
            code=self.codes[modality.name],
            freq_scale="linear",
            mask=mask,
            coordinates=coordinates,
        )


RunModel = TableModel | BlendedPerceiver | PublishedTableModel
"""What a run trains."""


def published_table_model(
    model: PublishedPerceiver, spec: InputSpec, config: ModelConfig, place: str
) -> PublishedTableModel:
    """A fresh `PublishedTableModel` of a published model's sizes for a table.

    Raises:
        ValueError: the table has nothing that the published model can read, or a text longer than its positions.
    """
    reads = columns_read(model, spec, place)
    read = {column["name"] for column in reads.values()}
    others = [modality for modality in spec.modalities if model_name(modality.name) not in read]
    return PublishedTableModel(
        published={"task": model.task, "sizes": model.config.to_json()},
        reads=reads,
        modalities=[table_modality(modality, config) for modality in others],
        tasks={target.name: target.size for target in spec.targets},
    )
