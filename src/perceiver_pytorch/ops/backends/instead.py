"""What happens where a backend that compiles its loops does not work, or not yet: another one takes over."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


class NotCompiledError(Exception):
    """A loop is being compiled: this call goes another way."""


def or_chunked(
    name: str, device: str, failures: list[str], function: Callable[..., Result], instead: Callable[..., Result]
) -> Callable[..., Result]:
    """``function``, or for good ``instead`` once a compiler could not compile or start a loop; a warning says so, once.

    While a loop is still being compiled (`NotCompiledError`), single calls go by ``instead``, too.

    Args:
        name: of the backend, for the warning.
        device: the kind of device that the backend is for; elsewhere ``function`` is called as it is.
        failures: the reasons; the backend refuses problems once there is one.
        function, instead: take rows first; that of the chunked backend computes the same.
    """

    @functools.wraps(function)
    def wrapped(rows: Tensor, *arguments: Any) -> Result:
        if rows.device.type != device:
            return function(rows, *arguments)
        if not failures:
            try:
                return function(rows, *arguments)
            except NotCompiledError:
                return instead(rows, *arguments)
            except (MemoryError, torch.OutOfMemoryError):
                raise
            except Exception as error:  # those of compilers and drivers have no class in common
                if "allocate memory" in str(error):
                    raise
                reason = " ".join(str(error).split())[:300]
                warnings.warn(
                    f"the {name} backend failed ({reason}); the chunked one is used from here on", stacklevel=2
                )
                failures.append(reason)
        return instead(rows, *arguments)

    return wrapped
