"""The target of docs/extending/target.md, installed as a package, from `fit` to the report."""

import csv
import json
import re
import sys

import numpy as np
import pytest

from cli_helpers import SETTINGS, perceiver
from data_helpers import table_of
from perceiver_pytorch.data import target_kinds, target_types
from perceiver_pytorch.data.targets import ClassTarget, LabelsTarget, NumberTarget
from plugin_helpers import blocks, install, registered

PAGE = "extending/target.md"


def code(language):
    return blocks(PAGE, language)[0]


def add(folder, monkeypatch, entry, module="count_target", source=""):
    install(folder, module, "perceiver.targets", entry, source)
    monkeypatch.syspath_prepend(folder)
    target_types.cache_clear()


@pytest.fixture(autouse=True)
def as_before():
    """No test leaves its package behind."""
    yield
    target_types.cache_clear()
    for module in ("count_target", "broken"):
        sys.modules.pop(module, None)


def entry():
    group, line = registered(code("toml"))
    assert group == "perceiver.targets"
    return line


def write_visits(path, rows=90):
    """Warm days bring more patients."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["warmth", "day", "visits", "split"])
        for i in range(rows):
            warmth = rng.normal()
            visits = int(rng.poisson(np.exp(1 + warmth))) if i % 10 else ""
            writer.writerow([f"{warmth:.3f}", i % 7, visits, ["train", "train", "val", "test"][i % 4]])
    return path


def test_a_count_is_fitted_measured_predicted_and_shown(tmp_path, monkeypatch):
    add(tmp_path, monkeypatch, entry(), source=code("python"))
    assert list(target_types()) == ["count", "number", "labels", "class"]
    write_visits(tmp_path / "clinic.csv")
    fitted = perceiver(
        *("fit", "clinic.csv", "--target=visits", "--target-kind=visits=count", "--run=clinic", "--on-error=skip"),
        *("--epochs=15", "--lr=5e-3", "--class-weights=balanced", "--set=augment.mixup=0.2", *SETTINGS),
        cwd=tmp_path,
    )
    assert "visits: a count," in fitted.stdout
    assert re.search(r"visits: D² 0\.\d+, MAE \d\.\d+ on \d+ rows \(mean of the train rows: MAE \d", fitted.stdout)

    metrics = json.loads((tmp_path / "clinic/metrics.json").read_text())
    assert (metrics["kind"], metrics["score_name"], metrics["score"]) == ("count", "d2", metrics["d2"])
    assert metrics["d2"] > 0.2
    assert "val_d2" in (tmp_path / "clinic/history.csv").read_text().splitlines()[0]
    spec = json.loads((tmp_path / "clinic/input_spec.json").read_text())
    assert spec["targets"][0].keys() == {"kind", "name", "mean"}
    page = (tmp_path / "clinic/report.html").read_text()
    for text in ("True counts", "mean prediction", "validation D²", "mean of the train rows (MAE)"):
        assert text in page, text

    measured = perceiver("evaluate", "clinic", "clinic.csv", "--output=again.json", cwd=tmp_path)
    assert fitted.stdout[fitted.stdout.index("visits: D²") :].splitlines()[0] in measured.stdout
    assert json.loads((tmp_path / "again.json").read_text())["d2"] == metrics["d2"]
    perceiver("predict", "clinic", "clinic.csv", "--output=out.csv", cwd=tmp_path)
    predicted = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert list(predicted[0]) == ["row", "prediction", "unusual", "error"]
    assert len(predicted) == 90
    assert min(float(row["prediction"]) for row in predicted) > 0


def test_a_count_is_learned_beside_a_class(tmp_path, monkeypatch):
    add(tmp_path, monkeypatch, entry(), source=code("python"))
    write_visits(tmp_path / "clinic.csv")
    options = ("--target=visits,day", "--target-kind=visits=count", "--run=both", "--epochs=1", *SETTINGS)
    done = perceiver("fit", "clinic.csv", *options, cwd=tmp_path)
    assert re.search(r"^visits: D².*\nday: accuracy", done.stdout, re.MULTILINE)
    page = (tmp_path / "both/report.html").read_text()
    assert "the mean of accuracy (classes) and D² (counts)," in page
    assert "True counts of visits" in page


def test_a_bad_count_is_named(tmp_path, monkeypatch):
    add(tmp_path, monkeypatch, entry(), source=code("python"))
    (tmp_path / "bad.csv").write_text("x,n\n" + "".join(f"{i / 7},{i % 5 if i != 3 else -1}\n" for i in range(30)))
    done = perceiver("fit", "bad.csv", "--target=n", "--target-kind=n=count", *SETTINGS, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "row 3, column 'n': must be a count (0, 1, 2, ..), got -1" in done.stderr


def test_a_run_of_a_target_that_is_not_installed_says_so(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        add(tmp_path, patch, entry(), source=code("python"))
        write_visits(tmp_path / "clinic.csv")
        options = ("--target=visits", "--target-kind=visits=count", "--run=clinic", "--epochs=1", "--on-error=skip")
        perceiver("fit", "clinic.csv", *options, *SETTINGS, cwd=tmp_path)
    target_types.cache_clear()
    done = perceiver("predict", "clinic", "clinic.csv", "--output=out.csv", cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "a kind of class, labels, number" in done.stderr
    assert "if a package adds that kind, install it" in done.stderr


def test_a_count_may_recognise_its_columns(tmp_path, monkeypatch):
    add(tmp_path, monkeypatch, entry(), source=code("python"))
    (tmp_path / "table").mkdir()
    table = table_of(tmp_path / "table", n=list(range(40)), x=[i / 7 for i in range(40)])
    assert target_kinds(table, "n,x") == {"n": "number", "x": "number"}
    found = {}
    exec(blocks(PAGE, "python")[1], found)
    monkeypatch.setattr(target_types()["count"], "recognises", classmethod(found["recognises"]))
    assert target_kinds(table, "n,x") == {"n": "count", "x": "number"}


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("CountTarget = 3", TypeError, "must be a subclass of Target with a kind, got 3"),
        ("import nowhere_to_be_found", ImportError, "^broken registers 'count'"),
        (
            "from perceiver_pytorch.data import ClassTarget\nclass CountTarget(ClassTarget): pass",
            ValueError,
            "two targets have the kind 'class': broken and perceiver_pytorch.data.targets.classes",
        ),
    ],
)
def test_what_cannot_be_a_target(tmp_path, monkeypatch, source, error, message):
    add(tmp_path, monkeypatch, "count = broken:CountTarget", "broken", source)
    with pytest.raises(error, match=message):
        target_types()


def test_the_targets_without_other_packages():
    assert list(target_types().values()) == [NumberTarget, LabelsTarget, ClassTarget]
