"""``perceiver serve``: what it serves, where, and what it warns of."""

import pytest

from cli_helpers import perceiver

pytest.importorskip("fastapi", reason="the extra serve is not installed")


@pytest.fixture
def started(monkeypatch):
    """What the command would have served, and how."""
    calls = []
    monkeypatch.setattr(
        "perceiver_pytorch.serve.server.serve", lambda served, settings, **rest: calls.append((served, settings, rest))
    )
    return calls


def test_a_run_is_served_here_alone(folder, run, started):
    done = perceiver("serve", "first", "--port=0", "--max-batch=4", "--allow-host=a.example", cwd=folder)
    ((served, settings, rest),) = started
    assert served.name == "first"
    assert [target["name"] for target in served.targets] == ["label"]
    assert (settings.host, settings.port, settings.max_batch, settings.allow_host) == ("127.0.0.1", 0, 4, ["a.example"])
    assert len(rest["examples"]) == 0, "the rows of a table of one's own are not for everybody"
    assert "warning" not in done.stderr


def test_another_address_is_warned_of(folder, run, started):
    done = perceiver("serve", "first", "--host=0.0.0.0", cwd=folder)
    assert "--host 0.0.0.0 lets every computer that reaches this one use the model" in done.stderr


def test_rows_of_a_table_that_is_named_are_offered(folder, run, started):
    perceiver("serve", "first", "--examples=mixed.csv", cwd=folder)
    ((_, _, rest),) = started
    assert len(rest["examples"]) > 0


@pytest.mark.parametrize("option", ["--max-mb=0", "--port=99999", "--max-rows=0", "--timeout=-1"])
def test_limits_that_make_no_sense_are_refused(folder, run, option):
    done = perceiver("serve", "first", option, cwd=folder, check=False)
    assert done.returncode == 2
    assert option.partition("=")[0].removeprefix("--").replace("-", "_") in done.stderr


def test_what_is_no_run_is_not_served(folder):
    done = perceiver("serve", "nothing", cwd=folder, check=False)
    assert done.returncode == 2
    assert "nothing" in done.stderr
