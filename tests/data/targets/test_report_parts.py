import torch

from perceiver_pytorch.data.targets.report_parts import Answer, Section, interval_text, spread


def test_values_are_spread_from_the_first_to_the_last():
    values = torch.arange(100, 200)
    assert spread(values, 4).tolist() == [100, 133, 166, 199]
    assert spread(values, 100) is spread(values, 1000) is values
    assert spread(values, 0).tolist() == spread(values[:0], 3).tolist() == []


def test_an_interval_stands_behind_a_score():
    assert interval_text({"low": 0.9123, "high": 0.97}) == " (0.912–0.97)"
    assert interval_text(None) == ""


def test_what_is_not_said_is_left_out():
    assert Answer("a") == Answer("a", None, None)
    assert Section("Heading") == Section("Heading", None, (), (), "")
