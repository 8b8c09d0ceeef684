"""What each family of models takes, as inputs of a graph, and how it is called with them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, singledispatch
from typing import Any

from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.interop.array_perceiver_io import ArrayPerceiverIO, TokenPerceiverIO
from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver
from perceiver_pytorch.models.blended import BlendedPerceiver
from perceiver_pytorch.models.inputs import ModalityReader
from perceiver_pytorch.models.modalities import InputModality
from perceiver_pytorch.models.multi_task_perceiver import MultiTaskPerceiver
from perceiver_pytorch.models.perceiver import Perceiver
from perceiver_pytorch.models.perceiver_io import PerceiverIO
from perceiver_pytorch.models.text.perceiver_ar import PerceiverAR
from perceiver_pytorch.models.text.perceiver_lm import PerceiverLM
from perceiver_pytorch.nn.queries import GivenQueries
from perceiver_pytorch.runtime.signature import DATA, MASK, MOST_ROWS, PLACE, QUERIES, GraphInput

Parts = Mapping[str, Mapping[str, Any]]
"""{part: {modality: tensor}}; of places {modality: per axis a tensor or None}."""

_MOST = {1: 1 << 22, 2: 1 << 13}  # of an axis, by how many a modality has: of all tokens, below what 32 bits count
_MOST_OF_MORE = 1 << 10
_MOST_QUERIES = 1 << 20


@dataclass(frozen=True)
class ModelSignature:
    """What a model takes.

    Attributes:
        inputs: of its graph.
        call: runs the model on them.
        answer: the name of what it gives, where that is one tensor.
        ids: {modality of ids: how many ids there are}.
    """

    inputs: tuple[GraphInput, ...]
    call: Callable[[Parts], Any]
    answer: str = "logits"
    ids: Mapping[str, int] = field(default_factory=dict)

    def with_sizes(self, sizes: Mapping[str, Sequence[int]]) -> "ModelSignature":
        """With fixed lengths of some modalities' axes.

        Raises:
            ValueError: for a modality that there is not, or another number of axes, or lengths that it cannot have.
        """
        masks = {entry.modality: entry for entry in self.inputs if entry.part == MASK}
        for name, lengths in sizes.items():
            _checks.choice("a modality of sizes", name, tuple(masks))
            least, most = masks[name].least[1:], masks[name].most[1:]
            if len(lengths) != len(most):
                raise ValueError(f"sizes of {name!r} must be {len(most)} lengths, got {'x'.join(map(str, lengths))}")
            for low, length, high in zip(least, lengths, most, strict=True):
                if not low <= length <= high:
                    raise ValueError(f"sizes of {name!r} must lie in {low} to {high:,}, got {length}")
        return replace(self, inputs=tuple(_fixed(entry, sizes.get(entry.modality)) for entry in self.inputs))


def _fixed(entry: GraphInput, lengths: Sequence[int] | None) -> GraphInput:
    """The input with these lengths of its modality's axes."""
    if lengths is None or entry.part == QUERIES:
        return entry
    if entry.part == PLACE:
        lengths = lengths[entry.axis : entry.axis + 1]
    least, most = ((*bounds[:1], *lengths, *bounds[1 + len(lengths) :]) for bounds in (entry.least, entry.most))
    return replace(entry, least=least, most=most)


@singledispatch
def signature_of(model: nn.Module) -> ModelSignature:
    """What a model takes.

    Raises:
        ValueError: for a model of a class that is not known here.
    """
    raise ValueError(
        f"a {type(model).__name__} cannot be exported: models that can are those of this package; of one of your own, "
        "register what it takes with perceiver_pytorch.export.model_signature.signature_of.register"
    )


@signature_of.register
def _of_modalities(model: ModalityReader) -> ModelSignature:
    inputs = tuple(entry for modality in model.modalities.values() for entry in _modality_inputs(modality))
    answer = "latents" if getattr(model, "num_classes", None) is None else "logits"
    ids = {name: size for name, modality in model.modalities.items() if (size := _ids(modality))}
    return ModelSignature(inputs, partial(_by_modality, model), answer, ids)


@signature_of.register
def _of_one_input(model: Perceiver) -> ModelSignature:
    def call(parts: Parts) -> Any:
        return model(parts[DATA]["data"], parts[MASK], coordinates=parts[PLACE].get("data"))

    return replace(_of_modalities(model), call=call)


@signature_of.register
def _of_perceiver_io(model: PerceiverIO) -> ModelSignature:
    found = _of_modalities(model)
    given = {
        name: spec.dim
        for name, output in model.outputs.items()
        for spec in output.specs
        if isinstance(spec, GivenQueries)
    }
    queries = tuple(
        GraphInput(f"in_{name}.queries", name, QUERIES, "float32", (1, 1, dim), (MOST_ROWS, _MOST_QUERIES, dim))
        for name, dim in given.items()
    )

    def call(parts: Parts) -> Any:
        return _by_modality(model, parts, **({"queries": parts[QUERIES]} if given else {}))

    names = [*model.outputs]
    return replace(found, inputs=found.inputs + queries, call=call, answer=names[0] if len(names) == 1 else "latents")


@signature_of.register
def _of_tasks(model: MultiTaskPerceiver) -> ModelSignature:
    return replace(signature_of(model.encoder), call=partial(_by_modality, model))


@signature_of.register
def _of_heads(model: BlendedPerceiver) -> ModelSignature:
    return replace(signature_of(model.trunk), call=partial(_by_modality, model))


@signature_of.register
def _of_masked_text(model: PerceiverLM) -> ModelSignature:
    return _of_tokens(model, model.vocab_size, model.max_length)


@signature_of.register
def _of_causal_text(model: PerceiverAR) -> ModelSignature:
    least = min(model.num_latents + 1, model.max_length)  # PyTorch tells prefixes of no token from others
    return _of_tokens(model, model.vocab_size, model.max_length, least=least)


@signature_of.register
def _of_upstream_text(model: TokenPerceiverIO) -> ModelSignature:
    return _of_tokens(model, model.token_emb.num_embeddings, model.pos_emb.num_embeddings)


@signature_of.register
def _of_array(model: ArrayPerceiverIO) -> ModelSignature:
    array = InputModality("data", model.cross_attend.to_k.in_features, 1, 0, 2.0)
    dim = model.decoder.to_q.in_features
    queries = GraphInput("in_queries", "queries", QUERIES, "float32", (1, 1, dim), (MOST_ROWS, _MOST_QUERIES, dim))

    def call(parts: Parts) -> Any:
        return model(parts[DATA]["data"], parts[MASK]["data"], parts[QUERIES]["queries"])

    return ModelSignature((*_modality_inputs(array), queries), call)


@signature_of.register
def _of_published(model: PublishedPerceiver) -> ModelSignature:
    config = model.config
    if model.task in ("masked-lm", "text-classification"):
        return _of_tokens(model, config.vocab_size, config.max_position_embeddings)
    raise ValueError(
        f"a model in transformers' format for {model.task} cannot be exported; those for masked-lm and "
        "text-classification can"
    )


def _of_tokens(model: nn.Module, num_ids: int, most: int, least: int = 1) -> ModelSignature:
    """Of a model of token ids, with a mask beside them; one more than it has latents at least, of a causal one."""

    def call(parts: Parts) -> Any:
        return model(parts[DATA]["tokens"], parts[MASK]["tokens"])

    inputs = (
        GraphInput("in_tokens", "tokens", DATA, "int64", (1, least), (MOST_ROWS, most)),
        GraphInput("in_tokens.mask", "tokens", MASK, "bool", (1, least), (MOST_ROWS, most)),
    )
    return ModelSignature(inputs, call, ids={"tokens": num_ids})


def _by_modality(model: nn.Module, parts: Parts, **more: Any) -> Any:
    return model(parts[DATA], parts[MASK], coordinates=parts[PLACE] or None, **more)


def _modality_inputs(modality: InputModality) -> list[GraphInput]:
    name, count = f"in_{modality.name}", modality.input_axis
    most = (MOST_ROWS, *[_MOST.get(count, _MOST_OF_MORE)] * count)
    least = (1,) * len(most)
    looked_up = getattr(modality, "embedding", None) is not None
    channels = () if looked_up else (modality.input_channels,)
    dtype = "int64" if _ids(modality) else "float32"
    found = [
        GraphInput(name, modality.name, DATA, dtype, (*least, *channels), (*most, *channels)),
        GraphInput(f"{name}.mask", modality.name, MASK, "bool", least, most),
    ]
    for axis, coordinates in enumerate(modality.axis_coordinates):
        if coordinates > 1:
            bounds = (1, 1, coordinates), (MOST_ROWS, most[1 + axis], coordinates)
            found.append(GraphInput(f"{name}.place.{axis}", modality.name, PLACE, "float32", *bounds, axis))
    return found


def _ids(modality: InputModality) -> int:
    """How many ids a modality has, of one of ids; else 0."""
    embedding = getattr(modality, "embedding", None)
    return getattr(modality.stem, "num_ids", 0) if embedding is None else embedding.num_embeddings


class ModelGraph(nn.Module):
    """A model that takes tensors by the names of its graph's inputs, and gives what it answers by name.

    Args:
        model: in evaluation mode, on the CPU.
        signature: what it takes.
    """

    def __init__(self, model: nn.Module, signature: ModelSignature) -> None:
        super().__init__()
        self.model = model
        self.signature = signature

    def forward(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{``out_NAME``: float32 tensor} of every answer."""
        parts: dict[str, dict[str, Any]] = {DATA: {}, MASK: {}, PLACE: {}, QUERIES: {}}
        axes = {entry.modality: len(entry.most) - 1 for entry in self.signature.inputs if entry.part == MASK}
        for entry in self.signature.inputs:
            tensor = tensors[entry.name]
            if entry.part == PLACE:
                parts[PLACE].setdefault(entry.modality, [None] * axes[entry.modality])[entry.axis] = tensor
            else:
                parts[entry.part][entry.modality] = tensor
        found = self.signature.call(parts)
        answers = found if isinstance(found, Mapping) else {self.signature.answer: found}
        return {f"out_{name}": tensor.float() for name, tensor in answers.items()}
