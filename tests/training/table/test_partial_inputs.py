"""Combinations of modalities, and rows drawn to measure them on."""

from perceiver_pytorch.training.table.partial_inputs import Drawn, sampled_rows, subsets


def test_all_combinations_of_six_modalities_and_of_more_each_without_and_alone():
    assert subsets("ab") == [("a", "b"), ("a",), ("b",)]
    six = subsets("abcdef")
    assert len(set(six)) == len(six) == 63
    assert six[0] == tuple("abcdef")
    seven = subsets("abcdefg")
    assert [len(subset) for subset in seven] == [7] + [6] * 7 + [1] * 7


def test_rows_are_drawn_alike_every_time_and_none_twice():
    batches = list(Drawn(100, 25, 10))
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert len(Drawn(100, 25, 10)) == 3
    places = [place for batch in batches for place in batch]
    assert places == sorted(set(places))
    assert batches == list(Drawn(100, 25, 10))
    assert [place for batch in Drawn(7, 25, 10) for place in batch] == list(range(7))


def test_the_more_combinations_the_fewer_rows():
    assert [sampled_rows(count) for count in (1, 3, 7, 15, 31, 63)] == [2000, 2000, 2000, 1066, 516, 500]
