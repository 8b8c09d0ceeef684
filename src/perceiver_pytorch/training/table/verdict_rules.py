"""The rules of a verdict: each looks at one thing and says what it finds, with the figures that decided it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from perceiver_pytorch.data.errors import listed
from perceiver_pytorch.training.run.durations import generous
from perceiver_pytorch.training.run.planning import SHARE
from perceiver_pytorch.training.table.evaluation import FEW_ROWS
from perceiver_pytorch.training.table.settings import PRESETS, ModelConfig
from perceiver_pytorch.training.table.verdict_facts import Facts, Figures, Finding, Score

Rule = Callable[[Facts], Iterator[Finding]]

GAP = 0.05
"""Score on train rows above that on others from which a model is called overfitted, if their intervals lie apart."""
LEARNED = 0.5
"""Share of what there is to learn (from the score without inputs to 1) that a model should have got on train rows."""
GOOD = 0.95
"""The same share on other rows, from which on nothing is said to limit a model."""
STILL = 0.1
"""Share of the fall of the validation loss in its last quarter, from which on it is called still falling."""
TURNED = 1.1
"""Times its least that the validation loss has at the end, from which on training is said to have passed its best."""
NOTHING = 0.005
"""Score that a modality adds at most, where it is said to add nothing."""
DOUBT = 0.1
"""The most that a score may be in doubt, where it is said that something does nothing."""
MISSED = 3
"""Rows measured on that have a class, at least, where it is said to be never found."""
LONGER = 2
"""Times the steps that a model gets which was still learning."""


def baseline(facts: Facts) -> Iterator[Finding]:
    """Whether each target is predicted better than without reading any input: by more than the interval."""
    for target in facts.targets:
        score = facts.scores().get(target.name)
        if score is None or score.chance is None:
            continue
        answer = True if score.low > score.chance else False if score.high <= score.chance else None
        better = {True: "better", False: "not better", None: "not surely better"}[answer]
        says = f"{target.name}: {better} than without reading any input: {score} against {score.chance:.3g}"
        says += f", on {score.rows:,} {facts.measured_rows}."
        evidence = {"score": score.value, "low": score.low, "high": score.high, "without inputs": score.chance}
        yield Finding("baseline", says, {**evidence, "rows": score.rows}, answer=answer)


def fit_state(facts: Facts) -> Iterator[Finding]:
    """Over- or underfitted: each target's score on train rows beside that on others."""
    on_train, found = facts.train_scores, facts.scores()
    course = _course(facts.history)
    for name in (name for name in found if name in on_train):
        train, other = on_train[name], found[name]
        compared = f"{train} on train rows, {other} on {facts.measured_rows}"
        evidence = {"train": train.value, "train low": train.low, facts.split: other.value, "high": other.high} | course
        if train.low > other.high and train.value - other.value > GAP:
            text = f"{name}: overfitted: {compared}.{_turned(facts.history)}"
            command = facts.advice.fit(_against_overfitting(facts))
            rows = facts.sizes.get("train", 0)
            yield Finding("overfitted", text, {**evidence, "train rows": rows}, "rows", command)
        elif train.chance is not None and _share(train, train.chance) < LEARNED:
            text = f"{name}: underfitted, or the columns do not say more: {compared}."
            evidence |= {"without inputs": train.chance}
            if _is_short(facts):
                yield Finding("underfitted", text, evidence)
            else:
                yield Finding("underfitted", text, evidence, "model", facts.advice.fit(_larger(facts.config.model)))
        else:
            yield Finding("fits", f"{name}: neither over- nor underfitted: {compared}.", evidence)


def time(facts: Facts) -> Iterator[Finding]:
    """Whether training ended before the model had learned what it could."""
    plan, still = facts.plan, _still_falling(facts.history)
    if facts.stopped is not None:
        says = f"Training stopped before its end: {facts.stopped}."
        if facts.diverged is not None:
            rate = facts.diverged.smaller_rate
            command = None if rate is None else facts.advice.fit({("training", "lr"): rate})
            evidence = {"step": facts.diverged.step, "peak learning rate": facts.diverged.peak_lr}
            yield Finding("diverged", says, evidence, "the learning rate", command)
        else:
            yield Finding("stopped", says, _trained(facts), "time", facts.advice.resume)
    elif plan is not None and plan.shorter and still is not False:
        says = f"The time limit left time for {plan.steps:,} of {plan.whole:,} steps"
        says += "." if still is None else ", and the validation loss was still falling."
        evidence = {"steps": plan.steps, "without a limit": plan.whole} | _course(facts.history)
        step = plan.step_seconds + plan.validation_seconds / 50
        limit = generous(plan.limit + (plan.whole - plan.steps) * step / SHARE)
        yield Finding("time limit", says, evidence, "time", facts.advice.fit(limit=limit))
    elif facts.hardly or still:
        says = "The validation loss was still falling when training ended." if still else facts.hardly[0]
        training = facts.advice.asked.training
        steps = max(LONGER * facts.steps, 1)
        if training.epochs is not None:
            changes: Mapping[Any, Any] = {("training", "epochs"): LONGER * training.epochs}
        elif facts.hardly and training.steps is not None:
            changes = {("training", "steps"): None}
        else:
            changes = {("training", "steps"): steps}
        evidence = _trained(facts) | _course(facts.history)
        yield Finding(
            "hardly trained" if facts.hardly else "still learning", says, evidence, "time", facts.advice.fit(changes)
        )


def columns(facts: Facts) -> Iterator[Finding]:
    """Columns that give the answer away, or name the rows."""
    for suspect in facts.suspects:
        what = "The score may say how well it copies the answer" if suspect.is_answer else "It says nothing of new rows"
        says = f"{suspect.says[0].upper()}{suspect.says[1:]}. {what}."
        evidence = {"column": suspect.column}
        yield Finding("column", says, evidence, "a column", facts.advice.without([suspect.column]))


def modalities(facts: Facts) -> Iterator[Finding]:
    """Modalities that do harm, or add nothing to the others."""
    whole, *others = facts.metrics["combinations"]
    scores = facts.scores()
    if not others or min(score.rows for score in scores.values()) < FEW_ROWS:
        return
    harm = _harm(facts, whole, others, scores)
    if harm is not None:
        yield harm
        return
    for modality in facts.modalities:
        ways = facts.metrics["modalities"].get(modality.name, {})
        if "without" in ways and (found := _adds_nothing(facts, modality.name, others, scores)):
            says = f"{modality.name} adds nothing: {found[0]}."
            yield Finding("adds nothing", says, found[1], "a modality", facts.advice.without(modality.columns))


def imbalance(facts: Facts) -> Iterator[Finding]:
    """Rare classes and labels that the model never finds."""
    measured = facts.metrics.get("tasks") or {target.name: facts.metrics for target in facts.targets}
    for target in (target for target in facts.targets if target.name in measured):
        missed = target.neglected(measured[target.name])
        if sum(each.rows for each in missed) < MISSED:
            continue
        named = listed([f"{each.name!r} ({each.train_rows:,} train rows)" for each in missed], 5)
        says = f"{target.name}: {named} {'is' if len(missed) == 1 else 'are'} never predicted right on these rows."
        evidence: Figures = {each.name: each.train_rows for each in missed[:20]}
        command = None
        if not facts.choice.balanced:
            command = facts.advice.fit({("training", "class_weights"): "balanced"})
        yield Finding("imbalance", says, evidence, "rare classes", command)


def measured_rows(facts: Facts) -> Iterator[Finding]:
    """Rows to measure on that are too few to say much."""
    for name, score in facts.scores().items():
        if score.doubt <= DOUBT and score.rows >= FEW_ROWS:
            continue
        says = f"{name}: {score} rests on {score.rows:,} {facts.measured_rows}: too few to tell small differences."
        command = None
        data = facts.config.data
        if facts.split == "validation" and data.val_fraction < 0.3:  # rows of a split column count all the same
            command = facts.advice.fit({("data", "val_fraction"): min(0.3, 2 * data.val_fraction)})
        yield Finding("few rows", says, {"rows": score.rows, "low": score.low, "high": score.high}, "rows", command)


def other_rows(facts: Facts) -> Iterator[Finding]:
    """Whether these rows are predicted worse than those that the run was measured on."""
    if not facts.before:
        return
    before, now = facts.scores(facts.before), facts.scores()
    for name in (name for name in now if name in before):
        if now[name].high < before[name].low:
            says = f"{name}: worse than where it was measured after training: {now[name]} against {before[name]}; "
            says += "these rows may be unlike those that it learned from."
            evidence = {"score": now[name].value, "high": now[name].high, "before": before[name].value}
            yield Finding("other rows", says, {**evidence, "low before": before[name].low}, "rows")


ON_FIT: Sequence[Rule] = (baseline, fit_state, time, columns, modalities, imbalance, measured_rows)
ON_EVALUATE: Sequence[Rule] = (baseline, other_rows, modalities, imbalance, measured_rows)


def _share(score: Score, chance: float) -> float:
    """Of what there is to learn, how much the score has got."""
    return (score.value - chance) / max(1e-9, 1 - chance)


def is_good(facts: Facts) -> bool:
    """Whether hardly anything is left to learn."""
    scores = facts.scores().values()
    return bool(scores) and all(_share(score, score.chance or 0.0) >= GOOD for score in scores)


def _losses(history: Sequence[Mapping[str, float]], name: str) -> list[float]:
    return [row[name] for row in history if row.get(name, float("nan")) == row.get(name)]


def _course(history: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What the history says of the losses."""
    val, train = _losses(history, "val_loss"), _losses(history, "train_loss")
    if not val or not train:
        return {}
    return {"train loss": train[-1], "validation loss": val[-1], "least validation loss": min(val)}


def _still_falling(history: Sequence[Mapping[str, float]]) -> bool | None:
    """Whether the last quarter of training has made the validation loss clearly smaller; None: too few rounds."""
    val = _losses(history, "val_loss")
    if len(val) < 4:
        return None
    least = min(val[: -(len(val) // 4)])
    return least - min(val) > STILL * max(1e-9, max(val) - min(val))


def _turned(history: Sequence[Mapping[str, float]]) -> str:
    """Since when the validation loss has risen, in words."""
    val = _losses(history, "val_loss")
    if not val or val[-1] < TURNED * min(val) or min(val) <= 0:
        return ""
    place = history[val.index(min(val))]
    since = f"step {place['step']:,.0f}" if "step" in place else f"epoch {place['epoch']:g}"
    return f" The validation loss rose from {min(val):.3g} at {since} to {val[-1]:.3g}."


def _is_short(facts: Facts) -> bool:
    """Whether training was too short to say what the model could learn."""
    return bool(facts.hardly) or any(True for _ in time(facts))


def _trained(facts: Facts) -> dict[str, float | int]:
    return {"steps": facts.steps}


def _against_overfitting(facts: Facts) -> dict[tuple[str, ...], Any]:
    """What makes learning rows by heart harder, besides more rows."""
    if not facts.advice.asked.augment.enabled:
        return {("augment", "enabled"): True}
    dropout, mixup = facts.config.model.ff_dropout, facts.config.augment.mixup
    return {("model", "ff_dropout"): min(0.5, max(0.1, 2 * dropout)), ("augment", "mixup"): max(0.2, mixup)}


def _larger(model: ModelConfig) -> dict[tuple[str, ...], Any]:
    """The sizes of the next preset, or twice as many latents of twice the width."""
    for name in ("small", "base"):
        sizes = PRESETS[name]["model"]
        if model.latent_dim < sizes["latent_dim"]:
            return {("model", key): value for key, value in sizes.items()}
    latents = model.num_latents or 16
    return {("model", "num_latents"): 2 * latents, ("model", "latent_dim"): 2 * model.latent_dim}


def _harm(
    facts: Facts, whole: Mapping[str, Any], others: Sequence[Mapping[str, Any]], scores: Mapping[str, Score]
) -> Finding | None:
    """The modalities without which the score is better by more than it is in doubt."""
    some = [entry for entry in others if len(entry["absent"]) == 1 or len(entry["present"]) == 1]
    for name, score in scores.items():
        if not some:
            continue
        best = max(some, key=lambda entry: _of(entry, name))
        if _of(best, name) - _of(whole, name) <= score.doubt:
            continue
        says = f"{listed(best['absent'])} {'does' if len(best['absent']) == 1 else 'do'} harm: {name}: {score.title} "
        says += f"{_of(best, name):.3g} without, {score} with all modalities."
        gone = [column for each in facts.modalities if each.name in best["absent"] for column in each.columns]
        evidence = {"without": _of(best, name), "with": score.value, "doubt": score.doubt}
        return Finding("harm", says, evidence, "a modality", facts.advice.without(gone))
    return None


def _adds_nothing(
    facts: Facts, modality: str, others: Sequence[Mapping[str, Any]], scores: Mapping[str, Score]
) -> tuple[str, dict[str, float]] | None:
    """Why a modality is of no use to any target, in words and figures; None where it may be."""
    without = next((entry for entry in others if entry["absent"] == [modality]), None)
    if without is None or any(score.doubt > DOUBT for score in scores.values()):
        return None
    lost = {name: score.value - _of(without, name) for name, score in scores.items()}
    if max(lost.values()) > NOTHING:
        return None
    alone = next((entry for entry in others if entry["present"] == [modality]), None)
    name, score = next(iter(scores.items()))
    says = f"{score.title} {_of(without, name):.3g} without it, {score.value:.3g} with it"
    evidence = {"without": _of(without, name), "with": score.value}
    if alone is not None:
        says += f", {_of(alone, name):.3g} with it alone"
        evidence["alone"] = _of(alone, name)
        if score.chance is not None and _of(alone, name) > score.chance + score.doubt:
            says += "; what it says the others say, too"
    return says, evidence


def _of(entry: Mapping[str, Any], target: str) -> float:
    """A target's score with a combination of modalities."""
    return entry["scores"].get(target, 0.0) if "scores" in entry else entry["score"]
