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
