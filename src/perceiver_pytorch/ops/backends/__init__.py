"""The ways to compute `attend`: one file each, listed here once."""

from perceiver_pytorch.ops.backends import chunked, compiled, reference, triton

BACKENDS = (triton.BACKEND, compiled.BACKEND, chunked.BACKEND, reference.BACKEND)
"""In order of preference where costs are not known. Those of other packages come in front of them."""
