"""Files of the web, from a server on this machine."""

import io
import socket
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perceiver_pytorch.data import DataError, ReadOptions, ShardedTable, load_table
from perceiver_pytorch.data.remote import web
from perceiver_pytorch.data.remote.addresses import Address
from perceiver_pytorch.data.remote.errors import RemoteError
from perceiver_pytorch.data.remote.files import fetched, read
from perceiver_pytorch.data.remote.stores import State
from perceiver_pytorch.data.table_fingerprint import digest

TABLE = b"a,y\n1,u\n2,v\n"
HERE = ("127.0.0.1",)


def tar(name: str) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as file:
        member = tarfile.TarInfo(f"{name}.txt")
        member.size = len(name)
        file.addfile(member, io.BytesIO(name.encode()))
    return data.getvalue()


def parquet() -> bytes:
    data = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2]}), data)
    return data.getvalue()


FILES = {"/1.tar": tar("one"), "/2.tar": tar("two"), "/t.parquet": parquet(), "/a%20b%C3%BC.csv": TABLE}


class Answers(BaseHTTPRequestHandler):
    """What the server says to each path."""

    failures = 0
    asked: ClassVar[list[str]] = []

    def do_GET(self):
        path = self.path.partition("?")[0]
        Answers.asked.append(path)
        leads = {"/there.csv": "/t.csv", "/file.csv": "file:///etc/passwd", "/away.csv": "https://example.com/t.csv"}
        leads["/odd.csv"] = "http://%31%32%37.0.0.1/t.csv"
        if path in leads:
            self.send_response(302)
            self.send_header("Location", leads[path])
            self.end_headers()
        elif path == "/busy.csv" and Answers.failures < 2:
            Answers.failures += 1
            self.send_error(503)
        elif path in FILES:
            self.send_response(200)
            self.send_header("ETag", '"one"')
            self.end_headers()
            self.wfile.write(FILES[path])
        elif path == "/chunks.csv":
            self.chunks()
        elif path in ("/t.csv", "/busy.csv", "/short.csv", "/endless.csv"):
            self.send_response(200)
            if path != "/endless.csv":
                self.send_header("Content-Length", str(len(TABLE) + (path == "/short.csv")))
            self.send_header("ETag", '"one"')
            self.end_headers()
            self.wfile.write(TABLE * (1000 if path == "/endless.csv" else 1))
        else:
            self.send_error(403 if path == "/secret.csv" else 404)

    def chunks(self):
        """A reply that ends within its body, unless it is asked for the third time."""
        Answers.failures += 1
        self.protocol_version, self.close_connection = "HTTP/1.1", True
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n" % len(TABLE))
        self.wfile.write(TABLE + b"\r\n0\r\n\r\n" if Answers.failures > 2 else TABLE[:3])

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.setenv("PERCEIVER_CACHE", str(tmp_path))
    monkeypatch.setattr("time.sleep", lambda seconds: None)


@pytest.mark.parametrize("path", ["t.csv", "there.csv", "t.csv?key=1"])
def test_a_table_of_an_allowed_host_is_read(address, path):
    table = load_table(f"{address}/{path}", ReadOptions(hosts=HERE))
    assert table.column("y") == ["u", "v"]


def test_a_table_of_another_host_is_refused_with_the_option(address):
    with pytest.raises(DataError, match=r"--allow-web 127\.0\.0\.1 lets it be read"):
        load_table(f"{address}/t.csv")


@pytest.mark.parametrize("path", ["file.csv", "away.csv", "odd.csv"])
def test_a_redirect_leads_to_allowed_hosts_of_the_web_only(address, path):
    with pytest.raises(RemoteError, match=r"leads (elsewhere|to what is not of the web)"):
        fetched(Address.of(f"{address}/{path}"), HERE)


def test_a_busy_server_is_asked_again(address):
    Answers.failures = 0
    assert fetched(Address.of(f"{address}/busy.csv"), HERE).read_bytes() == TABLE
    assert Answers.failures == 2


@pytest.mark.parametrize(
    ("path", "words"),
    [("no.csv", "there is no such file"), ("secret.csv", "403"), ("short.csv", "ended after 12 of 13")],
)
def test_what_cannot_be_fetched_is_told_and_leaves_nothing(address, tmp_path, path, words):
    with pytest.raises(RemoteError, match=words):
        fetched(Address.of(f"{address}/{path}"), HERE)
    assert not [each for each in tmp_path.rglob("*") if each.is_file()]


def test_a_file_of_unknown_size_is_read_up_to_its_limit(address):
    with pytest.raises(RemoteError, match="more than the 5,000 bytes"):
        read(Address.of(f"{address}/endless.csv"), HERE, lambda size: None, 5000)


@pytest.mark.parametrize(
    ("text", "hosts", "words"),
    [
        ("http://example.com/x", ("example.com",), "by https only"),
        ("https://127.0.0.1/x", ("*",), "belongs to this network"),
        ("https://localhost/x", ("*",), "belongs to this network"),
        ("https://user:word@example.com/x", ("*",), "a user or a password"),
        ("https://example.com.evil.org/x", ("example.com",), "not allowed"),
        ("https://%31%32%37.0.0.1/x", ("*",), "other signs than letters"),
        ("https://intranet%2Elocal/x", ("*", "intranet%2elocal"), "other signs than letters"),
        ("https://b\u00fccher.example/x", ("*",), "other signs than letters"),
        ("https://nowhere.invalid/x", ("*",), r"cannot be found .*--allow-web nowhere\.invalid"),
    ],
)
def test_hosts_that_are_not_allowed(text, hosts, words):
    with pytest.raises(RemoteError, match=words):
        web.check_allowed(Address.of(text), hosts)


def test_a_host_is_allowed_by_its_name_with_or_without_a_port():
    web.check_allowed(Address.of("https://Example.com:444/x"), ["example.com"])
    web.check_allowed(Address.of("https://example.com:444/x"), ["example.com:444"])
    with pytest.raises(RemoteError):
        web.check_allowed(Address.of("https://example.com:445/x"), ["example.com:444"])


@pytest.mark.parametrize(("name", "column"), [("1.tar", "txt"), ("t.parquet", "a")])
def test_rows_that_stay_on_the_disk_have_the_folder_of_the_web(address, monkeypatch, name, column):
    monkeypatch.setattr("perceiver_pytorch.data.sources.parquet._IN_MEMORY", 0)
    table = load_table(f"{address}/{name}", ReadOptions(hosts=HERE))
    assert isinstance(table, ShardedTable)
    assert (table.source, str(table.root), table.hosts) == (f"{address}/{name}", address, HERE)
    assert len(table.column(column))
    assert len(digest(table)) == 32
    assert table.place(0).startswith(f"{name}, its ")


def test_an_error_of_rows_on_the_disk_names_the_address_and_not_the_cache(address, monkeypatch):
    monkeypatch.setattr("perceiver_pytorch.data.sources.parquet._IN_MEMORY", 0)
    table = load_table(f"{address}/t.parquet", ReadOptions(hosts=HERE))
    table.shards[0].path.unlink()
    with pytest.raises(DataError, match=rf"^{address}/t\.parquet: cannot be read as parquet"):
        table.column("a")


def test_tar_files_of_the_web_are_shards_that_are_asked_for_once(address):
    before = len(Answers.asked)
    table = load_table(f"{address}/{{1..2}}.tar", ReadOptions(hosts=HERE))
    assert table.column("txt") == ["one", "two"]
    assert len(digest(table)) == 32
    assert sorted(Answers.asked[before:]) == ["/1.tar", "/2.tar"]


def test_a_cell_of_the_web_is_asked_for_once_while_its_host_is_allowed(address):
    file, before = Address.of(f"{address}/t.csv?cell"), len(Answers.asked)
    assert [read(file, HERE, lambda size: None, 100) for _ in range(3)] == [TABLE] * 3
    assert len(Answers.asked) == before + 1
    with pytest.raises(RemoteError, match="not allowed"):
        read(file, (), lambda size: None, 100)


def test_names_with_spaces_are_quoted(address):
    assert fetched(Address.of(f"{address}/a b\u00fc.csv"), HERE).read_bytes() == TABLE


def test_what_cannot_be_asked_for_is_told():
    with pytest.raises(RemoteError, match="is no address that can be asked for"):
        fetched(Address.of("https://127.0.0.1:port/a"), ["127.0.0.1:port"])


def test_a_body_that_is_cut_is_asked_for_again(address):
    Answers.failures = 0
    assert fetched(Address.of(f"{address}/chunks.csv"), HERE).read_bytes() == TABLE
    assert Answers.failures == 3


def test_a_connection_that_is_lost_within_the_body_passes():
    class Body:
        def read(self, size):
            raise ConnectionResetError(104, "Connection reset by peer")

    with pytest.raises(RemoteError, match="the connection was lost") as raised:
        web.Reply(State(3, "a"), Body()).copy_to(io.BytesIO(), Address.of("https://host/a"), 100)
    assert raised.value.transient


@pytest.mark.parametrize(("number", "transient"), [(socket.EAI_AGAIN, True), (socket.EAI_NONAME, False)])
@pytest.mark.parametrize("hosts", ["*", "host.example"])
def test_a_host_that_is_not_found_for_the_time_being_passes(monkeypatch, number, transient, hosts):
    def fails(*given, **options):
        raise socket.gaierror(number, "told")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(RemoteError, match="told") as raised, web.asked(Address.of("https://host.example/x"), [hosts]):
        pytest.fail("was asked")
    assert raised.value.transient == transient
