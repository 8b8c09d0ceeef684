"""Built-in sets: built from installed packages, without a network, once, into the cache folder."""

from perceiver_pytorch.data.builtin.store import builtin_names, builtin_table

__all__ = ["builtin_names", "builtin_table"]
