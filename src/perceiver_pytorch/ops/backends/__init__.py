"""One module per way of computing `attend`.

A backend module has ``name``, ``attend(rows, context, eps) -> (mixed, lse)`` and ``unsupported(rows, context)``, which
gives the reason why it cannot take a problem, or None. `perceiver_pytorch.ops.operator.define` makes ``attend`` from a
forward and a backward function.
"""
