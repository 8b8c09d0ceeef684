import multiprocessing
import os
from pathlib import Path

import pytest

from perceiver_pytorch._files import DiskFullError
from perceiver_pytorch.data.remote.cache import Cache, cache_folder

MB = 1 << 20


def put(cache: Cache, key: str, size: int) -> Path:
    return cache.file(key, f"{key}.bin", size, lambda partial: partial.write_bytes(key.encode()[:1] * size))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_file_is_made_once_and_keeps_its_suffix(tmp_path):
    cache = Cache(tmp_path, MB)
    first = put(cache, "a", 10)
    assert cache.file("a", "a.bin", 10, lambda partial: pytest.fail("made again")) == first
    assert first.suffix == ".bin"
    assert first.read_bytes() == b"a" * 10


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_folders_are_for_their_owner_and_stay_as_they_were(tmp_path):
    (tmp_path / "there").mkdir(mode=0o755)
    made = put(Cache(tmp_path / "there" / "a" / "b", MB), "a", 10)
    assert [folder.stat().st_mode & 0o777 for folder in made.parents][:4] == [0o700, 0o700, 0o700, 0o755]


def test_a_file_is_used_whose_time_cannot_be_set(tmp_path, monkeypatch):
    def refuses(path):
        raise PermissionError(1, "Operation not permitted")

    cache = Cache(tmp_path, MB)
    first = put(cache, "a", 10)
    monkeypatch.setattr(os, "utime", refuses)
    assert cache.file("a", "a.bin", 10, lambda partial: pytest.fail("made again")) == first


def test_files_that_were_used_last_stay(tmp_path):
    cache = Cache(tmp_path, 10_000)
    made = {}
    for number, key in enumerate("abcdef"):
        made[key] = put(cache, key, 1500)
        os.utime(made[key], (number, number))
    put(cache, "a", 1500)  # is used
    put(cache, "g", 1500)
    assert made["a"].is_file()
    assert not made["b"].is_file()
    assert made["f"].is_file()


@pytest.mark.parametrize("size", [1, 700, 9000])
def test_the_folder_stays_within_its_limit(tmp_path, size):
    cache = Cache(tmp_path, 10_000)
    for number in range(60):
        put(cache, str(number), size)
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 10_000


def test_what_is_larger_than_all_may_be_is_refused(tmp_path):
    with pytest.raises(OSError, match="PERCEIVER_CACHE_MB"):
        put(Cache(tmp_path, 100), "a", 101)
    assert not files(tmp_path)


def test_nothing_stays_of_a_file_that_could_not_be_made(tmp_path):
    def half(partial: Path) -> None:
        partial.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(DiskFullError, match="the disk is full"):
        Cache(tmp_path, MB).file("a", "a.bin", 10, half)
    assert not files(tmp_path)


def test_what_a_killed_process_left_goes_after_a_day(tmp_path):
    left, new = tmp_path / "aa" / ".x.1.1.partial", tmp_path / "aa" / ".y.2.2.partial"
    left.parent.mkdir()
    for path in (left, new):
        path.write_bytes(b"x" * 900)
    os.utime(left, (1, 1))
    put(Cache(tmp_path, 1000), "a", 90)
    assert not left.is_file()
    assert new.is_file()


def _many(folder: Path) -> None:
    cache = Cache(folder, 20_000)
    for number in range(100):
        path = put(cache, str(number % 30), 1000)
        try:
            assert len(path.read_bytes()) == 1000
        except FileNotFoundError:  # the other one needed the room
            continue


def test_two_processes_use_one_folder(tmp_path):
    context = multiprocessing.get_context("spawn" if os.name == "nt" else "fork")
    both = [context.Process(target=_many, args=(tmp_path,)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    assert [one.exitcode for one in both] == [0, 0]
    assert all(path.stat().st_size == 1000 for path in files(tmp_path))
    assert len(files(tmp_path)) <= 22  # each may write a thirty-second part of the limit before it looks again


def test_the_environment_says_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("PERCEIVER_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("PERCEIVER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == tmp_path / "xdg" / "perceiver_pytorch"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder().parts[-3:] == ("Library", "Caches", "perceiver_pytorch")
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local" / "perceiver_pytorch" / "cache"
