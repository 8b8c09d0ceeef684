import json

import numpy as np
import pytest

from data_helpers import fitted, table_of, write_table
from perceiver_pytorch.data import DataError, InputSpec, SpecOptions, recognise_columns

RAW = {"image_stem": "none", "audio_stem": "none", "audio_features": "raw"}


def test_an_audio_visual_manifest(av_table):
    spec, splits = fitted(av_table, "label", options=SpecOptions(**RAW))
    (target,) = spec.targets
    assert (target.name, target.classes, target.counts) == ("label", ("0", "1", "2", "3", "4"), (8,) * 5)
    image, audio, categories = spec.modalities
    assert (image.axes, image.channels, image.num_tokens) == ((9, 7), 1, 63)
    assert (audio.sample_rate, audio.num_samples, audio.axes, audio.channels) == (8000, 224, (7,), 32)
    assert audio.mean == pytest.approx(0.1, abs=0.02)
    assert audio.std == pytest.approx(0.2, abs=0.02)
    assert categories.columns == ("text", "speaker")
    assert spec.columns == ["image", "audio", "text", "speaker"]
    assert spec.modality("audio") is audio
    assert len(splits.train) == 40
    with pytest.raises(DataError, match="did you mean 'audio'"):
        spec.modality("audi")


def test_describe_is_text_for_a_report(av_table):
    spec, _ = fitted(av_table, "label", options=SpecOptions(**RAW))
    assert spec.describe() == [
        ("image", "image", "image", "9x7 = 63 tokens of 1 value", "9x7 grey, fitted and padded, single pixels"),
        ("audio", "audio", "audio", "7 tokens of 32 values", "0.03 s at 8000 Hz, mono, 32 samples a token"),
        ("categories", "category", "text, speaker", "2 tokens, ids", "5, 2 values"),
    ]


def test_only_train_rows_are_learned_from(tmp_path):
    text = "y,words,size,color,split\n" + "".join(
        f"{i % 2},word number {i} here,{i % 3},{'red' if i % 3 else 'blue'},train\n" for i in range(20)
    )
    base, _ = fitted(write_table(tmp_path, text + "1,like the others,1,red,val\n"), "y")
    other = text + f"0,{'long ' * 50},1000,green,val\n1,,,,test\n"
    assert fitted(write_table(tmp_path, other), "y")[0] == base


def test_json_round_trip(av_table, tmp_path):
    spec, _ = fitted(av_table, "label")
    assert InputSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    table = table_of(
        tmp_path, y=[0, 1] * 10, words=[f"word no. {i} of many" for i in range(20)], size=[i / 7 for i in range(20)]
    )
    spec, _ = fitted(table, "y")
    assert InputSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def _set(path, value):
    def change(d):
        for key in path[:-1]:
            d = d[key]
        d[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set(["version"], 1), "must have version 2, got 1"),
        (_set(["targets"], 3), "targets must be a list"),
        (_set(["targets"], []), "targets must hold one or more"),
        (_set(["targets", 0, "name"], 3), r"targets\[0\].name must be str, got 3"),
        (
            _set(["targets", 0, "kind"], "colour"),
            r"targets\[0\] must be an object with a kind of class, labels",
        ),
        (_set(["targets", 0, "classes"], ["a", 1]), r"targets\[0\].classes must be tuple\[str, ...\], got \['a', 1\]"),
        (_set(["targets", 0, "classes"], ["a"]), "two or more"),
        (_set(["targets", 0, "counts"], [1]), "one count per name"),
        (_set(["kinds", "id"], "picture"), "kinds.id must be one of image, .*, got 'picture'"),
        (_set(["modalities"], {}), "modalities must be a list"),
        (_set(["modalities"], []), "one or more"),
        (_set(["modalities", 0, "kind"], "movie"), r"modalities\[0\] must be an object with a kind"),
        (_set(["modalities", 0, "height"], "9"), r"modalities\[0\]\.height must be int, got '9'"),
        (_set(["modalities", 0, "height"], True), "height must be int, got True"),
        (_set(["modalities", 0, "height"], -9), r"modalities\[0\]: height must be above 0, got -9"),
        (_set(["modalities", 0, "extra"], 1), "'extra' does not fit"),
        (_set(["modalities", 1, "std"], float("nan")), "std must be finite, got nan"),
        (_set(["modalities", 2, "values"], [["a"]]), "values must have one list per column"),
        (_set(["modalities", 2, "columns"], "text"), r"columns must be tuple\[str, ...\], got 'text'"),
    ],
)
def test_a_changed_file_is_refused(av_table, change, message):
    given = fitted(av_table, "label")[0].to_dict()
    change(given)
    with pytest.raises(DataError, match=message):
        InputSpec.from_dict(given)


def test_a_column_called_like_a_group_keeps_its_name(tmp_path):
    table = table_of(
        tmp_path,
        y=[0, 1] * 10,
        numbers=[f"the numbers are {i} and {i + 1}" for i in range(20)],
        size=[i % 7 for i in range(20)],
    )
    spec, _ = fitted(table, "y")
    assert [(m.name, m.kind) for m in spec.modalities] == [("numbers", "words"), ("numbers_columns", "number")]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([f"name {i}" for i in range(40)], "40 different values in 40 train rows, too many for classes"),
        (["same"] * 40, "one value only"),
        ([None] * 40, "missing in all 40 train rows"),
    ],
)
def test_targets_that_are_no_classes(tmp_path, target, message):
    table = table_of(tmp_path, y=target, x=[i % 5 for i in range(len(target))])
    with pytest.raises(DataError, match=message):
        InputSpec.fit(table, {"x": "number"}, target="y", rows=np.arange(len(target)))


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        ([10, 9, 10, 9], ("9", "10")),
        ([1.0, 0.0, 1.0, 0.0], ("0", "1")),
        ([0.5, 1.0, 0.5, 1.0], ("0.5", "1")),
        (["10", "9", "yes", "9"], ("9", "10", "yes")),
        ([True, False, True, False], ("false", "true")),
    ],
)
def test_classes_are_sorted_strings(tmp_path, target, classes):
    table = table_of(tmp_path, y=target, x=[1, 2, 3, 4])
    assert InputSpec.fit(table, {"x": "number"}, target="y", rows=np.arange(4)).targets[0].classes == classes


def test_nothing_to_learn_from_is_an_error(tmp_path, av_table):
    table = table_of(tmp_path, y=[0, 1], x=[1, 1])
    kinds = recognise_columns(table, target="y", split=None)
    with pytest.raises(DataError, match=r"no column is left to learn from: .*--column NAME=KIND"):
        InputSpec.fit(table, kinds, target="y", rows=np.arange(2))
    with pytest.raises(DataError, match=r"row 0, column 'audio': the image cannot be decoded"):
        InputSpec.fit(av_table, {"audio": "image"}, target="label", rows=np.arange(5))
    table = table_of(tmp_path, y=[0, 1], x=[None, None])
    with pytest.raises(DataError, match=r"column 'x' has no file"):
        InputSpec.fit(table, {"x": "image"}, target="y", rows=np.arange(2))


def test_a_few_broken_files_do_not_stop_the_fit(av_table):
    expected, splits = fitted(av_table, "label")
    (av_table.root / f"images/{splits.train[0]}.png").write_bytes(b"broken")
    assert fitted(av_table, "label")[0] == expected


def test_options(av_table):
    options = SpecOptions(image_size=4, audio_patch=10, max_audio_seconds=0.01, sample_rate=4000, **RAW)
    spec, _ = fitted(av_table, "label", options=options)
    assert spec.modality("image").axes == (4, 3)
    assert spec.modality("audio").shape == (4, 10)
    with pytest.raises(ValueError, match="audio_patch must be above 0, got 0"):
        SpecOptions(audio_patch=0)


def test_a_file_from_before_a_field_was_there_is_read(av_table):
    spec = fitted(av_table, "label")[0]
    given = spec.to_dict()
    assert given["modalities"][0].pop("filling") == "pad"  # it has a default
    assert InputSpec.from_dict(given) == spec
    del given["modalities"][0]["height"]
    with pytest.raises(DataError, match="'height' does not fit"):
        InputSpec.from_dict(given)


def test_what_is_used_and_what_is_not(tmp_path):
    n = 20
    table = table_of(tmp_path, y=[0, 1] * 10, a=[i % 7 for i in range(n)], b=["same"] * n, c=[i % 3 for i in range(n)])
    spec, _ = fitted(table, "y")
    assert spec.columns == ["a", "c"]
    assert spec.unused == ["b"]
    with pytest.raises(DataError, match=r"no modality 'x'; there are numbers"):
        spec.modality("x")
    assert spec.describe()[0][:4] == ("numbers", "number", "a, c", "2 tokens of 3 values")
    assert spec.describe(1)[0][2] == "a .. and 1 more"
    alone, _ = fitted(table_of(tmp_path, y=[0, 1] * 10, a=[i % 7 for i in range(n)]), "y")
    assert alone.describe()[0][3] == "1 token of 3 values"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("kinds"), r"must have the fields \['kinds', 'modalities', 'targets', 'version'\], got \["),
        (_set(["more"], 1), "input spec must have the fields .*'more'"),
        (_set(["kinds"], []), r"input spec\.kinds must be an object of column: kind, got \[\]"),
        (_set(["modalities", 0], 3), r"modalities\[0\] must be an object with a kind of .*, got 3; if a package adds"),
        (_set(["modalities", 0, "kind"], ["image"]), r"modalities\[0\] must be an object with a kind"),
        (
            _set(["modalities", 1, "num_samples"], (1 << 28) + 32),
            r"at most 268,435,456 values a row, got 268,435,488",
        ),
        (_set(["spellings"], 3), r"input spec\.spellings must be an object"),
    ],
)
def test_what_is_missing_or_too_much_is_named(av_table, change, message):
    given = fitted(av_table, "label", options=SpecOptions(**RAW))[0].to_dict()
    change(given)
    with pytest.raises(DataError, match=message):
        InputSpec.from_dict(given)


def test_a_spec_that_is_no_object_is_refused():
    with pytest.raises(DataError, match=r"input spec must have the fields .*, got list"):
        InputSpec.from_dict([])


def test_the_largest_row_is_let_in(av_table):
    given = fitted(av_table, "label", options=SpecOptions(**RAW))[0].to_dict()
    given["modalities"][1]["num_samples"] = 1 << 28
    assert InputSpec.from_dict(given).modality("audio").shape == (1 << 23, 32)
