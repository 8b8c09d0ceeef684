"""Exported models, run without PyTorch: NumPy, onnxruntime and the libraries that decode files are enough.

>>> from perceiver_pytorch import runtime
>>> bundle = runtime.open_predictor("exported")  # doctest: +SKIP
>>> bundle.predict([{"picture": "a.png", "words": "what is it?"}])  # doctest: +SKIP
>>> graph = runtime.open_graph("exported_model")  # doctest: +SKIP
>>> graph({"image": images, "text": ids})["logits"]  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from perceiver_pytorch._lazy import lazily

if TYPE_CHECKING:
    from perceiver_pytorch.runtime.bundle import Bundle, open_predictor
    from perceiver_pytorch.runtime.graph import Graph, open_graph
    from perceiver_pytorch.runtime.signature import GraphInput

__all__ = ["Bundle", "Graph", "GraphInput", "open_graph", "open_predictor"]

__getattr__, __dir__ = lazily(
    __name__, {"bundle": "Bundle open_predictor", "graph": "Graph open_graph", "signature": "GraphInput"}
)
