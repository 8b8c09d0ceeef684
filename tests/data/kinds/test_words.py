"""Text columns as words."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from data_helpers import fitted, table_of
from perceiver_pytorch.data import InputSpec, SpecOptions, Where, collate
from perceiver_pytorch.data.dataset import TableDataset
from perceiver_pytorch.data.kinds.words import IDS, PARTS, WordAugmentation, WordsSpec, sharing_words

WHERE = Where("here.csv", Path("/nowhere"), 17)
SMALL = WordsSpec("x", 4, "the cat", 8, parts=50, ids=6)


def ids(text, spec=SMALL):
    return spec.encode({"x": text}, WHERE).values


def test_a_word_has_ids_of_its_own_of_its_pair_and_of_its_parts():
    values = ids("The cat")
    assert (values.shape, values.dtype) == ((2, 6), "int32")
    assert values[:, 0].tolist() == [101, 102]  # behind 0, the parts and the pairs
    assert all(50 < pair <= 100 for pair in values[:, 1])
    assert all(0 < part <= 50 for part in values[:, 2:].flatten())
    assert SMALL.num_ids == 103


def test_pairs_know_their_order_and_the_beginning():
    assert ids("the cat")[1, 1] != ids("cat the")[1, 1]
    assert ids("a the cat")[2, 1] == ids("the cat")[1, 1]
    assert ids("the cat")[0, 1] == ids("the dog")[0, 1] != ids("a the")[1, 1]


def test_an_unknown_word_has_the_parts_that_it_shares_with_others():
    known, unknown = ids("cat"), ids("cats")
    assert unknown[0, 0] == 0
    assert len(set(known[0, 2:]) & set(unknown[0, 2:]) - {0}) >= 3  # lower, <ca, cat
    assert ids("a")[0, 4] == 0  # a short word has few parts


def test_case_is_told_by_a_part_alone():
    assert ids("CAT")[0, 2] != ids("cat")[0, 2]
    assert (np.delete(ids("CAT"), 2, 1) == np.delete(ids("cat"), 2, 1)).all()


def test_missing_and_cut_texts():
    assert SMALL.encode({"x": None}, WHERE) is None
    assert SMALL.encode({"x": "  "}, WHERE) is None
    assert SMALL.encode({"x": "a b c d"}, WHERE).changes == ()
    cut = SMALL.encode({"x": "a b c d e"}, WHERE)
    assert (cut.values.shape, cut.changes) == ((4, 6), ("cut",))
    assert SMALL.encode({"x": 12.0}, WHERE).values.shape == (1, 6)


def test_of_a_long_text_only_its_beginning_is_read():
    text = "é" * (1 << 21) + " word" * (1 << 19)
    tracemalloc.start()
    assert SMALL.encode({"x": text}, WHERE).changes == ("cut",)
    spec = WordsSpec.fit("x", [text], max_length=100, max_words=10, width=8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert spec.length == 104
    assert peak < 1 << 20


def test_length_and_words_are_learned():
    spec = WordsSpec.fit("x", ["a cat", "the cat sat on the mat, the"], max_length=7, max_words=5, width=8)
    assert (spec.length, spec.words, spec.parts, spec.ids) == (8, "cat", PARTS, IDS)
    assert (spec.axes, spec.channels, spec.shape, spec.vocab_size) == ((8,), 16, (8, 16), 0)
    assert WordsSpec.fit("x", [], max_length=7, max_words=5, width=8).num_ids == 1 + 2 * PARTS
    assert spec.note() == "at most 8, 1 of them known, and parts of all"
    assert spec.model_input().stem == {"name": "words", "num_ids": 2 + 2 * PARTS, "channels": 8, "shared": True}


def test_sizes_must_fit():
    for wrong in ({"length": 0}, {"width": 0}, {"parts": 0}, {"ids": 2}):
        with pytest.raises(ValueError, match="must be"):
            WordsSpec(**{"name": "x", "length": 8, "words": "", "width": 4, **wrong})


def test_ids_mean_the_same_by_what_they_stand_for():
    other = WordsSpec("x", 4, "dog the", 8, parts=50, ids=6)
    ours, theirs = SMALL.id_meanings(), other.id_meanings()
    assert len(ours) == SMALL.num_ids
    assert ours[:101] == theirs[:101]
    assert ours[101:] == ["the", "cat"]
    assert ours.index("the") == 101
    assert theirs.index("the") == 102


def texts_of(tmp_path, **options):
    table = table_of(
        tmp_path,
        title=[f"blue chair number {i} from Berlin" for i in range(40)],
        note=[f"a red table, remark {i} of many" for i in range(40)],
        y=["a", "b"] * 20,
    )
    return table, *fitted(table, "y", options=SpecOptions(**options))


def test_text_columns_share_their_known_words_which_a_run_writes_once(tmp_path):
    _, spec, _ = texts_of(tmp_path)
    title, note = spec.modalities
    assert title.words == note.words
    assert {"blue", "chair", "red", "table"} <= set(title.words.split(" "))
    saved = spec.to_dict()
    assert saved["modalities"][1]["words"] == {"of": "title"}
    assert InputSpec.from_dict(json.loads(json.dumps(saved))) == spec


def test_the_most_frequent_words_of_each_column_are_known():
    one, two = (WordsSpec(name, 8, words, 4) for name, words in (("a", "x y z"), ("b", "u y")))
    assert [spec.words for spec in sharing_words([one, two], 3)] == ["u x y"] * 2
    assert sharing_words([one], 1) == [one]


@pytest.mark.parametrize(
    ("options", "kinds"), [({}, {"words"}), ({"text_units": "bytes"}, {"text"}), ({"text_units": "words"}, {"words"})]
)
def test_units_may_be_chosen(tmp_path, options, kinds):
    assert {modality.kind for modality in texts_of(tmp_path, **options)[1].modalities} == kinds


def test_genes_are_bytes_and_chinese_is_words(tmp_path):
    genes = ["".join("acgt"[(i * j) % 7 % 4] for j in range(60)) for i in range(1, 41)]
    chinese = [f"我喜欢北京的第{i}个秋天因为那里的树叶是红色的" for i in range(40)]
    table = table_of(tmp_path, genes=genes, chinese=chinese, y=["a", "b"] * 20)
    spec, _ = fitted(table, "y", kinds={"genes": "text", "chinese": "text"})
    assert [modality.kind for modality in spec.modalities] == ["text", "words"]


def test_batches_hold_ids_of_every_word(tmp_path):
    table, spec, splits = texts_of(tmp_path)
    data = TableDataset(table, splits.train, spec)
    batch = collate([data[0], data[1]], spec)
    assert (batch.inputs["title"].shape, str(batch.inputs["title"].dtype)) == ((2, 6, IDS), "torch.int64")


def test_in_training_words_lose_their_own_ids_or_all():
    values = torch.full((1, 4000, 4), 3)
    torch.manual_seed(0)
    changed = SMALL.augmented(values, None, WordAugmentation(word_dropout=0.4))
    less = changed[0] > 0
    all_lost, own_lost = ~less.any(1), ~less[:, :2].any(1) & less[:, 2:].all(1)
    assert (all_lost | own_lost | less.all(1)).all()
    assert all_lost.float().mean() == pytest.approx(0.2, abs=0.03)
    assert own_lost.float().mean() == pytest.approx(0.2, abs=0.03)
    torch.manual_seed(0)
    assert torch.equal(SMALL.augmented(values, None, WordAugmentation(word_dropout=0.4)), changed)  # a resumed run
    assert SMALL.augmented(values, None, WordAugmentation(word_dropout=0.0)) is values
