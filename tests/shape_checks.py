"""What checks the package's jaxtyping annotations while the tests run (installed in conftest.py)."""

import warnings
from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep585DeprecationWarning

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as it is to a type checker


def checker(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with its annotations checked at every call."""
    with warnings.catch_warnings():
        # torch reads an operator's schema from typing.List and the like, which beartype finds old-fashioned.
        warnings.simplefilter("ignore", BeartypeDecorHintPep585DeprecationWarning)
        return _beartype(function)
