"""What a model with a decoder gives: named outputs, each with its queries and its channels."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from perceiver_pytorch import _checks
from perceiver_pytorch.nn.queries import FourierQueries, GivenQueries, InputQueries, LearnedQueries, Queries

_KINDS: dict[str, type[Queries]] = {
    "learned": LearnedQueries,
    "fourier": FourierQueries,
    "input": InputQueries,
    "given": GivenQueries,
}


@dataclass(frozen=True)
class Output:
    """One output of a `PerceiverIO`.

    Args:
        name: its key in what ``forward`` returns; may not hold a dot.
        queries: what its queries are made of: one spec, or several on the same grid, joined channel by channel.
        channels: of the result: classes, colours, tasks' targets; None: what the decoder gives, without a projection.

    Raises:
        ValueError, TypeError: for an empty name, no queries, or channels out of range.
    """

    name: str
    queries: Queries | Sequence[Queries]
    channels: int | None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or "." in self.name:
            raise ValueError(f"an output's name must be a non-empty string without dots, got {self.name!r}")
        specs = tuple(self.queries) if isinstance(self.queries, Sequence) else (self.queries,)
        for spec in specs:
            if not isinstance(spec, Queries):
                kinds = ", ".join(kind.__name__ for kind in _KINDS.values())
                raise TypeError(f"output {self.name!r}: queries must be of {kinds}, got {spec!r}")
        if not specs or (len(specs) > 1 and any(isinstance(spec, GivenQueries) for spec in specs)):
            raise ValueError(
                f"output {self.name!r}: queries must be one spec, or several without GivenQueries, got {specs}"
            )
        if self.channels is not None:
            _checks.positive_int(f"output {self.name!r}: channels", self.channels)
        object.__setattr__(self, "queries", specs)

    @property
    def specs(self) -> tuple[Queries, ...]:
        """The specs of its queries."""
        assert isinstance(self.queries, tuple)
        return self.queries

    def to_config(self) -> dict[str, Any]:
        """Fields as JSON values; `output_from_config` reads them back."""
        names = {kind: name for name, kind in _KINDS.items()}
        specs = [{"kind": names[type(spec)], **asdict(spec)} for spec in self.specs]
        return {"name": self.name, "queries": specs, "channels": self.channels}


def output_from_config(value: Output | Mapping[str, Any]) -> Output:
    """An output from `Output.to_config`'s mapping; an output passes through.

    Raises:
        TypeError: for anything else.
        ValueError: for unknown fields or kinds.
    """
    if isinstance(value, Output):
        return value
    if not isinstance(value, Mapping):
        raise TypeError(f"an output must be an Output or a mapping of its fields, got {type(value).__name__}")
    config = dict(_checks.known_keys("an output", value, ("name", "queries", "channels")))
    specs = config.get("queries")
    if isinstance(specs, Mapping):
        specs = [specs]
    if isinstance(specs, Sequence):
        specs = [_spec(spec) if isinstance(spec, Mapping) else spec for spec in specs]
    return Output(config.get("name", ""), specs, config.get("channels"))  # type: ignore[arg-type]


def by_output(argument: str, value: Mapping[str, Tensor] | Tensor | None, names: Sequence[str]) -> dict[str, Tensor]:
    """An argument of a model's forward that may be one tensor per output, by output.

    Raises:
        ValueError, TypeError: for an output that is none of ``names``, or no tensor.
    """
    if value is None:
        return {}
    if isinstance(value, Tensor) and len(names) == 1:
        return {names[0]: value}
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{argument} must be a mapping of outputs to tensors (a tensor, in a model of one output), got "
            f"{type(value).__name__}"
        )
    for name, tensor in value.items():
        _checks.tensor(f"{argument}[{_checks.choice(f'an output of {argument}', name, names)!r}]", tensor)
    return dict(value)


def _spec(config: Mapping[str, Any]) -> Queries:
    values = dict(config)
    kind = _KINDS[_checks.choice("kind of queries", values.pop("kind", None), tuple(_KINDS))]
    return kind(**_checks.known_keys(kind.__name__, values, list(kind.__dataclass_fields__)))
