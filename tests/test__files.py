import math

import pytest

from perceiver_pytorch._files import write_json, write_text, write_whole


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def half(partial):
        partial.write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1.0, {"b": math.nan}]}, r"a\.1\.b is nan, and JSON has finite numbers only"),
        (-math.inf, "the value is -inf"),
    ],
)
def test_numbers_that_are_not_finite_are_no_json(tmp_path, value, message):
    with pytest.raises(ValueError, match=message):
        write_json(tmp_path / "file.json", value)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"file\.txt cannot be written: there is no folder"):
        write_text(tmp_path / "gone" / "file.txt", "text")
    assert not list(tmp_path.iterdir())
