"""One sample's input split over processes: see docs/scaling.md."""

from perceiver_pytorch.parallel.input import average_gradients, part, split_input

__all__ = ["average_gradients", "part", "split_input"]
