import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perceiver_pytorch import InputModality, MultiModalityWithTextPerceiver
from perceiver_pytorch.nn.stems import WordStem, stem_config, stem_from_config


def test_a_word_is_the_mean_of_its_ids_and_sees_its_neighbours() -> None:
    stem = WordStem(9, 4).eval()
    ids = torch.tensor([[[1, 2, 0], [3, 0, 0], [4, 5, 6]]])
    tokens, mask, coordinates = stem(ids, None, None)
    assert mask is None
    assert coordinates is None
    table = stem.table.weight
    words = torch.stack([(table[1] + table[2]) / 2, table[3], table[4:7].mean(0)])
    kernel = stem.neighbours.weight
    seen = sum(words[i] @ kernel[:, :, i].T for i in range(3)) + stem.neighbours.bias
    torch.testing.assert_close(tokens[0, 1], stem.norm(words[1] + seen))


@given(st.integers(1, 6), st.integers(0, 4), st.integers(1, 5))
def test_a_row_does_not_depend_on_its_padding(length: int, padding: int, width: int) -> None:
    stem = WordStem(20, 4).eval()
    row = torch.randint(20, (1, length, width))
    padded = torch.cat([row, torch.full((1, padding, width), 19)], 1)
    mask = torch.arange(length + padding)[None] < length
    tokens, found, _ = stem(padded, mask, None)
    torch.testing.assert_close(tokens[found], stem(row, None, None)[0][0])


def test_a_row_without_words_is_finite() -> None:
    tokens, _, _ = WordStem(5, 4)(torch.zeros(1, 2, 3, dtype=torch.long), torch.zeros(1, 2, dtype=torch.bool), None)
    assert tokens.isfinite().all()


def test_wrong_ids_are_told() -> None:
    with pytest.raises(ValueError, match=r"ids of words must lie in \[0, 5\), got 1 to 5"):
        WordStem(5)(torch.tensor([[[1, 5]]]), None, None)
    with pytest.raises(TypeError, match="words must be integer ids, got "):
        WordStem(5)(torch.zeros(1, 1, 1), None, None)


def test_what_is_masked_is_not_looked_up() -> None:
    with pytest.raises(ValueError, match="ids of words"):
        WordStem(5)(torch.tensor([[[1], [7]]]), None, None)
    WordStem(5)(torch.tensor([[[1], [4]]]), torch.tensor([[True, False]]), None)


def test_a_configuration_makes_it_again() -> None:
    config = {"name": "words", "num_ids": 7, "channels": 8, "shared": True}
    assert stem_config(stem_from_config(config)) == config
    assert stem_config(WordStem(7)) == {"name": "words", "num_ids": 7, "channels": 64}


def model(*stems: WordStem) -> MultiModalityWithTextPerceiver:
    modalities = [InputModality(f"text{i}", 2, 1, 2, 4.0, stem=stem) for i, stem in enumerate(stems)]
    return MultiModalityWithTextPerceiver(
        modalities=modalities, depth=1, num_latents=2, latent_dim=8, latent_heads=1, latent_dim_head=8, num_classes=2
    )


def test_stems_of_one_model_share_their_table_where_they_say_so(tmp_path) -> None:  # type: ignore[no-untyped-def]
    shared, own = (WordStem(7, 4, shared=True) for _ in range(2)), WordStem(7, 4)
    read = model(*shared, own)
    first, second, third = (read.stems[f"text{i}"] for i in range(3))
    assert first.table is second.table
    assert third.table is not first.table
    assert first.neighbours is not second.neighbours
    read.save_pretrained(tmp_path)
    again = MultiModalityWithTextPerceiver.from_pretrained(tmp_path)
    assert again.stems["text0"].table is again.stems["text1"].table
    inputs = {f"text{i}": torch.randint(7, (3, 4, 2)) for i in range(3)}
    torch.testing.assert_close(again(inputs), read.eval()(inputs))


def test_tables_of_other_sizes_are_not_shared() -> None:
    read = model(WordStem(7, 4, shared=True), WordStem(8, 4, shared=True))
    assert read.stems["text0"].table is not read.stems["text1"].table
