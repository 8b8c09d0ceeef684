"""A verdict in plain words: how good a result is, what limited it, and what to type next."""

from collections.abc import Sequence
from typing import Any

from perceiver_pytorch.training.table.verdict_facts import Facts, Finding
from perceiver_pytorch.training.table.verdict_rules import ON_EVALUATE, ON_FIT, Rule, is_good

SHOWN = 3
"""Limits that are told; ``metrics.json`` has them all."""


def judge_fit(facts: Facts, afterwards: str) -> dict[str, Any]:
    """The verdict on a run, as ``metrics.json`` has it.

    Args:
        facts: what is known of it.
        afterwards: the command to type where nothing is to be made better.

    Returns:
        ``better`` (per target: than without reading any input; None: it cannot be told), ``fit`` (``"over"``,
        ``"under"``, ``"well"`` or None), ``limits`` (what kept it from being better, the gravest first) and
        ``findings``: what each rule ``says``, its ``evidence``, what it ``limits``, and the ``command`` to type.
    """
    findings = _found(facts, ON_FIT)
    if not any(finding.limits for finding in findings):
        says = "Hardly anything is left to learn." if is_good(facts) else "Nothing in these figures limits it."
        findings.append(Finding("nothing", f"{says} More rows or other columns may still help.", {}, None, afterwards))
    state = {"overfitted": "over", "underfitted": "under", "fits": "well"}
    fit = next((state[each.rule] for each in findings if each.rule in state), None)
    return {**_as_json(facts, findings), "fit": fit}


def judge_evaluation(facts: Facts) -> dict[str, Any]:
    """The same for rows that a finished run is measured on: all but ``fit``."""
    return _as_json(facts, _found(facts, ON_EVALUATE))


def verdict_lines(verdict: dict[str, Any] | None) -> list[str]:
    """A verdict for the terminal: what is so, then what limits it, each with what to try."""
    if not verdict:
        return []
    told = [each for each in verdict["findings"] if not each["limits"]]
    limits = [each for each in verdict["findings"] if each["limits"]]
    lines = ["verdict:"]
    for each in [*told, *limits[:SHOWN]]:
        lines.append(f"  {each['says']}")
        if each["command"]:
            lines.append(f"    try: {each['command']}")
    if len(limits) > SHOWN:
        lines.append(f"  {len(limits) - SHOWN} more in the report")
    return lines


_GRAVE = (
    "column",
    "diverged",
    "stopped",
    "hardly trained",
    "time limit",
    "still learning",
    "harm",
    "overfitted",
    "underfitted",
)
"""Rules by how much of all else is in doubt where they find something; others come after them."""


def _found(facts: Facts, rules: Sequence[Rule]) -> list[Finding]:
    findings = [finding for rule in rules for finding in rule(facts)]
    rank = {rule: place for place, rule in enumerate(_GRAVE)}
    plain = [each for each in findings if each.limits is None]
    limits = sorted((each for each in findings if each.limits), key=lambda each: rank.get(each.rule, len(rank)))
    return [*plain, *limits]


def _as_json(facts: Facts, findings: Sequence[Finding]) -> dict[str, Any]:
    answers = [each.answer for each in findings if each.rule == "baseline"]
    measured = [name for name, score in facts.scores().items() if score.chance is not None]
    return {
        "better": [{"target": name, "answer": answer} for name, answer in zip(measured, answers, strict=True)],
        "limits": list(dict.fromkeys(each.limits for each in findings if each.limits)),
        "findings": [
            {
                "rule": each.rule,
                "says": each.says,
                "evidence": [{"figure": name, "value": value} for name, value in each.evidence.items()],
                "limits": each.limits,
                "command": each.command,
            }
            for each in findings
        ],
    }
