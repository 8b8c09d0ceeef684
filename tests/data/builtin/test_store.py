import hashlib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from perceiver_pytorch.data import DataError, builtin_names, builtin_table, load_table, recognise_columns
from perceiver_pytorch.data.builtin import digits, easy_vqa, store
from perceiver_pytorch.data.builtin.digits import digits_rows, digits_tones
from perceiver_pytorch.data.errors import need

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
    assert builtin_names() == ["digits", "easy-vqa", "shapes"]
    with pytest.raises(DataError, match="did you mean 'easy-vqa'"):
        builtin_table("easy_vqa")


def test_a_set_that_keeps_its_version_keeps_its_rows():
    """Else its version in store.py counts up."""
    rows = list(digits_rows(np.arange(1797) % 10))
    lines = [" ".join(map(str, vars(row).values())) for row in rows]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest().startswith("ebfb967265a3bd0d")
    clips = digits_tones()
    assert len(clips) == 2900
    assert [clips[i][800] for i in (0, 1999, 2000, 2899)] == pytest.approx(
        [0.015828387394468343, -0.11023533501002075, -0.136081125411425, 0.14917551982758526]
    )
    with pytest.raises(ValueError, match="no split 'dev'"):
        digits._first_tone("dev", 0)


def test_equal_cells_are_written_once(cache):
    rows = load_table("digits").rows
    assert len(rows.column("image").combine_chunks().dictionary) == 1797
    assert builtin_table("digits").stat().st_size < 12 << 20


def test_the_sets_are_kept_at_home_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("PERCEIVER_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert store.cache_folder() == tmp_path / ".cache" / "perceiver_pytorch"


def test_questions_of_easy_vqa_are_those_of_its_images(tmp_path, monkeypatch):
    """On a few images: the last tenth of the train images is val, equal images are kept once."""
    paths = {number: tmp_path / f"{number}.png" for number in range(21)}
    for number, path in paths.items():
        path.write_bytes(b"same" if number in (0, 1) else b"png %d" % number)
    package = SimpleNamespace(
        get_train_questions=lambda: (["q"] * 21, [f"a{i}" for i in range(21)], list(range(20, -1, -1))),
        get_train_image_paths=lambda: dict(reversed(paths.items())),
        get_test_questions=lambda: (["t"], ["b"], [20]),
        get_test_image_paths=lambda: {20: paths[20]},
    )
    monkeypatch.setattr(easy_vqa, "need", lambda name, *_, **__: package if name == "easy_vqa" else need(name, ""))
    table = easy_vqa.easy_vqa_table()
    assert table.column_names == ["image", "question", "answer", "split"]
    assert table.column("split").to_pylist() == ["val", "val", *["train"] * 19, "test"]
    assert table.column("answer").to_pylist() == [*(f"a{i}" for i in range(21)), "b"]
    assert table.column("image").to_pylist()[-3:] == [b"same", b"same", b"png 20"]
    assert len(table.column("image").combine_chunks().dictionary) == 20
