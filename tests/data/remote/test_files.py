"""Files of a real S3 server, and of fsspec's store in memory: fetched, kept, and fetched again when they change."""

from pathlib import Path

import fsspec
import pytest

from perceiver_pytorch.data.remote import stores
from perceiver_pytorch.data.remote.addresses import Address
from perceiver_pytorch.data.remote.cache import Cache
from perceiver_pytorch.data.remote.errors import RemoteError
from perceiver_pytorch.data.remote.files import fetched, local, read, size_and_ends


def any_size(size):
    return None


def test_a_file_is_fetched_once_and_again_when_it_has_changed(s3, monkeypatch):
    address = Address.of(s3.put("files/a b.txt", b"first"))
    path = fetched(address)
    assert path.read_bytes() == b"first"
    assert path.suffix == ".txt"
    with monkeypatch.context() as patch:
        patch.setattr("perceiver_pytorch.data.remote.files._copy", lambda *given: pytest.fail("fetched again"))
        assert fetched(address) == path
    s3.put("files/a b.txt", b"other")
    assert fetched(address).read_bytes() == b"other"


def test_a_file_that_another_process_removed_is_fetched_again(s3):
    address = Address.of(s3.put("files/b.bin", b"bytes"))
    fetched(address, once=True).unlink()
    assert read(address, (), any_size, 100) == b"bytes"
    fetched(address, once=True).unlink()
    assert local(address).read_bytes() == b"bytes"


def test_the_cache_is_bounded_while_files_are_read(s3, monkeypatch):
    monkeypatch.setenv("PERCEIVER_CACHE_MB", "1")
    for number in range(5):
        address = Address.of(s3.put(f"large/{number}.bin", bytes([number]) * 400_000))
        assert read(address, (), any_size, 1 << 20) == bytes([number]) * 400_000
    folder = Cache.here().folder
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= 1 << 20
    address = Address.of(s3.put("large/too.bin", bytes(1_100_000)))
    with pytest.raises(RemoteError, match=r"too\.bin: cannot be kept here: takes 1 MB.*PERCEIVER_CACHE_MB"):
        fetched(address)


def test_what_goes_wrong_with_the_cache_is_not_the_store(s3, monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("PERCEIVER_CACHE", str(tmp_path / "file"))
    with pytest.raises(RemoteError, match="cannot be kept here"):
        fetched(Address.of(s3.put("files/c.bin", b"c")))
    monkeypatch.setenv("PERCEIVER_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(Path, "open", lambda *given: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(RemoteError, match=r"cannot be kept here: .*Permission denied"):
        fetched(Address.of("s3://bucket/files/c.bin"))


def test_nothing_is_fetched_that_is_too_large(s3):
    def check(size):
        raise RemoteError(f"{size} is too large")

    address = Address.of(s3.put("files/c.bin", bytes(1000)))
    with pytest.raises(RemoteError, match="1000 is too large"):
        fetched(address, (), check)
    assert not Cache.here().folder.exists()


def test_size_and_ends_are_those_of_the_file(s3):
    data = bytes(range(256)) * 8
    assert size_and_ends(Address.of(s3.put("files/d.bin", data)), 100) == (2048, data[:100] + data[-100:])


def test_files_of_a_folder_are_listed_in_order(s3):
    for name in ("b/2.txt", "a.txt", "b/c/1.txt"):
        s3.put(f"listed/{name}", b"12345")
    found = stores.files_below(Address.of("s3://bucket/listed/"))
    assert {str(address): size for address, size in found.items()} == {
        f"s3://bucket/listed/{name}": 5 for name in ("a.txt", "b/2.txt", "b/c/1.txt")
    }


@pytest.mark.parametrize("text", ["s3://bucket/none.txt", "s3://no-such-bucket/a.txt"])
def test_a_file_that_is_not_there_is_told_with_its_bucket(s3, text):
    with pytest.raises(RemoteError, match="there is no such file, or no bucket") as raised:
        fetched(Address.of(text))
    assert raised.value.of_the_file


def test_a_server_that_is_not_there_is_asked_several_times(s3, monkeypatch):
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("PERCEIVER_REMOTE_TRIES", "3")
    with pytest.raises(RemoteError, match=r"cannot be reached .*asked for 3 times") as raised:
        fetched(Address.of("s3://bucket/a.txt"))
    assert len(waits) == 2
    assert not raised.value.of_the_file


def test_an_address_of_a_server_that_is_none_is_told(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost")
    with pytest.raises(RemoteError, match="http://host:port"):
        fetched(Address.of("s3://bucket/a.txt"))


def test_fsspec_says_where_a_server_is(s3, monkeypatch):
    s3.put("files/e.txt", b"here")
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", s3.address)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert fetched(Address.of("s3://bucket/files/e.txt")).read_bytes() == b"here"


def test_other_protocols_are_those_of_fsspec(monkeypatch, tmp_path):
    monkeypatch.setenv("PERCEIVER_CACHE", str(tmp_path))
    files = fsspec.filesystem("memory")
    try:
        files.pipe("/folder/a.txt", b"in memory")
        assert fetched(Address.of("memory://folder/a.txt")).read_bytes() == b"in memory"
        assert list(map(str, stores.files_below(Address.of("memory://folder")))) == ["memory://folder/a.txt"]
        with pytest.raises(RemoteError, match="no such file"):
            fetched(Address.of("memory://folder/none.txt"))
    finally:
        files.rm("/folder", recursive=True)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "adlfs", None)
    with pytest.raises(ImportError, match=r"abfs:// needs a package that is not installed: .*adlfs"):
        stores.store_of(Address.of("abfs://container/a.txt"))


def test_a_protocol_that_nothing_reads_is_refused():
    with pytest.raises(RemoteError, match=r"files are read at s3, .*not at ftp://"):
        stores.store_of(Address.of("ftp://host/a.txt"))


def test_googles_store_is_made_as_the_environment_says(monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:9")
    monkeypatch.setenv("FSSPEC_GS_ANON", "true")
    assert stores.store_of(Address.of("gs://bucket/a.txt")).files.fs.type_name == "gcs"
