"""A row explained: what it says, and drawings of every kind that can be read."""

from xml.dom.minidom import parseString

import pytest

from explain_helpers import rich
from perceiver_pytorch.data import Where
from perceiver_pytorch.explain.rows import explain_row


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    subject, rows = rich(tmp_path_factory.mktemp("rich"))
    cells = rows.table.row(1)
    where = Where(rows.table.source, rows.table.root, 1)
    return subject, explain_row(subject, rows[1], cells, where, ways=["integrated", "occlusion"], steps=2, pieces=4)


def test_it_says_what_is_answered_and_what_for(explained):
    _, found = explained
    assert (found.row, found.target, found.truth) == (1, "label", "yes")
    assert found.prediction.startswith(("no", "yes"))
    assert found.evidence[1] in ("log-odds of no", "log-odds of yes")
    told = found.as_json()
    assert told["worth"]["values"].keys() == found.worth.values.keys()
    assert told["totals"]["occlusion"].keys() == found.maps["occlusion"].grids.keys()


def test_every_kind_draws_its_map(explained):
    subject, found = explained
    for parts in found.drawings.values():
        assert parts.keys() == {modality.name for modality in subject.spec.modalities}
        for name, drawn in parts.items():
            assert [part for part in drawn if part["kind"] == "text"] == [], name
            for part in drawn:
                if part["kind"] == "drawing":
                    parseString(part["value"])
                else:
                    assert part["value"].startswith("data:"), name
    kinds = {name: [part["kind"] for part in drawn] for name, drawn in found.drawings["integrated"].items()}
    assert kinds["clip"] == ["image", "image"]  # a strip and a film
    assert kinds["sound"] == ["drawing", "drawing", "audio"]
    assert "green" in found.drawings["integrated"]["note"][0]["value"]
    assert "acgt" in found.drawings["integrated"]["bytes"][0]["value"]
    assert "place = there" in found.drawings["integrated"]["categories"][0]["value"]


def test_a_drawing_that_fails_says_so_in_its_place(tmp_path, monkeypatch):
    subject, rows = rich(tmp_path, left_out={"clip", "sound", "picture"})
    monkeypatch.setattr(type(subject.spec.modalities[0]), "draw_map", lambda *_: 1 / 0)
    found = explain_row(subject, rows[1], rows.table.row(1), Where("", tmp_path, 1), ways=["attention"])
    (part,) = found.drawings["attention"][subject.spec.modalities[0].name]
    assert "division by zero" in part["value"]
