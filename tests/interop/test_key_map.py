"""Key maps: patterns, splits, and their inverse."""

import pytest
import torch

from perceiver_pytorch.interop.key_map import Rule, translate, translate_back

RULES = [
    Rule("net.{layer}.kv.weight", ("layers.{layer}.k", "layers.{layer}.v")),
    Rule("net.{layer}.{what}", "layers.{layer}.other.{what}"),
    Rule("head.{*rest}", "to_logits.{*rest}"),
]


def test_names_become_ours_and_theirs_again() -> None:
    weights = {
        "net.0.kv.weight": torch.arange(8.0).view(4, 2),
        "net.1.kv.weight": torch.randn(6, 2),
        "net.0.bias": torch.randn(3),
        "head.1.deep.weight": torch.randn(2, 2),
    }
    ours = translate(weights, RULES)
    assert sorted(ours) == [
        *("layers.0.k", "layers.0.other.bias", "layers.0.v", "layers.1.k", "layers.1.v"),
        "to_logits.1.deep.weight",
    ]
    assert ours["layers.0.v"].tolist() == [[4.0, 5.0], [6.0, 7.0]]
    back = translate_back(ours, RULES)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], value) for name, value in weights.items())


def test_names_that_no_rule_knows() -> None:
    with pytest.raises(ValueError, match=r"no place for: net.0.too.deep, tail"):
        translate({"net.0.too.deep": torch.zeros(1), "tail": torch.zeros(1)}, RULES)
    with pytest.raises(ValueError, match="have no name there: tail"):
        translate_back({"tail": torch.zeros(1)}, RULES)


def test_a_dot_in_a_pattern_is_a_dot() -> None:
    with pytest.raises(ValueError, match="no place for"):
        translate({"headx1": torch.zeros(1)}, RULES)


def test_two_weights_of_one_name() -> None:
    rules = [Rule("a.{what}", "c.{what}"), Rule("b.{what}", "c.{what}")]
    with pytest.raises(ValueError, match=r"two weights would be called 'c.x'; the second is 'b.x'"):
        translate({"a.x": torch.zeros(1), "b.x": torch.zeros(1)}, rules)
