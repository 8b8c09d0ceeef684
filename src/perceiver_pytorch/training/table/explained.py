"""A run's model as something to be explained."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from perceiver_pytorch.data import InputSpec
from perceiver_pytorch.data.calibration import calibration_of
from perceiver_pytorch.explain.subject import Lookup, Subject
from perceiver_pytorch.models.blended import BlendedPerceiver
from perceiver_pytorch.models.multi_task_perceiver import MultiTaskPerceiver
from perceiver_pytorch.nn.stems import Stem
from perceiver_pytorch.training.table.build import gives_tokens, model_name, run_model


def subject_of(model: nn.Module, spec: InputSpec) -> Subject:
    """What `perceiver_pytorch.explain` needs to know of a run's model."""
    reader = _reader(model)
    names = {modality.name: model_name(modality.name) for modality in spec.modalities}
    lookups = {name: found for name, inner in names.items() if (found := _lookup(reader, inner)) is not None}
    return Subject(
        model.eval(),
        spec,
        lambda batch: run_model(model, batch, spec.targets),
        lookups,
        names if gives_tokens(model) else {},
        calibration_of(model, spec.targets),
    )


def _reader(model: Any) -> Any:
    """What of a model has embeddings and stems."""
    model = model.trunk if isinstance(model, BlendedPerceiver) else model
    return model.encoder if isinstance(model, MultiTaskPerceiver) else model


def _lookup(reader: Any, name: str) -> Lookup | None:
    """Where the ids of a modality become vectors; None of values, and where it is not known."""
    embeddings: Mapping[str, nn.Module] = getattr(reader, "embeddings", {})
    if name in embeddings:
        return Lookup(embeddings[name], embeddings[name])
    stems: Mapping[str, nn.Module] = getattr(reader, "stems", {})
    if name not in stems or not isinstance(stem := stems[name], Stem):
        return None
    tables = {path.rpartition(".")[0] for path in stem.rows_by_id}
    found = [module for path, module in stem.named_modules() if path in tables and isinstance(module, _TABLES)]
    return Lookup(stem, found[0]) if found else None


_TABLES = (nn.Embedding, nn.EmbeddingBag)
