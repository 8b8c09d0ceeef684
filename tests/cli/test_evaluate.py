"""``perceiver evaluate``: its output, its exit code, its files."""

import json

from cli_helpers import perceiver


def test_evaluate_repeats_what_training_measured(folder, run):
    done = perceiver("evaluate", "first", "mixed.csv", "-o", "metrics.json", cwd=folder)
    measured = json.loads((folder / "metrics.json").read_text())
    trained = json.loads((run / "metrics.json").read_text())
    assert measured["confusion"] == trained["confusion"]
    assert measured["combinations"] == trained["combinations"]
    assert "8 rows of mixed.csv (test)" in done.stdout


def test_evaluate_says_what_modalities_and_columns_are_worth(folder, run):
    done = perceiver("evaluate", "first", "mixed.csv", "--worth", "-o", "worth.json", cwd=folder)
    measured = json.loads((folder / "worth.json").read_text())["worth"]
    trained = json.loads((run / "metrics.json").read_text())["worth"]
    assert measured.keys() == trained.keys()
    assert measured["modalities"] == trained["modalities"]
    assert measured["columns"] == trained["columns"]
    assert "what modalities are worth (Shapley values of" in done.stdout
    for name, each in measured["columns"].items():
        assert f"  {name}: {each['drop']:+.4f} ({each['low']:+.4f} to {each['high']:+.4f})" in done.stdout
