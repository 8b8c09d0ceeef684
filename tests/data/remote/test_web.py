"""Files of the web, from a server on this machine."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from perceiver_pytorch.data import DataError, ReadOptions, load_table
from perceiver_pytorch.data.remote import web
from perceiver_pytorch.data.remote.addresses import Address
from perceiver_pytorch.data.remote.errors import RemoteError
from perceiver_pytorch.data.remote.files import fetched, read

TABLE = b"a,y\n1,u\n2,v\n"
HERE = ("127.0.0.1",)


class Answers(BaseHTTPRequestHandler):
    """What the server says to each path."""

    failures = 0

    def do_GET(self):
        path = self.path.partition("?")[0]
        leads = {"/there.csv": "/t.csv", "/file.csv": "file:///etc/passwd", "/away.csv": "https://example.com/t.csv"}
        if path in leads:
            self.send_response(302)
            self.send_header("Location", leads[path])
            self.end_headers()
        elif path == "/busy.csv" and Answers.failures < 2:
            Answers.failures += 1
            self.send_error(503)
        elif path in ("/t.csv", "/busy.csv", "/short.csv", "/endless.csv"):
            self.send_response(200)
            if path != "/endless.csv":
                self.send_header("Content-Length", str(len(TABLE) + (path == "/short.csv")))
            self.send_header("ETag", '"one"')
            self.end_headers()
            self.wfile.write(TABLE * (1000 if path == "/endless.csv" else 1))
        else:
            self.send_error(403 if path == "/secret.csv" else 404)

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


@pytest.mark.parametrize("path", ["file.csv", "away.csv"])
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
