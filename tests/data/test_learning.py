"""What stays unread of columns."""

import numpy as np
import pytest

from data_helpers import shades, table_of, video
from perceiver_pytorch.data import DataError, InputSpec, SpecOptions, recognise_columns, unread_parts


def kinds_of(table, **overrides):
    return recognise_columns(table, target=None, split=None, overrides=overrides)


def test_films_whose_sound_is_not_read_are_found(tmp_path):
    mute, loud = video(shades(4)), video(shades(4), sound=np.zeros(4000))
    (tmp_path / "loud.mp4").write_bytes(loud)
    (tmp_path / "mute.mp4").write_bytes(mute)
    table = table_of(
        tmp_path,
        mute=[mute] * 6,
        loud=[None, mute, b"no film", loud, None, None],
        path=["mute.mp4", "loud.mp4"] * 3,
        asked=[loud] * 6,
    )
    kinds = kinds_of(table, loud="video", asked="video+audio")
    assert kinds == {"mute": "video", "loud": "video", "path": "video", "asked": "video+audio"}
    assert list(unread_parts(table, kinds, np.arange(6))) == ["loud", "path"]
    assert list(unread_parts(table, kinds, np.arange(2))) == ["path"]


def test_objects_in_cells_are_told_from_identifiers(tmp_path):
    def fit(table):
        kinds = recognise_columns(table, target="y", split=None)
        return InputSpec.fit(table, kinds, target="y", rows=np.arange(len(table)))

    y = ["u", "v"] * 3
    with pytest.raises(DataError, match=r"a hold objects, such as \{'x': 0\}; give each of their values a column"):
        fit(table_of(tmp_path, a=[{"x": i} for i in range(6)], y=y))
    with pytest.raises(DataError, match="item_id look like identifiers"):
        fit(table_of(tmp_path, item_id=list(range(6)), y=y))


def test_a_table_of_its_target_alone_says_so(tmp_path):
    table = table_of(tmp_path, label=["a", "b", "a", "b"])
    with pytest.raises(DataError, match="to learn from: there is none besides the target and the split; add"):
        InputSpec.fit(table, {}, target="label", rows=np.arange(4))


def test_options_are_for_columns_that_there_are(tmp_path):
    table = table_of(tmp_path, x=[1.0, 2.0] * 3, y=["a", "b"] * 3)
    options = SpecOptions(column_options={"z": {"decimal": ","}})
    with pytest.raises(DataError, match="no column 'z'; its columns are x, y"):
        InputSpec.fit(table, {"x": "number"}, target="y", rows=np.arange(6), options=options)


def test_columns_of_a_kind_that_share_a_modality_come_last_in_their_order(tmp_path):
    columns = {"a": [1.0, 2.0], "w": ["p", "q"], "b": [3.0, 4.0], "s": [[1.0], [2.0]], "gone": [None] * 2, "y": [1, 2]}
    table = table_of(tmp_path, **{name: cells * 3 for name, cells in columns.items()})
    kinds = {"a": "number", "w": "category", "b": "number", "s": "series", "gone": "ignore", "other": "unheard of"}
    spec = InputSpec.fit(table, kinds, target="y", rows=np.arange(6))
    assert [(m.name, m.columns) for m in spec.modalities] == [
        ("s", ("s",)),
        ("numbers", ("a", "b")),
        ("categories", ("w",)),
    ]
    with pytest.raises(DataError, match="gone look like identifiers, or are empty, constant or of no known kind"):
        InputSpec.fit(table, {"gone": "ignore"}, target="y", rows=np.arange(6))
