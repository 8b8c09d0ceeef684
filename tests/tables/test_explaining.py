"""`Run.explain` on files and tables in memory."""

import csv

import numpy as np
import pytest


def test_rows_are_named_by_their_number_in_the_table(run, mixed, tmp_path):
    found = run.explain(mixed, [7, 1], ways=["occlusion"], pieces=4, output=tmp_path / "out")
    assert [each.row for each in found] == [1, 7]
    assert "picture" in found[0].maps["occlusion"].grids
    assert "picture" not in found[1].maps["occlusion"].grids  # its cell is empty
    assert (tmp_path / "out/index.html").is_file()


def test_a_row_in_memory_has_the_same_maps(run, mixed):
    with mixed.open() as file:
        rows = list(csv.DictReader(file))[:3]
    for row in rows:
        del row["label"]
    (alone,) = run.explain(rows, [1], ways=["integrated"], steps=2, root=mixed.parent)
    (whole,) = run.explain(mixed, [1], ways=["integrated"], steps=2)
    assert alone.truth is None
    assert whole.truth in ("dark", "light")
    for name, grid in whole.maps["integrated"].grids.items():
        np.testing.assert_allclose(alone.maps["integrated"].grids[name], grid, rtol=1e-3, atol=1e-6)


def test_without_numbers_a_few_rows_are_explained(run, mixed):
    found = run.explain(mixed, ways=["gradient"])
    assert [each.row for each in found] == [0, 12, 24, 35, 47]
    assert len(run.explain(mixed, split="test", ways=["gradient"])) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": [48]}, r"rows are 0 to 47, got 48"),
        ({"rows": []}, "one row at least"),
        ({"rows": [0], "split": "test"}, "of the split test"),
        ({"rows": [0], "ways": ["magic"]}, "ways must be some of integrated"),
        ({"rows": [0], "targets": ["lable"]}, "target"),
    ],
)
def test_what_there_is_not_is_named(run, mixed, options, message):
    with pytest.raises(ValueError, match=message):
        run.explain(mixed, **options)
