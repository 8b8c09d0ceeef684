import numpy as np

from data_helpers import table_of
from perceiver_pytorch.data import InputSpec, recognise_columns
from perceiver_pytorch.training.table.suspects import find_suspects


def suspects(folder, **columns):
    table = table_of(folder, **columns)
    kinds = recognise_columns(table, target="y", split=None)
    rows = np.arange(len(table))
    spec = InputSpec.fit(table, kinds, target="y", rows=rows)
    return {each.column: each for each in find_suspects(table, spec.kinds, spec.targets, rows)}


def test_the_answer_in_another_form_and_a_row_number_are_suspected(tmp_path):
    found = suspects(tmp_path, nr=list(range(60)), word=["ja", "nein"] * 30, x=[0.5, 1, 2] * 20, y=["yes", "no"] * 30)
    assert found.keys() == {"nr", "word"}
    assert found["word"].is_answer
    assert found["word"].says == "column 'word' determines 'y' in every train row"
    assert not found["nr"].is_answer
    assert found["nr"].option == "--column nr=ignore"


def test_a_plain_table_is_beyond_suspicion(tmp_path):
    assert suspects(tmp_path, x=[0.5, 1, 2] * 20, y=["yes", "no"] * 30) == {}
