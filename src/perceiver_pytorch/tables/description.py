"""What something is, as facts that print as lines and as JSON alike."""

from collections.abc import Mapping, Sequence
from typing import Any

from perceiver_pytorch.data import InputSpec

Facts = dict[str, Any]
"""JSON values by their names, in the order in which they are told."""

_SHOWN = 60  # entries of a list that are printed; JSON has them all


def score(value: float | None, interval: Mapping[str, Any] | None = None) -> Facts | None:
    """A score with the ends of its interval; None where these rows have none."""
    if value is None:
        return None
    return {"value": value, **({} if interval is None else {"low": interval["low"], "high": interval["high"]})}


def spec_facts(spec: InputSpec) -> Facts:
    """What a model of a table predicts and reads."""
    names = ("modality", "kind", "columns", "tokens", "learned")
    return {
        "targets": [{"column": target.name, "kind": target.kind, "what": target.note()} for target in spec.targets],
        "inputs": [dict(zip(names, row, strict=True)) for row in spec.describe()],
        "not_used": spec.unused,
    }


def lines(facts: Mapping[str, Any], indent: str = "") -> list[str]:
    """Facts for people: a line each, lists of entries as columns, what is empty left out."""
    told = []
    for name, value in facts.items():
        if value is None or value == [] or value == {} or value == "":
            continue
        if isinstance(value, Mapping) and "value" not in value:
            told += [f"{indent}{name}:", *lines(value, f"{indent}  ")]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            told += _entries(name, value, indent)
        else:
            told.append(f"{indent}{name}: {text(value)}")
    return told


def text(value: Any) -> str:
    """One value for people."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        interval = f" ({value['low']:.3g}–{value['high']:.3g})" if "low" in value else ""
        return f"{value['value']:.4g}{interval}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def size(count: float) -> str:
    """So many bytes, for people."""
    for unit, most in (("bytes", 1e3), ("kB", 1e6), ("MB", 1e9), ("GB", 1e12)):
        if count < most:
            return f"{count / (most / 1e3):,.{0 if unit == 'bytes' else 1}f} {unit}"
    return f"{count / 1e12:,.1f} TB"


def _entries(name: str, values: Sequence[Any], indent: str) -> list[str]:
    """A list: on one line, or as a table where its entries have parts."""
    if not isinstance(values[0], Mapping):
        separate = any(isinstance(value, str) and len(value) > 40 for value in values)
        return (
            [f"{indent}{name}:", *(f"{indent}  {text(value)}" for value in values)]
            if separate
            else [f"{indent}{name}: {text(values)}"]
        )
    shown = values[:_SHOWN]
    header = list(dict.fromkeys(key for value in shown for key, part in value.items() if part not in (None, "")))
    rows = [[text(value.get(key)) for key in header] for value in shown]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    told = ["  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    more = [f"{indent}  … and {len(values) - _SHOWN:,} more"] if len(values) > _SHOWN else []
    return [f"{indent}{name}:", *(f"{indent}  {row.rstrip()}" for row in told), *more]
