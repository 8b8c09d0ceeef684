"""A bundle does what its run does: what is unusual, sets and intervals, metrics, maps by occlusion."""

import shutil

import numpy as np
import pytest

from perceiver_pytorch._saved_files import DamagedFileError
from perceiver_pytorch.cli.app import run as command
from perceiver_pytorch.runtime import Bundle

pytestmark = [  # a row is to be unusual, and five steps are few
    pytest.mark.filterwarnings("ignore:.*that the train rows did not have"),
    pytest.mark.filterwarnings("ignore:.*the others do harm"),
]


def test_rows_unlike_the_train_rows_are_told_as_by_the_run(run, bundle, table):
    assert bundle.latents == "latents"
    expected, found = ([row["unusual"] for row in each.predict(table)] for each in (run, bundle))
    assert found == expected
    assert any("unlike the train rows as a whole" in (reason or "") for reason in found)
    assert "zz" in found[7]
    assert sum(map(bool, found)) < len(found) / 4


def test_sets_and_intervals_are_those_of_the_run(run, bundle, table):
    expected, found = run.predict(table, coverage=0.8), bundle.predict(table, coverage=0.8)
    assert [*found[0]] == [*expected[0]]
    assert {"kind_set", "price_low", "price_high"} <= {*found[0]}
    for one, other in zip(expected, found, strict=True):
        assert one["kind_set"] == other["kind_set"]
        np.testing.assert_allclose(
            [one["price_low"], one["price_high"]], [other["price_low"], other["price_high"]], rtol=1e-4, atol=1e-4
        )


def compared(expected, found, place=""):
    """That JSON values are equal, numbers to 1e-4."""
    if isinstance(expected, dict):
        assert expected.keys() == found.keys(), place
        for key, value in expected.items():
            compared(value, found[key], f"{place}/{key}")
    elif isinstance(expected, list):
        assert len(expected) == len(found), place
        for i, (one, other) in enumerate(zip(expected, found, strict=True)):
            compared(one, other, f"{place}[{i}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4), place
    else:
        assert found == expected, place


def test_metrics_are_those_of_the_run(run, bundle, table):
    expected, found = run.evaluate(table, worth=True), bundle.evaluate(table, worth=True)
    del expected["verdict"]  # which speaks of training
    compared(expected, found)
    assert found["unusual"]["measured"] > 0
    assert len(found["combinations"]) == 3


def test_maps_by_occlusion_and_worths_are_those_of_the_run(run, bundle, table, tmp_path):
    (expected, _), (found, other) = (
        run.explain(table, rows=[3], ways=["occlusion"]),
        bundle.explain(table, rows=[3], output=tmp_path / "e"),
    )
    assert (found.target, other.target) == ("kind", "price")
    for name, values in expected.maps["occlusion"].values.items():
        np.testing.assert_allclose(found.maps["occlusion"].values[name], values, rtol=1e-4, atol=1e-4)
    compared(expected.worth.values, found.worth.values)
    assert (tmp_path / "e" / "index.html").is_file()


def test_maps_that_need_more_than_forwards_are_refused(bundle, table):
    with pytest.raises(ValueError, match="attention by the run that it was made of: perceiver explain RUN"):
        bundle.explain(table, ways=["occlusion", "attention"])


def test_the_commands_take_a_bundle(bundle, tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("size,place,kind,price\n0.4,a,v,0.8\n-1,b,u,-1\n-2,,u,-4\n1.5,c,v,5\n")
    for arguments in (["evaluate", str(bundle.path), str(table)], ["explain", str(bundle.path), str(table)]):
        with pytest.raises(SystemExit) as ended:
            command([*arguments, "-o", str(tmp_path / arguments[0])])
        assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "4 rows of" in said
    assert "4 rows explained in" in said


def test_without_pytorch_measuring_says_what_is_needed(bundle, table, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    for call in (bundle.evaluate, bundle.explain):
        with pytest.raises(ImportError, match=r"torch.*perceiver-multi-modality-pytorch\[train\]"):
            call(table)


def test_what_was_learned_of_latents_is_read_with_care(bundle, table, tmp_path):
    shutil.copytree(bundle.path, tmp_path / "b")
    file = tmp_path / "b" / "calibration.json"
    file.write_text(file.read_text().replace('"variances"', '"variance"'))
    with pytest.raises(DamagedFileError, match=r"calibration\.json"):
        Bundle.open(tmp_path / "b").predict(table)


def test_a_bundle_without_latents_tells_oddities_alone(bundle, table, tmp_path):
    shutil.copytree(bundle.path, tmp_path / "b")
    file = tmp_path / "b" / "bundle.json"
    file.write_text(file.read_text().replace('"latents": "latents"', '"latents": null'))
    found = [row["unusual"] for row in Bundle.open(tmp_path / "b").predict(table)]
    assert "zz" in found[7]
    assert not any("as a whole" in (reason or "") for reason in found)
