"""Everything there is to say about a row's answer: its maps, what its modalities are worth, and how it is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perceiver_pytorch.data import Sample, Where
from perceiver_pytorch.data.kinds.base import Part
from perceiver_pytorch.explain.apart import NOTHING_APART, Apart
from perceiver_pytorch.explain.gradients import STEPS
from perceiver_pytorch.explain.maps import PIECES, Map, maps_of_row, predictions_of
from perceiver_pytorch.explain.shapley import ORDERS, Worth, worth_in_row
from perceiver_pytorch.explain.subject import Question, Subject

USUAL = ("integrated", "occlusion", "attention")
"""Ways to explain a row, unless others are asked for."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a model answers a row as it does.

    Attributes:
        row: its number in the table; of a model without one, of the byte or the picture.
        target: what was asked for.
        prediction: the answer, in words.
        truth: what is true, in words; None where it is unknown.
        evidence: the number that the maps are about, and what it is: the log-odds of the class, for example.
        maps: {way: its map}.
        worth: of each modality, in the unit of the evidence; None where there is one.
        drawings: {way: {modality: how its map is shown}}.
        noun: what is explained: a row, a byte, a picture.
    """

    row: int
    target: str
    prediction: str
    truth: str | None
    evidence: tuple[float, str]
    maps: dict[str, Map]
    worth: Worth | None
    drawings: dict[str, dict[str, list[Part]]]
    noun: str = "row"

    def as_json(self) -> dict[str, Any]:
        """Without maps and drawings."""
        return {
            self.noun: self.row,
            "target": self.target,
            "prediction": self.prediction,
            "truth": self.truth,
            "evidence": self.evidence[0],
            "evidence_of": self.evidence[1],
            "worth": None if self.worth is None else self.worth.as_json(),
            "totals": {
                way: {name: float(grid.sum()) for name, grid in found.grids.items()} for way, found in self.maps.items()
            },
            "notes": {way: found.note for way, found in self.maps.items() if found.note},
        }


def explain_row(
    subject: Subject,
    sample: Sample,
    cells: Mapping[str, Any],
    where: Where,
    *,
    target: str | None = None,
    ways: Sequence[str] = USUAL,
    steps: int = STEPS,
    pieces: int = PIECES,
    orders: int = ORDERS,
    apart: Apart = NOTHING_APART,
) -> Explanation:
    """Explains what a model says about a row.

    Args:
        subject: the model.
        sample: the row, encoded.
        cells: {column: cell}.
        where: the row, for files that cells lead to.
        target: which of its answers; None: the first.
        ways, steps, pieces, apart: as in `maps_of_row`.
        orders: of modalities, where there are too many for all sets of them.
    """
    batch = subject.batch(sample)
    question = Question.of(subject, batch, target)
    asked = question.target
    said = predictions_of(subject, sample)
    encoded = said.encoded[asked.name]
    answer = asked.answer(said.values(asked)[0], encoded[0] if bool(asked.known(encoded)[0]) else None)
    maps = maps_of_row(subject, sample, target=asked.name, ways=ways, steps=steps, pieces=pieces, apart=apart)
    found = worth_in_row(subject, batch, question, orders=orders)
    return Explanation(
        sample.row,
        asked.name,
        answer.prediction,
        answer.truth,
        (found.whole, asked.evidence_note(int(question.chosen[0]))),
        maps,
        found,
        {way: drawn(subject, sample, each, cells, where) for way, each in maps.items()},
    )


def drawn(
    subject: Subject, sample: Sample, found: Map, cells: Mapping[str, Any], where: Where
) -> dict[str, list[Part]]:
    """{modality: its map, as its kind draws it}; a drawing that fails says so in its place."""
    parts: dict[str, list[Part]] = {}
    for modality in subject.spec.modalities:
        encoded = sample.inputs[modality.name]
        if encoded is None or modality.name not in found.grids:
            continue
        try:
            parts[modality.name] = modality.draw_map(encoded, found.grids[modality.name], cells, where)
        except Exception as error:  # one picture is no reason to lose the page
            parts[modality.name] = [{"kind": "text", "name": modality.name, "value": f"(cannot be shown: {error})"}]
    return parts
