"""Exported models, run without PyTorch: NumPy, onnxruntime and the libraries that decode files are enough.

>>> from perceiver_pytorch import runtime
>>> bundle = runtime.open_predictor("exported")  # doctest: +SKIP
>>> bundle.predict([{"picture": "a.png", "words": "what is it?"}])  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from perceiver_pytorch._lazy import lazily

if TYPE_CHECKING:
    from perceiver_pytorch.runtime.bundle import Bundle, open_predictor
    from perceiver_pytorch.runtime.signature import GraphInput

__all__ = ["Bundle", "GraphInput", "open_predictor"]

__getattr__, __dir__ = lazily(__name__, {"bundle": "Bundle open_predictor", "signature": "GraphInput"})
