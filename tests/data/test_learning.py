"""What stays unread of columns."""

import numpy as np
import pytest

from data_helpers import shades, table_of, video
from perceiver_pytorch.data import DataError, InputSpec, recognise_columns, unread_parts


def kinds_of(table, **overrides):
    return recognise_columns(table, target=None, split=None, overrides=overrides)


def test_films_whose_sound_is_not_read_are_found(tmp_path):
    mute, loud = video(shades(4)), video(shades(4), sound=np.zeros(4000))
    (tmp_path / "loud.mp4").write_bytes(loud)
    table = table_of(
        tmp_path,
        mute=[mute] * 6,
        loud=[None, mute, b"no film", loud, None, None],
        path=["nowhere.mp4", "loud.mp4"] * 3,
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
