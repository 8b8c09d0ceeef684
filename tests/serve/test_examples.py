"""Rows to try are sent as ``/predict`` takes them, and no others can be asked for."""

import json

import pytest

from perceiver_pytorch.serve.examples import MOST, Examples, examples_for
from perceiver_pytorch.serve.open import open_served
from perceiver_pytorch.serve.refusals import RefusedError
from perceiver_pytorch.serve.served import ServedPredictor
from serve_helpers import ask


@pytest.fixture(scope="module")
def served(run):
    return open_served(run.path)


def test_an_example_is_answered_and_its_truth_is_told(serving, served, folder):
    address = serving(served, examples_for(served, str(folder / "served.csv")))
    assert 0 < ask(f"{address}/spec").body["examples"] <= MOST
    example = ask(f"{address}/examples/0").body
    assert example["truth"].keys() == {"label", "weight"}
    assert example["row"]["place"] in ("here", "there")
    answer = ask(f"{address}/predict", {"rows": [example["row"]]})
    assert answer.status == 200, answer.body
    assert len(answer.body["predictions"][0]["present"]) >= 4
    count = ask(f"{address}/spec").body["examples"]
    assert ask(f"{address}/examples/{count}").status == 404
    assert ask(f"{address}/examples/-1").status == 404
    pictures = [ask(f"{address}/examples/{i}").body["row"]["picture"] for i in range(count)]
    assert any(picture and picture.startswith("data:image/png;base64,") for picture in pictures)
    json.dumps(example)


def test_rows_of_a_table_of_ones_own_are_offered_only_if_it_is_named(served, run):
    assert served.trained_on.endswith("served.csv")
    assert len(examples_for(served, None)) == 0
    builtin = ServedPredictor(served.predictor, "x", "digits")
    assert len(examples_for(builtin, None)) == MOST


def test_there_are_none_without_a_table():
    assert len(Examples()) == 0
    with pytest.raises(RefusedError, match="there is no example 0; there are 0"):
        Examples().row(0)
