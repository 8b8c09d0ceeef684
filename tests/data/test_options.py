import dataclasses

import pytest

from data_helpers import fitted, table_of, wav, write_table
from perceiver_pytorch.data import DataError, SpecOptions, Where


def test_single_columns_may_differ(tmp_path):
    import numpy as np

    cells = [wav(np.random.default_rng(i).normal(size=800) * 0.1) for i in range(20)]
    table = table_of(tmp_path, one=cells, two=cells, y=["a", "b"] * 10)
    options = SpecOptions(audio_patch=16, column_options={"two": {"audio_features": "logmel", "mel_bands": 8}})
    spec, _ = fitted(table, "y", options=options)
    assert [(m.patch, m.mel_bands) for m in spec.modalities] == [(16, 0), (80, 8)]
    assert type(spec).from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_fit": "crop"}, "image_fit must be one of 'pad', 'stretch'; got 'crop'"),
        ({"image_size": 0}, "image_size must be above 0, got 0"),
        ({"image_size": "64"}, "image_size must be int or none, got '64'"),
        ({"image_size": True}, "image_size must be int or none, got True"),
        ({"audio_channels": 3}, "audio_channels must be one of 1, 2; got 3"),
        ({"series_values": [1]}, r"series_values must be list\[str\], got \[1\]"),
        (
            {"column_options": {"x": {"image_sise": 3}}},
            r"column_options.x has no 'image_sise'; .*\(did you mean",
        ),
        ({"column_options": {"x": {"image_size": -3}}}, "column_options.x: image_size must be above 0, got -3"),
        ({"column_options": {"x": 3}}, "column_options must be dict"),
    ],
)
def test_wrong_options_are_named(given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        SpecOptions(**given)


def test_every_option_is_a_setting_with_the_same_default():
    from perceiver_pytorch.training.table.settings import DataConfig

    config = DataConfig()
    for option in dataclasses.fields(SpecOptions):
        ours, theirs = getattr(SpecOptions(), option.name), getattr(config, option.name)
        assert (list(ours) if isinstance(ours, tuple) else ours) == theirs, option.name


def tokenizer_file(path):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(["the cat sat", "on the mat"], trainers.WordLevelTrainer(special_tokens=["[UNK]"]))
    tokenizer.enable_padding(length=50)
    tokenizer.enable_truncation(2)
    tokenizer.save(str(path))
    return tokenizer


def test_text_may_be_read_by_a_tokenizer(tmp_path):
    theirs = tokenizer_file(tmp_path / "tokenizer.json")
    theirs.no_padding()
    theirs.no_truncation()
    texts = ["the cat sat", "on the mat " * 9, "a dog"] * 7
    table = table_of(tmp_path, words=texts, y=["a", "b", "c"] * 7)
    options = SpecOptions(tokenizer="tokenizer.json", max_text_tokens=16)
    spec, _ = fitted(table, "y", kinds={"words": "text"}, options=options)
    (tmp_path / "tokenizer.json").unlink()  # what is needed is in the spec
    (text,) = type(spec).from_dict(spec.to_dict()).modalities
    assert (text.length, text.vocab_size) == (16, theirs.get_vocab_size())
    where = Where("here.csv", tmp_path, 0)
    for value in texts[:3]:
        encoded = text.encode({"words": value}, where)
        assert encoded.values.tolist() == theirs.encode(value).ids[:16]
        assert encoded.changes == (("cut",) if len(theirs.encode(value).ids) > 16 else ())


@pytest.mark.parametrize(("content", "message"), [("{}", "cannot be read as a tokenizer.json"), (None, "no such file")])
def test_a_wrong_tokenizer_is_named(tmp_path, content, message):
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    table = write_table(tmp_path, "words,y\n" + "".join(f"text {i} of a row,{'ab'[i % 2]}\n" for i in range(20)))
    with pytest.raises(DataError, match=rf"column 'words': .*{message}"):
        fitted(table, "y", kinds={"words": "text"}, options=SpecOptions(tokenizer="tokenizer.json"))
