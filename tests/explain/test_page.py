"""Explanations as files: a page without outside resources, a file per map, numbers."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from explain_helpers import rich
from perceiver_pytorch.data import Where
from perceiver_pytorch.explain.page import rendered, write_explanations
from perceiver_pytorch.explain.rows import explain_row


@pytest.fixture(scope="module")
def explanations(tmp_path_factory):
    subject, rows = rich(tmp_path_factory.mktemp("rich"), left_out={"clip", "cloud"})
    where = Where(rows.table.source, rows.table.root, 0)
    ways = ["integrated", "attention"]
    return [explain_row(subject, rows[i], rows.table.row(i), where, ways=ways, steps=1) for i in (0, 1)]


def test_each_map_is_a_file_and_the_numbers_are_kept(explanations, tmp_path):
    page = write_explanations(tmp_path / "out", explanations, model="m", table="t", metrics={})
    assert page == tmp_path / "out/index.html"
    for row in ("row-0", "row-1"):
        folder = page.parent / row
        with Image.open(folder / "label.integrated.picture.png") as picture:
            assert picture.width > 256
        assert (folder / "label.attention.note.svg").read_text().startswith("<svg")
        assert (folder / "sound.wav").read_bytes().startswith(b"RIFF")
    told = json.loads((page.parent / "explanations.json").read_text())
    assert [each["row"] for each in told["rows"]] == [0, 1]
    grid = explanations[1].maps["integrated"].grids["curve"]
    with np.load(page.parent / "maps.npz") as arrays:
        np.testing.assert_allclose(arrays["1/label/integrated/curve"], grid, rtol=1e-5)
    assert not [path for path in page.parent.rglob("*") if path.name.endswith(".partial")]


def test_the_page_fetches_nothing_and_names_every_map(explanations):
    page = rendered(explanations, model="a <model>", table="t", metrics={})
    assert "a &lt;model&gt;" in page
    assert set(re.findall(r'(?:src|href)="([^"]{0,5})', page)) <= {"data:", "#row-"}
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert page.count("<audio") == 2
    for name in explanations[0].maps["integrated"].grids:
        assert f"<h3>{name}</h3>" in page
    assert all('alt="' in image for image in re.findall("<img[^>]*>", page))


def test_what_modalities_are_worth_in_all_stands_on_the_page(explanations):
    value = {"value": 0.25, "standard_error": None}
    modalities = {"nothing": 0.1, "whole": 0.6, "exact": True, "orders": 0, "values": {"note": value, "picture": value}}
    worth = {"score_title": "accuracy", "rows": 200, "split": "test", "modalities": modalities, "columns": {}}
    page = rendered(explanations, model="m", table="t", metrics={"worth": worth})
    assert "accuracy" in page
    assert page.count("+0.250") == 2
