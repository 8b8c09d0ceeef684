"""An experiment, read from YAML: what is unknown or wrong is said with its place before anything trains."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from perceiver_pytorch import _checks
from perceiver_pytorch._files import read_text
from perceiver_pytorch._saved_files import parse_yaml
from perceiver_pytorch._settings import typed
from perceiver_pytorch.data.kinds import IGNORE
from perceiver_pytorch.experiments.changes import read_changes, setting_path, setting_value, size_path, text_of
from perceiver_pytorch.experiments.references import check_reference
from perceiver_pytorch.experiments.spec import (
    OPERATIONS,
    PARAMETERS,
    Comparison,
    DataSet,
    Experiment,
    Factor,
    Level,
    Match,
    Metric,
    Path_,
    Seeds,
)

T = TypeVar("T")

KEYS = (
    *("question", "base", "factors", "sets", "seeds", "metrics", "comparisons"),
    *("alpha", "keep_models", "quick"),
)
_LOWER_IS_BETTER = ("loss", "rmse", "mae")


def read_experiment(path: Path, *, quick: bool = False) -> Experiment:
    """The experiment in a YAML file.

    Args:
        path: the file.
        quick: with what the file says under ``quick``.

    Raises:
        ValueError, TypeError: for unknown keys and wrong values; the message names file and place, and what was
            expected.
        OSError: if the file cannot be read.
    """
    return parse_experiment(read_text(path), path.stem, where=str(path), quick=quick)


def parse_experiment(text: str, name: str, *, where: str = "the experiment", quick: bool = False) -> Experiment:
    """The experiment in a YAML text; arguments and errors as in `read_experiment`."""
    try:
        given = parse_yaml(text)
        return _experiment(_mapping("the file", given, KEYS), name, text, quick)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{where}: {error}") from None


def _experiment(given: Mapping[str, Any], name: str, text: str, quick: bool) -> Experiment:
    small = _mapping("quick", given.get("quick", {}), ("base", "factors", "sets", "seeds"))
    factors = _all("factors", given.get("factors"), _factor)
    _check_where(factors)
    sets = _all("sets", given.get("sets"), _set)
    base, seeds = read_changes("base", given.get("base", {})), _seeds("seeds", given.get("seeds", 1))
    comparisons = _comparisons(given.get("comparisons"), factors)
    # What is small is checked even where it is not asked for: an error in it should not wait.
    small_base = base | read_changes("quick.base", small.get("base", {}))
    small_factors = _chosen_levels(small.get("factors", {}), factors)
    small_sets = _chosen("quick.sets", small.get("sets", [one.name for one in sets]), sets)
    small_seeds = _seeds("quick.seeds", small["seeds"]) if "seeds" in small else seeds
    if quick:
        base, factors, sets, seeds = small_base, small_factors, small_sets, small_seeds
    found = Experiment(
        name=name,
        question=typed("question", given.get("question", ""), str),
        base=base,
        factors=factors,
        sets=sets,
        seeds=seeds,
        metrics=_all("metrics", given.get("metrics", ["score"]), _metric),
        comparisons=tuple(filter(None, (_left(comparison, factors) for comparison in comparisons))),
        alpha=_share("alpha", given.get("alpha", 0.05)),
        keep_models=typed("keep_models", given.get("keep_models", False), bool),
        text=text,
        quick=quick,
    )
    _check_owners(found)
    return found


def _factor(where: str, given: Any) -> Factor:
    values = _mapping(where, given, ("name", "option", "levels", "where"))
    option = values.get("option")
    if option is not None:
        option = setting_path(f"{where}.option", option)
    name = text_of(f"{where}.name", values.get("name", ".".join(option) if option else None))
    levels = values.get("levels")
    beside = _beside(where, values)
    if option is None:
        return Factor(name, _matched(where, _all(f"{where}.levels", levels, _level)), beside)
    if not isinstance(levels, list) or not levels:
        raise TypeError(f"{where}.levels must be a list of values of {'.'.join(option)}, got {levels!r}")
    made = tuple(
        Level(_word(value), {option: setting_value(f"{where}.levels[{i}]", option, value)})
        for i, value in enumerate(levels)
    )
    return Factor(name, _distinct(f"{where}.levels", made), beside)


def _beside(where: str, values: Mapping[str, Any]) -> dict[str, str]:
    """What stands under ``where``: {factor: level}."""
    return {key: _word(value) for key, value in typed(f"{where}.where", values.get("where", {}), dict).items()}


def _level(where: str, given: Any) -> Level:
    values = _mapping(where, given, ("name", "set", "model", "match", "where"))
    model = values.get("model")
    if model is not None:
        check_reference(f"{where}.model", model)
    match = values.get("match")
    return Level(
        text_of(f"{where}.name", values.get("name")),
        read_changes(f"{where}.set", values.get("set", {})),
        model,
        None if match is None else _match(f"{where}.match", match),
        _beside(where, values),
    )


def _match(where: str, given: Any) -> Match:
    values = _mapping(where, given, ("level", "in", "by"))
    measure = _checks.choice(f"{where}.in", str(values.get("in")), (PARAMETERS, OPERATIONS))
    names = values.get("by")
    by = tuple(size_path(f"{where}.by", name) for name in (names if isinstance(names, list) and names else [names]))
    return Match(text_of(f"{where}.level", values.get("level")), measure, by)


def _matched(where: str, levels: tuple[Level, ...]) -> tuple[Level, ...]:
    """The levels, of which those that equal another name one that stands by itself."""
    alone = tuple(level.name for level in levels if level.match is None)
    for i, level in enumerate(levels):
        if level.match is not None:
            _checks.choice(f"{where}.levels[{i}].match.level", level.match.level, alone)
    return levels


def _set(where: str, given: Any) -> DataSet:
    if isinstance(given, str):
        return DataSet(given, given)
    values = _mapping(where, given, ("name", "table", "target", "ignore", "set"))
    table = text_of(f"{where}.table", values.get("table"))
    changes = read_changes(f"{where}.set", values.get("set", {}))
    if "target" in values:
        changes[("data", "target")] = setting_value(f"{where}.target", ("data", "target"), values["target"])
    ignored = typed(f"{where}.ignore", values.get("ignore", []), list[str])
    if ignored:
        columns = changes.get(("data", "columns"), {})
        changes[("data", "columns")] = columns | dict.fromkeys(ignored, IGNORE)
    return DataSet(text_of(f"{where}.name", values.get("name", table)), table, changes)


def _seeds(where: str, given: Any) -> Seeds:
    if isinstance(given, Mapping):
        values = _mapping(where, given, ("first", "most", "until"))
        start = _seeds(f"{where}.first", values.get("first"))
        most = _checks.positive_int(f"{where}.most", values.get("most", len(start.first)), len(start.first))
        until = typed(f"{where}.until", values.get("until"), float | None)
        if (until is None) != (most == len(start.first)):
            raise ValueError(f"{where} must have both until and a larger most, or neither")
        return Seeds(start.first, most, until)
    if isinstance(given, list) and given:
        first = tuple(_checks.seed(f"{where}[{i}]", value) for i, value in enumerate(given))
        if len(set(first)) != len(first):
            raise ValueError(f"{where} must differ, got {given}")
        return Seeds(first, len(first))
    count = _checks.positive_int(where, given)
    return Seeds(tuple(range(count)), count)


def _metric(where: str, given: Any) -> Metric:
    values = {"name": given} if isinstance(given, str) else _mapping(where, given, ("name", "better", "margin"))
    name = text_of(f"{where}.name", values.get("name"))
    usual = "lower" if name.rpartition(".")[2] in _LOWER_IS_BETTER else "higher"
    better = _checks.choice(f"{where}.better", values.get("better", usual), ("higher", "lower"))
    margin = typed(f"{where}.margin", values.get("margin", 0.01), float)
    _checks.within(f"{where}.margin", margin, above=0)
    return Metric(name, better, margin)


def _comparisons(given: Any, factors: Sequence[Factor]) -> tuple[Comparison, ...]:
    """Those asked for; else the levels of the first factor with its first one."""
    if given is None:
        first, *others = (level.name for level in factors[0].levels)
        return (Comparison(factors[0].name, factors[0].name, first, tuple(others)),) if others else ()

    def comparison(where: str, value: Any) -> Comparison:
        values = _mapping(where, value, ("name", "factor", "baseline", "against"))
        factor = _checks.choice(f"{where}.factor", str(values.get("factor")), tuple(one.name for one in factors))
        names = tuple(level.name for one in factors if one.name == factor for level in one.levels)
        baseline = _checks.choice(f"{where}.baseline", _word(values.get("baseline")), names)
        others = values.get("against", [name for name in names if name != baseline])
        others = tuple(map(_word, typed(f"{where}.against", others, list)))
        for i, name in enumerate(others):
            _checks.choice(f"{where}.against[{i}]", name, tuple(one for one in names if one != baseline))
        return Comparison(text_of(f"{where}.name", values.get("name", factor)), factor, baseline, others)

    return _all("comparisons", given, comparison)


def _left(comparison: Comparison, factors: Sequence[Factor]) -> Comparison | None:
    """The comparison of the levels that are left; None where nothing is left to compare."""
    (names,) = ({level.name for level in one.levels} for one in factors if one.name == comparison.factor)
    others = tuple(name for name in comparison.against if name in names)
    if comparison.baseline not in names or not others:
        return None
    return Comparison(comparison.name, comparison.factor, comparison.baseline, others)


def _check_where(factors: Sequence[Factor]) -> None:
    levels = {factor.name: tuple(level.name for level in factor.levels) for factor in factors}
    for i, factor in enumerate(factors):
        places = {f"factors[{i}].where": factor.where}
        places |= {f"factors[{i}].levels[{j}].where": level.where for j, level in enumerate(factor.levels)}
        for place, where in places.items():
            for name, level in where.items():
                _checks.choice(f"a factor of {place}", name, tuple(one for one in levels if one != factor.name))
                _checks.choice(f"{place}.{name}", level, levels[name])


def _chosen_levels(given: Any, factors: tuple[Factor, ...]) -> tuple[Factor, ...]:
    values = _mapping("quick.factors", given, [factor.name for factor in factors])
    return tuple(
        Factor(
            factor.name,
            _matched(
                f"quick.factors.{factor.name}",
                _chosen(f"quick.factors.{factor.name}", values[factor.name], factor.levels),
            ),
            factor.where,
        )
        if factor.name in values
        else factor
        for factor in factors
    )


def _chosen(where: str, names: Any, options: tuple[T, ...]) -> tuple[T, ...]:
    """The options of these names."""
    known = {option.name: option for option in options}  # type: ignore[attr-defined]
    words = [_word(name) for name in typed(where, names, list)]
    if not words:
        raise ValueError(f"{where} must name at least one of {', '.join(known)}")
    return tuple(known[_checks.choice(f"{where}[{i}]", word, tuple(known))] for i, word in enumerate(words))


def _check_owners(experiment: Experiment) -> None:
    """That no two of what a cell is made of set the same setting; a size that is matched may be another factor's."""
    if sum(any(level.model for level in one.levels) for one in experiment.factors) > 1:
        raise ValueError("only one factor can name models")
    parts: list[tuple[str, set[Path_]]] = []
    for factor in experiment.factors:
        paths = {path for level in factor.levels for path in level.changes}
        parts.append((f"factor {factor.name!r}", paths))
    parts += [(f"set {one.name!r}", set(one.changes)) for one in experiment.sets]
    for i, (what, paths) in enumerate(parts[: len(experiment.factors)]):
        for other, others in parts[i + 1 :]:
            for path in sorted(paths & others):
                raise ValueError(f"{what} and {other} both set {'.'.join(path)}")


def _mapping(where: str, given: Any, keys: Iterable[str]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise TypeError(f"{where} must be a mapping with {', '.join(keys)}, got {given!r}")
    return _checks.known_keys(where, given, keys)


def _all(where: str, given: Any, read: Callable[[str, Any], T]) -> tuple[T, ...]:
    if not isinstance(given, list) or not given:
        raise TypeError(f"{where} must be a list with at least one entry, got {given!r}")
    return _distinct(where, tuple(read(f"{where}[{i}]", value) for i, value in enumerate(given)))


def _distinct(where: str, values: tuple[T, ...]) -> tuple[T, ...]:
    names = [value.name for value in values]  # type: ignore[attr-defined]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{where} must have different names, got {name!r} twice")
    return values


def _word(value: Any) -> str:
    """A level's value as its name: as YAML writes it."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else "null" if value is None else str(value)


def _share(where: str, value: Any) -> float:
    number = typed(where, value, float)
    _checks.within(where, number, above=0, below=1)
    return number
