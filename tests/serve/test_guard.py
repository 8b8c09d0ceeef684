"""Who may ask: names in the Host header, pages of other sites; and the headers that browsers obey."""

import pytest

from serve_helpers import Adding, ask


@pytest.fixture
def address(serving):
    return serving(Adding(), allow_host=["model.example"])


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "127.8.9.1", "[::1]:80", "[::1]", "model.example", "localhost."],
)
def test_names_of_this_computer_and_those_that_are_allowed_are_answered(address, host):
    assert ask(f"{address}/health", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "192.168.1.5", "", "[::2]", "a]:b"]
)
def test_another_name_is_refused_since_another_sites_page_could_lead_here_by_it(address, host):
    for path in ("/", "/predict", "/metrics"):
        answer = ask(f"{address}{path}", headers={"Host": host})
        assert answer.status == 421
        assert "--allow-host NAME" in answer.body["error"]


def test_an_address_may_be_called_where_other_computers_may_call(serving):
    open_to_all = serving(Adding(), host="0.0.0.0")
    assert ask(f"{open_to_all}/health", headers={"Host": "192.168.1.5:8000"}).status == 200
    assert ask(f"{open_to_all}/health", headers={"Host": "evil.example"}).status == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://localhost:9", "Host": "localhost:9"}, 200),
        ({"Origin": "http://localhost:10", "Host": "localhost:9"}, 403),
    ],
)
def test_pages_of_other_sites_may_not_ask(address, headers, status):
    assert ask(f"{address}/predict", {"rows": [{"x": 1}]}, headers=headers).status == status


def test_every_answer_has_the_headers_that_browsers_obey(address):
    for path, status in (("/", 200), ("/predict", 405), ("/nothing", 404), ("/openapi.json", 200)):
        answer = ask(f"{address}{path}")
        assert answer.status == status
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy, "nothing from elsewhere"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers
    refused = ask(f"{address}/", headers={"Host": "evil.example"})
    assert refused.headers["x-frame-options"] == "DENY"
