from collections import Counter

import numpy as np
import pytest

from perceiver_pytorch.data import DataError, builtin_names, builtin_table, load_table, recognise_columns
from perceiver_pytorch.data.builtin import store
from perceiver_pytorch.data.builtin.digits import digits_rows

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERCEIVER_CACHE", str(folder))
        yield folder


def test_digits_are_the_same_bytes_every_time(cache, monkeypatch, tmp_path):
    first = builtin_table("digits")
    assert first.parent == cache
    assert [path.name for path in cache.glob("digits*")] == ["digits-1.parquet"]
    modified = first.stat().st_mtime_ns
    assert builtin_table("digits").stat().st_mtime_ns == modified  # not built again
    monkeypatch.setenv("PERCEIVER_CACHE", str(tmp_path / "other"))
    assert builtin_table("digits").read_bytes() == first.read_bytes()


def test_digits_splits_keep_scikit_learns_order(cache):
    from sklearn.datasets import load_digits

    table = load_table("digits")
    assert table.column_names == ["image", "audio", "question", "answer", "split"]
    assert Counter(table.column("split")) == {"train": 1257 * 24, "val": 180 * 5, "test": 360 * 5}
    kinds = recognise_columns(table, target="answer", split=None)
    assert kinds == {"image": "image", "audio": "audio", "question": "text"}
    labels = load_digits().target
    rows = list(digits_rows(labels))
    assert sorted({row.image for row in rows if row.split == "test"}) == list(range(1437, 1797))
    assert sorted({row.image for row in rows if row.split == "val"}) == list(range(1257, 1437))
    assert [row.answer for row in rows] == table.column("answer")
    assert all(row.written == labels[row.image] for row in rows)


def test_digits_questions_and_digits_are_balanced():
    rows = list(digits_rows(np.arange(1797) % 10, seed=1))
    for split in ("train", "val", "test"):
        asked = Counter(row.asked for row in rows if row.split == split)
        assert len(asked) == 8
        assert max(asked.values()) - min(asked.values()) <= 2
    dialled = Counter(row.dialled for row in rows)
    assert max(dialled.values()) < 1.15 * min(dialled.values())


def test_digits_pictures_are_scikit_learns(cache):
    import io

    from PIL import Image
    from sklearn.datasets import load_digits

    table = load_table("digits")
    with Image.open(io.BytesIO(table.row(0)["image"])) as image:
        assert image.mode == "L"
        assert np.array_equal(np.asarray(image), np.round(load_digits().images[0] * 255 / 16))


def test_easy_vqa(cache):
    pytest.importorskip("easy_vqa")
    table = load_table("easy-vqa")
    assert len(table) == 38575 + 9673
    splits = np.array(table.column("split"))
    assert Counter(splits.tolist())["test"] == 9673
    images = table.rows.column("image").combine_chunks()
    places = np.asarray(images.indices)
    assert len(set(places[splits == "val"])) <= 400
    assert not set(places[splits == "val"]) & set(places[splits == "train"])
    assert table.row(0)["question"] == "what is the blue shape?"
    assert table.row(0)["image"].startswith(b"\x89PNG")


def test_a_failed_build_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PERCEIVER_CACHE", str(tmp_path))
    monkeypatch.setattr(store, "_SETS", {"digits": (1, lambda: "not a table")})
    with pytest.raises(AttributeError):
        builtin_table("digits")
    assert list(tmp_path.iterdir()) == []


def test_unknown_sets_are_named():
    assert builtin_names() == ["digits", "easy-vqa"]
    with pytest.raises(DataError, match="did you mean 'easy-vqa'"):
        builtin_table("easy_vqa")
