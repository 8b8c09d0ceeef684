"""Files behind cells."""

import base64
import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from data_helpers import png
from perceiver_pytorch.data import (
    AudioSpec,
    DataError,
    ImageSpec,
    SeriesSpec,
    VideoSpec,
    Where,
)
from perceiver_pytorch.data.cells import cell_key, media_cell, media_source, of_the_cell, reason_of


def picture(height=8, width=8, colors=1, patch=1):
    return ImageSpec("x", height, width, colors, patch)


class TestFiles:
    def where(self, root, **options):
        return Where("here.csv", root, 17, **options)

    def test_bytes_win_over_the_path(self, tmp_path):
        cell = {"bytes": png(np.full((8, 8), 5, np.uint8)), "path": "missing.png"}
        assert (picture().encode({"x": cell}, self.where(tmp_path)).values == 5).all()

    @pytest.mark.parametrize("cell", [None, "", b"", {"bytes": None, "path": None}, {"bytes": b"", "path": ""}])
    def test_empty_cells_are_missing(self, tmp_path, cell):
        assert picture().encode({"x": cell}, self.where(tmp_path)) is None
        assert AudioSpec("x", 8000, 64, 32).encode({"x": cell}, self.where(tmp_path)) is None

    def test_a_path_may_not_leave_the_folder(self, tmp_path):
        root = tmp_path / "inside"
        root.mkdir()
        outside = tmp_path / "secret.png"
        outside.write_bytes(png(np.zeros((8, 8), np.uint8)))
        (root / "link.png").symlink_to(outside)
        for cell in ("../secret.png", str(outside), "link.png", {"bytes": None, "path": "../secret.png"}):
            with pytest.raises(DataError, match=r"row 17, column 'x': .*leads out of the table's folder"):
                picture().encode({"x": cell}, self.where(root))
            assert picture().encode({"x": cell}, self.where(root, allow_outside=True)) is not None

    @pytest.mark.parametrize(
        ("cell", "message"),
        [
            ("gone.png", "no file 'gone.png'"),
            (".", "must be a file, is a folder"),
            ("x" * 300 + ".png", "name too long"),
            (3, "type int"),
            ("a\0b.png", "path|file"),
        ],
    )
    def test_unusable_cells_are_named(self, tmp_path, cell, message):
        with pytest.raises(DataError, match=f"row 17, column 'x': .*({message})"):
            picture().encode({"x": cell}, self.where(tmp_path))

    @pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
    def test_what_is_no_regular_file_is_named_whatever_may_be_outside(self, tmp_path):
        (tmp_path / "loop.png").symlink_to("loop.png")
        os.mkfifo(tmp_path / "pipe.png")
        cells = {"loop.png": "symbolic links", "pipe.png": "is a pipe", "/dev/zero": "is a device", "a/" * 3000: "long"}
        for cell, reason in {**cells, "x" * 300: "name too long", "a\0b": "null byte"}.items():
            for outside in (True, False) if cell != "/dev/zero" else (True,):
                with pytest.raises(DataError, match=rf"row 17, column 'x': .*({reason}|[Ss]ymlink loop)"):
                    picture().encode({"x": cell}, self.where(tmp_path, allow_outside=outside))

    def test_a_lack_of_open_files_is_not_the_cells_fault(self, tmp_path, monkeypatch):
        def refuse(path):
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr("perceiver_pytorch.data.cells.check_regular", refuse)
        with pytest.raises(OSError, match="Too many"):
            picture().encode({"x": "a.png"}, self.where(tmp_path))

    def test_a_path_as_windows_writes_it_is_found(self, tmp_path):
        (tmp_path / "some").mkdir()
        (tmp_path / "some/5.png").write_bytes(png(np.full((8, 8), 5, np.uint8)))
        assert picture().encode({"x": "some\\5.png"}, self.where(tmp_path)) is not None
        with pytest.raises(DataError, match="leads out of the table's folder"):
            picture().encode({"x": "some\\..\\..\\5.png"}, self.where(tmp_path))

    def test_an_address_is_told_from_a_path(self, tmp_path):
        with pytest.raises(DataError, match=r"column 'x': the host here\.example is not allowed; --allow-web"):
            picture().encode({"x": "https://here.example/1.png"}, self.where(tmp_path))

    @pytest.mark.parametrize(
        ("spec", "reason"),
        [
            (picture(), r"the image cannot be decoded \(it is in no format that Pillow reads\)"),
            (AudioSpec("x", 8000, 64, 32), r"the sound cannot be decoded \(.*\)"),
            (VideoSpec("x", 5.0, 4, 8, 8, 2), r"the video cannot be decoded \(.*\)"),
            (SeriesSpec("x", 8, (0.0,), (1.0,)), r"the array cannot be read \(it is no NumPy file\)"),
        ],
    )
    def test_a_damaged_file_is_named(self, tmp_path, spec, reason):
        (tmp_path / "bad.npy").write_bytes(b"no such thing")
        for cell in ("bad.npy", {"bytes": None, "path": "bad.npy"}):
            with pytest.raises(DataError, match=rf"row 17, column 'x': {reason}, file 'bad\.npy'$"):
                spec.encode({"x": cell}, self.where(tmp_path))
        with pytest.raises(DataError, match=rf"row 17, column 'x': {reason}$"):
            spec.encode({"x": {"bytes": b"no such thing", "path": "bad.npy"}}, self.where(tmp_path))


class TestQueriesAndTexts:
    @pytest.mark.parametrize("cell", ["a.png?w=200", "a.png#top", "sub\\a.png?w=1", "sub/a.png"])
    def test_a_file_is_found_without_its_query(self, tmp_path, cell):
        (tmp_path / "sub").mkdir()
        for name in ("a.png", "sub/a.png"):
            (tmp_path / name).write_bytes(png(np.full((8, 8), 5, np.uint8)))
        where = Where("here.csv", tmp_path, 0)
        assert (picture().encode({"x": cell}, where).values == 5).all()

    def test_a_file_of_that_very_name_comes_first(self, tmp_path):
        (tmp_path / "a.png").write_bytes(png(np.full((8, 8), 5, np.uint8)))
        (tmp_path / "a.png#1").write_bytes(png(np.full((8, 8), 7, np.uint8)))
        assert (picture().encode({"x": "a.png#1"}, Where("here.csv", tmp_path, 0)).values == 7).all()

    @pytest.mark.parametrize("cell", ["https://example.org/0.jpg?w=200", "../a.png?w=1", "b.png?w=1"])
    def test_what_a_query_does_not_change(self, tmp_path, cell):
        with pytest.raises(DataError, match=r"--allow-web example.org|leads out of|there is no file 'b.png"):
            picture().encode({"x": cell}, Where("here.csv", tmp_path, 0))

    def test_a_picture_in_the_cell_itself(self, tmp_path):
        text = base64.b64encode(png(np.full((8, 8), 5, np.uint8))).decode()
        where = Where("here.csv", tmp_path, 0)
        for cell in (text, f"data:image/png;base64,{text}"):
            assert (picture().encode({"x": cell}, where).values == 5).all()
        with pytest.raises(DataError, match=r"row 0, column 'x': .*damaged") as caught:
            picture().encode({"x": f"data:image/png;base64,{text}*"}, where)
        assert text[:40] not in str(caught.value)
        with pytest.raises(DataError) as caught:
            picture().encode({"x": f"data:image/png;base64,{text[:64]}"}, where)
        assert text[:40] not in str(caught.value)


def test_a_file_may_be_missing_bytes_a_path_or_both():
    text = base64.b64encode(png(np.zeros((8, 8), np.uint8))).decode()
    assert [media_cell(cell) for cell in (None, "", b"", {"bytes": None}, {"path": ""})] == [None] * 5
    assert media_cell({"bytes": b"1", "path": "a.png"}) == b"1"
    assert media_cell({"bytes": None, "path": "a.png"}) == media_cell("a.png") == "a.png"
    assert media_cell(text).startswith(b"\x89PNG")
    for wrong, name in (({"other": 1}, "dict"), (3, "int")):
        with pytest.raises(TypeError, match=rf"must be a file \(bytes, a path, .*\), got a value of type {name}$"):
            media_cell(wrong)


def test_equal_cells_have_one_key():
    assert cell_key("a") == "a"
    assert cell_key({"bytes": b"1", "path": "a"}) == cell_key(b"1") != cell_key(b"2")
    assert cell_key({"bytes": None, "path": "a"}) == cell_key({"bytes": b"", "path": "a"}) == "a"
    assert len(cell_key(b"1")) == 16
    assert cell_key("x" * 4096) == "x" * 4096
    assert cell_key("x" * 4097) == cell_key(b"x" * 4097)
    assert cell_key("\ud800" * 4097) != cell_key("\ud801" * 4097)
    assert cell_key([1, 2]) == "[1, 2]"


def test_an_error_says_where_and_which_file():
    where = Where("t.csv", Path("/t"), 3)
    for cell, behind in (
        (None, ""),
        ("a.png", ", file 'a.png'"),
        ({"bytes": None, "path": "a.png"}, ", file 'a.png'"),
        ({"bytes": b"1", "path": "a.png"}, ""),
        ("x" * 201, f", file {'x' * 200!r}"),
        ("data:image/png;base64,AAAA", ""),
    ):
        error = where.error("x", "bad", cell)
        assert (str(error), error.reason) == (f"t.csv: row 3, column 'x': bad{behind}", f"bad{behind}")
        assert (error.row, error.column) == (3, "x")


def test_some_errors_are_the_computers():
    assert of_the_cell(OSError(errno.ENOENT, ""))
    assert not any(of_the_cell(OSError(number, "")) for number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM))
    assert (of_the_cell(ValueError("x")), of_the_cell(ChildProcessError("x"))) == (True, False)
    assert (reason_of(OSError(2, "gone", "/a/path")), reason_of(ValueError("why"))) == ("gone", "why")


def test_a_path_that_cannot_be_resolved_is_bad_or_the_computers_fault(tmp_path, monkeypatch):
    where = Where("t.csv", tmp_path, 0)
    number = [errno.ELOOP]
    monkeypatch.setattr(Path, "resolve", lambda self: (_ for _ in ()).throw(OSError(number[0], "it goes round")))
    with pytest.raises(DataError, match=r"row 0, column 'x': 'a\.png' is not a usable path \(.*it goes round\)"):
        media_source("a.png", "x", where)
    number[0] = errno.ENOMEM
    with pytest.raises(OSError, match="it goes round") as caught:
        media_source("a.png", "x", where)
    assert not isinstance(caught.value, DataError)
