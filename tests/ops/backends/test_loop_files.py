"""Where compiled loops are kept, whoever can write where."""

import os
import tempfile
from pathlib import Path

import pytest

from perceiver_pytorch.ops.backends import loop_files


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The package, the user's cache and the folder for temporary files, all of which can be written to."""
    found = {name: tmp_path / name for name in ("package", "cache", "temporary")}
    for place in found.values():
        place.mkdir()
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(loop_files, "__file__", str(found["package"] / "loop_files.py"))
    monkeypatch.setenv("PERCEIVER_CACHE", str(found["cache"]))
    monkeypatch.setattr(tempfile, "tempdir", str(found["temporary"]))
    return found


def close(place: Path) -> None:
    """Nothing can be written there, not even by root."""
    place.rmdir()
    place.touch()


def test_the_first_folder_that_takes_it_keeps_a_loop(places: dict[str, Path]) -> None:
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""
    expected = {"package": "__pycache__", "cache": "loops", "temporary": f"perceiver-loops{user}"}
    for name, folder in expected.items():
        assert loop_files.place() is None
        assert loop_files.write("forward-1", name.encode()) == places[name] / folder / "forward-1.loop"
        assert loop_files.read("forward-1") == name.encode()
        assert [path.name for path in (places[name] / folder).iterdir()] == ["forward-1.loop"]
        (places[name] / folder / "forward-1.loop").unlink()
        (places[name] / folder).rmdir()
        close(places[name])
    assert loop_files.write("forward-1", b"x") is None
    assert loop_files.read("forward-1") is None


def test_numbas_own_setting_comes_first(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(places["package"] / "chosen"))
    path = loop_files.write("forward-1", b"code")
    assert path == places["package"] / "chosen" / "perceiver_pytorch" / "forward-1.loop"
    assert loop_files.place() == path.parent


def test_what_lies_where_nobody_can_write_is_read(places: dict[str, Path]) -> None:
    """As in a container whose loops the administrator has compiled."""
    assert loop_files.write("forward-1", b"code") is not None
    assert loop_files.read("forward-1") == b"code"
    folder = places["package"] / "__pycache__"
    folder.rename(places["package"] / "elsewhere")
    assert loop_files.read("forward-1") is None
    (places["package"] / "elsewhere").rename(places["cache"] / "loops")
    assert loop_files.read("forward-1") == b"code"
    path = places["cache"] / "loops" / "forward-1.loop"
    assert path.stat().st_mode & 0o444 == 0o444


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has a temporary folder per user")
@pytest.mark.parametrize("how", ["anybody writes there", "a link", "another's"])
def test_a_folder_in_which_others_may_have_put_code_is_not_used(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    close(places["package"])
    close(places["cache"])
    path = loop_files.write("forward-1", b"code")
    assert path is not None
    assert loop_files.read("forward-1") == b"code"
    if how == "anybody writes there":
        path.parent.chmod(0o777)
    elif how == "a link":
        path.parent.rename(places["temporary"] / "elsewhere")
        path.parent.symlink_to(places["temporary"] / "elsewhere")
    else:
        user = os.getuid()
        monkeypatch.setattr(loop_files, "_temporary", lambda: path.parent)
        monkeypatch.setattr(os, "getuid", lambda: user + 1)
        if user == 0:  # the administrator's are everybody's
            assert loop_files.read("forward-1") == b"code"
            os.chown(path.parent, 12345, -1)
    assert loop_files.read("forward-1") is None
    assert loop_files.write("forward-2", b"code") is None


@pytest.mark.parametrize("damaged", [b"", b"short", b"x" * 100])
def test_what_is_damaged_is_not_read(places: dict[str, Path], damaged: bytes) -> None:
    path = loop_files.write("forward-1", b"code")
    assert path is not None
    path.write_bytes(damaged)
    assert loop_files.read("forward-1") is None
    loop_files.write("forward-1", b"code")
    assert loop_files.read("forward-1") == b"code"


def test_a_folder_that_may_not_be_entered_is_passed_over(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Path.glob

    def glob(self: Path, pattern: str) -> object:
        if self.parent == places["package"]:
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, pattern)

    monkeypatch.setattr(Path, "glob", glob)
    assert loop_files.place() is None
    folder = places["cache"] / "loops"
    folder.mkdir()
    (folder / "forward-1.loop").write_bytes(b"any")
    assert loop_files.place() == folder
