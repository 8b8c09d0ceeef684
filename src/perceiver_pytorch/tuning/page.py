"""The page of a search, with Optuna's own plots, and a CSV file of its trials."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.resources import files
from typing import Any

from perceiver_pytorch._files import write_text
from perceiver_pytorch.report import figures
from perceiver_pytorch.tuning.study import Plan, StudyFolder, best_of, finished, optuna

PAGE, TABLE = "report.html", "trials.csv"
_SLICES = 3
"""Settings that are drawn beside each other."""
_FOR_IMPORTANCE = 4
"""Trials from which on it can be said which settings matter."""


def write_page(folder: StudyFolder, plan: Plan, study: Any, command: str) -> None:
    """Writes report.html and trials.csv of what is there by now.

    Args:
        command: how to go on.
    """
    from jinja2 import Environment

    trials = study.trials
    write_text(folder.path / TABLE, trials_csv(plan, trials))
    source = files("perceiver_pytorch.tuning").joinpath("report.html.jinja").read_text(encoding="utf-8")
    best = best_of(trials)
    page = Environment(autoescape=True).from_string(source)
    text = page.render(
        name=folder.path.name,
        table=plan.config.data.table,
        best=None if best is None else row_of(plan, best),
        settings=best.params if best is not None else {},
        default=next((row_of(plan, trial) for trial in trials if trial.number == 0), None),
        measure=measure_of(trials),
        space=list(map(str, plan.space)),
        counts=_counts(trials),
        keys=[dimension.path for dimension in plan.space],
        trials=[row_of(plan, trial) for trial in trials],
        plots=list(_plots(study)),
        command=command,
        csv=TABLE,
    )
    write_text(folder.path / PAGE, text)


def trials_csv(plan: Plan, trials: Sequence[Any]) -> str:
    """A row per trial: number, state, score, seconds, machine, every setting that is searched, error."""
    keys = [dimension.path for dimension in plan.space]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", "score", "seconds", "machine", *keys, "error"])
    for trial in trials:
        row = row_of(plan, trial)
        writer.writerow(
            [row["number"], row["state"], row["score"], row["seconds"], row["machine"], *row["values"], row["error"]]
        )
    return text.getvalue()


def row_of(plan: Plan, trial: Any) -> dict[str, Any]:
    """What the page and the file say of a trial; settings that it left as they are have no value."""
    last = max(trial.intermediate_values.items(), default=(0, None))[1] if trial.value is None else trial.value
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "score": "" if last is None else f"{last:.4f}",
        "seconds": "" if trial.duration is None else round(trial.duration.total_seconds(), 1),
        "machine": trial.user_attrs.get("machine", ""),
        "values": [_short(trial.params.get(dimension.path, "")) for dimension in plan.space],
        "error": trial.user_attrs.get("error", ""),
    }


def measure_of(trials: Sequence[Any]) -> str:
    """What the score is."""
    name = next((trial.user_attrs["measure"] for trial in trials if "measure" in trial.user_attrs), "score")
    return str(name).removeprefix("val_").replace("_", " ") + " on the validation rows"


def _counts(trials: Sequence[Any]) -> Mapping[str, int]:
    states = [trial.state.name.lower() for trial in trials]
    return {state: states.count(state) for state in sorted(set(states))}


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def _plots(study: Any) -> Iterator[tuple[str, str]]:
    """(title, SVG) of Optuna's plots that there are trials enough for."""
    library = optuna()
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.visualization import matplotlib as plots

    complete = [trial for trial in finished(study) if trial.state.name == "COMPLETE"]
    if complete:
        yield "Best score so far", figures.drawn_by(lambda: plots.plot_optimization_history(study))
        yield "Scores within trials", figures.drawn_by(lambda: plots.plot_intermediate_values(study))
        yield "When trials ran", figures.drawn_by(lambda: plots.plot_timeline(study))
    searched = library.create_study(direction="maximize")  # trial 0 has no values to draw
    searched.add_trials([trial for trial in complete if trial.params])
    if len(searched.trials) >= _FOR_IMPORTANCE:
        evaluator = PedAnovaImportanceEvaluator()
        yield (
            "Which settings matter",
            figures.drawn_by(lambda: plots.plot_param_importances(searched, evaluator=evaluator)),
        )
    if len(searched.trials) > 1:
        keys = sorted({key for trial in searched.trials for key in trial.params})
        for first in range(0, len(keys), _SLICES):
            some = keys[first : first + _SLICES]
            yield f"Scores by {', '.join(some)}", figures.drawn_by(partial(plots.plot_slice, searched, params=some))
        yield "Settings of every trial", figures.drawn_by(lambda: plots.plot_parallel_coordinate(searched))
