"""Who owns the weights of each layer, written out."""

import pytest

from perceiver_pytorch.nn.sharing import LayerSharing, share


def owners(sharing: list[LayerSharing]) -> list[tuple[int, tuple[int, ...]]]:
    return [(layer.cross, layer.blocks) for layer in sharing]


@pytest.mark.parametrize("rule", ["release", "paper"])
def test_untied_layers_own_everything(rule: str) -> None:
    assert owners(share(3, 2, tie=False, rule=rule)) == [(0, (0, 0)), (1, (1, 1)), (2, (2, 2))]


def test_the_release_ties_blocks_after_the_first_of_each_layer() -> None:
    assert owners(share(3, 3, tie=True, rule="release")) == [(0, (0, 0, 0)), (1, (1, 0, 0)), (1, (2, 0, 0))]


def test_the_releases_perceiver_ties_layers_after_the_first() -> None:
    assert owners(share(3, 1, tie=True, rule="release", single_block=True)) == [(0, (0,)), (1, (1,)), (1, (1,))]


@pytest.mark.parametrize("single_block", [False, True])
def test_the_paper_ties_all_transformers(single_block: bool) -> None:
    expected = [(0, (0, 0)), (1, (0, 0)), (1, (0, 0))]
    assert owners(share(3, 2, tie=True, rule="paper", single_block=single_block)) == expected


def test_one_layer_owns_its_weights() -> None:
    for rule in ("release", "paper"):
        assert owners(share(1, 2, tie=True, rule=rule)) == [(0, (0, 0))]
