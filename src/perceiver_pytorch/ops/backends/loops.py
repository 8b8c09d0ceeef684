"""How functions become compiled loops, and what of them is kept on the disk."""

# mypy: ignore-errors
# Types are Numba's here, inferred anew for every kind of argument.

import contextlib
import hashlib
import importlib
import pickle
import pkgutil
import sys
from importlib import metadata

import llvmlite
import numba
from numba import njit
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from perceiver_pytorch.ops.backends import loop_files

SOURCES = (
    "kernels.py", "latent_grads.py", "latent_loops.py", "latent_math.py", "latent_weights.py", "loops.py",
    "row_loops.py", "simd.py", "tiles.py",
)  # fmt: skip
"""Files that loops are compiled from, and by: a change of one compiles all anew."""


class _Kept(_Cache):
    """A loop's compiled forms on the disk. What cannot be read or written there is compiled anew.

    Numba's own has an index that two processes overwrite for one another, so that one may find the other's code.
    """

    def __init__(self, function):
        self._function = function

    def name(self, signature, codegen):
        """Of the file: another version of the sources, of Numba, of Python or of the processor has another one."""
        name = self._function.__module__, self._function.__qualname__
        facts = repr((_STAMP, *name, str(signature), codegen.magic_tuple()))
        return f"{self._function.__name__}-{hashlib.sha256(facts.encode()).hexdigest()[:32]}"

    def load_overload(self, signature, target_context):
        target_context.refresh()
        with contextlib.suppress(Exception):
            content = loop_files.read(self.name(signature, target_context.codegen()))
            return None if content is None else CompileResult._rebuild(target_context, *pickle.loads(content))

    def save_overload(self, signature, result):
        with contextlib.suppress(Exception):
            loop_files.write(self.name(signature, result.codegen), dumps(result._reduce()))

    @property
    def cache_path(self):
        return next(loop_files.folders())

    def enable(self):
        pass

    def disable(self):
        pass

    def flush(self):
        pass


def _sources():
    """What loops are compiled from; None: nobody knows, as in an application that has neither sources nor metadata."""
    with contextlib.suppress(OSError):
        return [pkgutil.get_data(__package__, name) for name in SOURCES]
    with contextlib.suppress(metadata.PackageNotFoundError):
        return [metadata.version("perceiver-multi-modality-pytorch")]
    return None


_STAMP = _sources(), numba.__version__, llvmlite.__version__, sys.implementation.cache_tag


# Nothing may be reordered, and multiply and add may be fused: results are the same on every run.
#
# Numba counts the owners of an array whenever a slice of it comes or goes, one thread at a time, which took a third of
# the time of two threads. Without that (`_nrt`) nothing can be allocated: a loop gets its memory from who calls it, who
# also keeps all arrays alive.
OPTIONS = {"fastmath": {"contract"}, "error_model": "numpy", "_nrt": False}

function = njit(**OPTIONS)
"""What loops call, and is compiled into them."""


def loop(function):
    """A loop that is compiled on first use, and kept on the disk, unless another version could take it for its own.

    It gets a thread's memory behind the counter.
    """
    compiled = njit(nogil=True, **OPTIONS)(function)
    if _STAMP[0] is not None:
        compiled._cache = _Kept(function)
    return compiled


def find(name):
    """A loop by its module in this folder and its name, such as ``"kernels.forward"``."""
    module, _, within = name.partition(".")
    return getattr(importlib.import_module(f"{__package__}.{module}"), within)


def signature(loop, arguments):
    """What Numba calls the types of a loop's arguments."""
    return tuple(loop.typeof_pyval(argument) for argument in arguments)


def is_kept(loop, types):
    """Whether the disk has what a loop becomes for these types."""
    if not isinstance(loop._cache, _Kept):
        return False
    loop.targetctx.refresh()
    return loop_files.read(loop._cache.name(types, loop.targetctx.codegen())) is not None
