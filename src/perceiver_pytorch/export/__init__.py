"""Trained models as graphs that run without this package's models: ONNX, or PyTorch's own format.

>>> from perceiver_pytorch.export import export
>>> export("runs/table", "exported", format="onnx")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from perceiver_pytorch._lazy import lazily

if TYPE_CHECKING:
    from perceiver_pytorch.export.exporting import export

__all__ = ["export"]

__getattr__, __dir__ = lazily(__name__, {"exporting": "export"})
