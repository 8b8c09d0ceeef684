"""``perceiver predict``: its output, its exit code, its files."""

import csv
import datetime
import json

import pytest

from cli_helpers import SETTINGS, perceiver
from training_helpers import write_targets_table


def test_predict_gives_probabilities_of_every_row(folder, run):
    perceiver("predict", "first", "mixed.csv", "-o", "out.csv", cwd=folder)
    with (folder / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == list(range(48))
    for row in rows:
        shares = {"dark": float(row["p_dark"]), "light": float(row["p_light"])}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert row["prediction"] == max(shares, key=shares.get)


def test_predict_and_evaluate_several_targets(folder):
    write_targets_table(folder)
    options = ["--target=weight,side", "--target=tags", "--task-weight=tags=2", "--epochs=1", *SETTINGS]
    done = perceiver("fit", "targets.csv", *options, "--run=several", cwd=folder)
    for name in ("side: accuracy", "tags: mAP", "weight: MAE"):
        assert name in done.stdout
    perceiver("predict", "several", "targets.csv", "-o", "several.csv", cwd=folder)
    with (folder / "several.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = ["row", "weight_prediction", "side_prediction", "side_p_left", "side_p_right", "tags_prediction",
             "tags_p_high", "tags_p_odd", "tags_p_wide", "unusual"]  # fmt: skip
    assert list(rows[0]) == names
    for row in rows:
        chosen = [label for label in ("high", "odd", "wide") if float(row[f"tags_p_{label}"]) >= 0.5]
        assert row["tags_prediction"] == "|".join(chosen)
        assert 0 < float(row["weight_prediction"]) < 2000
    perceiver("evaluate", "several", "targets.csv", "-o", "several.json", cwd=folder)
    measured = json.loads((folder / "several.json").read_text())
    trained = json.loads((folder / "several/metrics.json").read_text())
    assert measured["tasks"] == trained["tasks"]


def test_dates_are_predicted_as_dates(folder):
    lines = [f"{i % 7},{datetime.date(2020, 1, 1) + datetime.timedelta(days=31 * (i % 7) + i)}" for i in range(60)]
    (folder / "dates.csv").write_text("\n".join(["x,when", *lines]))
    done = perceiver("fit", "dates.csv", "--target=when", "--epochs=1", "--run=dates", *SETTINGS, cwd=folder)
    assert "when: a date, 2020-0" in done.stdout
    assert "2020-" in (folder / "dates/report.html").read_text()
    perceiver("predict", "dates", "dates.csv", "-o", "dates-out.csv", cwd=folder)
    with (folder / "dates-out.csv").open() as file:
        for row in csv.DictReader(file):
            assert datetime.date.fromisoformat(row["prediction"])


def test_predict_takes_tables_without_target_and_without_a_modality(folder, run):
    import pyarrow.parquet

    with (folder / "mixed.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (folder / "bare.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["picture", "note"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows[:5])
    done = perceiver("predict", "first", "bare.csv", "-o", "out.parquet", cwd=folder)
    assert "has no columns sound, size, place; they count as missing in every row" in done.stderr
    table = pyarrow.parquet.read_table(folder / "out.parquet")
    assert table.num_rows == 5
    assert table.column_names == ["row", "prediction", "p_dark", "p_light", "unusual"]


def test_wrong_calls_of_predict(folder, run):
    for output, message in (("out.xlsx", "csv or .parquet"), ("no/such/out.csv", "does not exist")):
        done = perceiver("predict", "first", "mixed.csv", "-o", output, cwd=folder, check=False)
        assert done.returncode == 2
        assert message in done.stderr
