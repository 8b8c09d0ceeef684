"""The page and the table of an experiment."""

import csv
import io
import re
from pathlib import Path

import pytest

from experiment_helpers import TEXT, experiment, record
from perceiver_pytorch.experiments.findings import findings
from perceiver_pytorch.experiments.report import answer, cells_csv, write_experiment_report
from perceiver_pytorch.experiments.store import FAILED


def records() -> list:
    done = [
        record("words", level, seed, 0.5 + 0.2 * (level == "split") + 0.01 * seed)
        for level in ("whole", "split")
        for seed in range(4)
    ]
    return [*done, record("words", "whole", 4, 0.0, state=FAILED, result=None, error="ValueError: a, b")]


def test_the_table_has_every_cell() -> None:
    first, *_, last = csv.DictReader(io.StringIO(cells_csv(experiment(), records())))
    assert (first["set"], first["text"], first["depth"], first["seed"], first["score"]) == (
        "words",
        "whole",
        "1",
        "0",
        "0.5",
    )
    assert (last["state"], last["score"], last["error"]) == ("failed", "", "ValueError: a, b")


def test_the_answer_says_what_was_decided_and_what_is_missing() -> None:
    lines = answer(experiment(), findings(experiment(), records()), records())
    assert lines[0].startswith("text: against whole, split helps (+0.2000 (")
    assert lines[1] == "1 of 9 cells have no result yet, or failed: this is not the whole answer."
    assert answer(experiment(), [], []) == ["There is nothing to compare yet."]
    assert "answers nothing" in answer(experiment(TEXT, quick=True), [], [])[0]


def test_the_page_stands_alone(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    from perceiver_pytorch.experiments.facts import facts_of
    from perceiver_pytorch.experiments.store import Store

    text = TEXT.replace("Does it help?", "Is <a> & b?")
    store = Store(tmp_path)
    store.set_facts(facts_of(experiment(text), ["experiment", "my file.yaml"], None))
    for one in records():
        store.want([(one.key, one.set, one.levels, one.seed)])
        with store.owning() as owner:
            store.claim([one.key], owner)
            store.finish(one.key, owner, one.result) if one.result else store.fail(one.key, owner, one.error)
    page, table = (path.read_text() for path in write_experiment_report(tmp_path))
    assert page.count("<svg") >= 3
    assert "could not be drawn" not in page
    assert not re.search(r"(src|href)=", page.replace("xlink:href", ""))
    assert "Is &lt;a&gt; &amp; b?" in page
    assert "perceiver experiment &#39;my file.yaml&#39;" in page
    assert "ValueError: a, b" in page
    assert len(table.splitlines()) == 10


def test_without_an_experiment_there_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder of an experiment"):
        write_experiment_report(tmp_path)
