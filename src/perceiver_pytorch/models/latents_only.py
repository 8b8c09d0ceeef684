"""Arguments of the models that return their latents: those of the pooled models without ``num_classes``."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from typing_extensions import Required, TypedDict

from perceiver_pytorch.models.modalities import InputModality
from perceiver_pytorch.models.style import Style

Init = TypeVar("Init", bound=Callable[..., None])


class EncoderArguments(TypedDict, total=False):
    """What type checkers and editors know of the arguments; their defaults are the pooled model's."""

    modalities: Required[Iterable[InputModality | Mapping[str, Any]]]
    depth: Required[int]
    cross_heads: int
    latent_heads: int
    cross_dim_head: int
    latent_dim_head: int
    attn_dropout: float
    ff_dropout: float
    weight_tie_layers: bool
    num_latent_blocks_per_layer: int
    use_gelu: bool
    style: str | Style | Mapping[str, Any]
    modality_code_dim: int | None
    widening_factor: int | None


class LatentsArguments(EncoderArguments, total=False):
    """Those of a model with one latent array."""

    num_latents: int
    latent_dim: int


def latents_only(pooled: Callable[..., None]) -> Callable[[Init], Init]:
    """Gives the constructor of a ``NoPooling`` class the pooled class's signature, as `inspect.signature` sees it.

    It has no ``num_classes``, and GELU is the default, as in release 1.4.0. The constructor's own arguments follow
    ``depth``. It is called with all arguments, those left out at their defaults.

    Args:
        pooled: ``__init__`` of the pooled class.
    """

    def decorate(init: Init) -> Init:
        own = [p for p in inspect.signature(init).parameters.values() if p.name not in ("self", "arguments")]
        theirs = dict(inspect.signature(pooled).parameters)
        theirs["use_gelu"] = theirs["use_gelu"].replace(default=True)
        del theirs["num_classes"]
        place = list(theirs).index("depth") + 1
        parameters = [*theirs.values()]
        signature = inspect.Signature([*parameters[:place], *own, *parameters[place:]], return_annotation=None)

        @functools.wraps(init)
        def bound(self: Any, *args: Any, **arguments: Any) -> None:
            given = signature.bind(self, *args, **arguments)  # raises a TypeError for a wrong call
            given.apply_defaults()
            init(*given.args, **given.kwargs)

        bound.__signature__ = signature  # type: ignore[attr-defined]
        return bound  # type: ignore[return-value]

    return decorate
