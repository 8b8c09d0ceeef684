"""What the model saw of a row, as the report shows it."""

from collections.abc import Mapping
from typing import Any

from perceiver_pytorch.data import Encoded, ModalitySpec
from perceiver_pytorch.data.kinds.base import Part


def parts(modality: ModalitySpec, encoded: Encoded | None, cells: Mapping[str, Any]) -> list[Part]:
    """How one modality of a row is shown: as its kind draws it."""
    if encoded is None:
        return [{"kind": "text", "name": modality.name, "value": "(missing)"}]
    return modality.example(encoded, cells)
