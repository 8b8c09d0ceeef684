"""A run reads later tables as it read the first one, however their numbers and dates are written."""

import datetime
import shutil
from pathlib import Path

import pytest

from perceiver_pytorch import tables
from perceiver_pytorch.data import DataError
from perceiver_pytorch.training.table.run import TableRun

pytestmark = pytest.mark.filterwarnings("ignore:.*its cells are separated by")


def sales(rows: int = 60) -> str:
    """Decimal commas in one column, points that part thousands in another, days first, and a target of both."""
    rev = ["850", "1.234", "12.500", "930"]
    lines = [f"{rev[i % 4]};{i},25;{i % 28 + 1:02d}/01/2020;1.{i * i % 997:03d},5" for i in range(rows)]
    return "\n".join(["rev;rate;day;y", *lines]) + "\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tables.Run:
    folder = tmp_path_factory.mktemp("sales")
    (folder / "sales.csv").write_text(sales())
    return tables.fit(folder / "sales.csv", "y", run=folder / "run", epochs=1, num_workers=0, verbose=False)


def predicted(run: tables.Run, path: Path, text: str, **options):
    path.write_text(text)
    return run.predict(path, workers=0, **options)["prediction"].to_pylist()


def test_a_target_is_predicted_in_numbers(trained):
    (target,) = trained.spec.targets
    assert (target.kind, target.mean) == ("number", pytest.approx(1450, abs=100))
    measured = trained.evaluate(trained.path.parent / "sales.csv", split="all")
    assert (measured["rows"], measured["bad_rows"]) == (60, 0)


def test_the_same_values_have_the_same_prediction(trained, tmp_path):
    same = predicted(trained, tmp_path / "a.csv", "rev;rate;day\n1.234;2,25;03/01/2020\n")
    assert predicted(trained, tmp_path / "b.csv", 'rev,rate,day\n1234,"2,25",3/1/2020\n') == same
    row = {"rev": 1234, "rate": 2.25, "day": datetime.date(2020, 1, 3)}
    assert [answer["prediction"] for answer in trained.predict([row], workers=0)] == same


def test_points_part_thousands_also_where_no_other_column_tells(trained, tmp_path):
    """Read by itself, the column would be one of small numbers."""
    with pytest.warns(match="has no columns rate, day"):
        alone = predicted(trained, tmp_path / "a.csv", "rev\n1.234\n")
    with pytest.warns(match="has no columns rate, day"):
        assert [row["prediction"] for row in trained.predict([{"rev": 1234}], workers=0)] == alone


def test_cells_that_are_written_otherwise_are_bad_rows(trained, tmp_path):
    text = "rev;rate;day\n1.234;2.25;03/01/2020\n850;1,25;2020.05.01\n850;1,25;04/01/2020\n"
    with pytest.raises(DataError, match=r"row 0, column 'rate': must be a number, got '2.25 \(written otherwise"):
        predicted(trained, tmp_path / "a.csv", text)
    with pytest.warns(match="is left out"):
        answers = predicted(trained, tmp_path / "a.csv", text, on_error="skip")
    assert [answer is None for answer in answers] == [True, True, False]


def test_a_run_goes_on_with_what_it_learned(trained, tmp_path):
    shutil.copytree(trained.path, tmp_path / "run")
    again = tables.fit(trained.path.parent / "sales.csv", resume=tmp_path / "run", verbose=False)
    assert again.metrics["mae"] == trained.metrics["mae"]


def test_a_run_without_spellings_reads_as_before(trained, tmp_path):
    """As one of an early version: points are points, and no mark is missing."""
    shutil.copytree(trained.path, tmp_path / "run")
    folder = TableRun.open(tmp_path / "run")
    spec = folder.spec().to_dict()
    del spec["spellings"], spec["modalities"][1:]
    folder.write_spec(type(trained.spec).from_dict(spec))
    old = tables.Run(folder).spec
    assert old.spellings is None
    assert "spellings" not in old.to_dict()


def test_what_is_read_is_told_and_stands_in_the_report(tmp_path, capsys):
    lines = ["x,y", *(f'"1,{i:03d}",{"ab"[i % 2]}' for i in range(60)), "5,?"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with (
        pytest.warns(match="y: '\\?' in 1 cell means missing, first in row 60"),
        pytest.raises(DataError, match="row 60"),
    ):
        tables.fit(tmp_path / "t.csv", "y", run=tmp_path / "run", epochs=1)
    with pytest.warns(match="means missing"), pytest.warns(match="1 bad row is left out"):
        run = tables.fit(tmp_path / "t.csv", "y", run=tmp_path / "run", epochs=1, on_error="skip", num_workers=0)
    said = capsys.readouterr().out
    assert "x: numbers such as '1,000' are read as 1000" in said
    report = run.report().read_text()
    assert "x as 1,234.5" in report
    assert "means missing" in report
