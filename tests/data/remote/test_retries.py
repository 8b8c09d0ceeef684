"""Which errors pass, how often is asked again, and what is told; `errors.py` is tested by what is told."""

import http.client
import pickle

import pytest

from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.remote.addresses import Address
from perceiver_pytorch.data.remote.errors import RemoteError, told
from perceiver_pytorch.data.remote.retries import TRIES, number_from, retried

FILE = Address.of("s3://bucket/a.csv")


def failing(errors):
    left = list(errors)

    def call():
        if left:
            raise left.pop(0)
        return "done"

    return call, left


def test_errors_that_pass_are_waited_for_ever_longer():
    waits = []
    call, left = failing(
        [ConnectionResetError("reset"), OSError("AWS Error SLOW_DOWN: HTTP status 503"), TimeoutError()]
    )
    assert retried(FILE, call, waits.append) == "done"
    assert not left
    assert 0.25 <= waits[0] <= 0.5 <= waits[1] <= 1.0 <= waits[2] <= 2.0


def test_after_so_many_times_it_is_an_error_that_names_the_file(monkeypatch):
    monkeypatch.setenv(TRIES, "3")
    call, left = failing([ConnectionResetError("reset by peer")] * 5)
    with pytest.raises(RemoteError, match=r"^s3://bucket/a\.csv: cannot .*\(reset by peer\); asked for 3 times"):
        retried(FILE, call, lambda wait: None)
    assert len(left) == 2


@pytest.mark.parametrize(
    ("error", "words", "of_the_file"),
    [
        (FileNotFoundError(2, "x"), "there is no such file, or no bucket 'bucket'", True),
        (PermissionError("Forbidden"), "AWS_ACCESS_KEY_ID", False),
        (OSError("AWS Error ACCESS_DENIED during GetObject"), "FSSPEC_S3_ANON=true", False),
        (OSError("AWS Error INVALID_ACCESS_KEY_ID"), "~/.aws/credentials", False),
        (OSError("something else"), "something else", True),
    ],
)
def test_other_errors_are_told_at_once(error, words, of_the_file):
    call, left = failing([error, error])
    with pytest.raises(RemoteError) as raised:
        retried(FILE, call, lambda wait: pytest.fail("waited"))
    assert words in str(raised.value)
    assert str(raised.value).startswith("s3://bucket/a.csv: ")
    assert raised.value.of_the_file == of_the_file
    assert len(left) == 1


class AzureError(Exception):
    """As packages for stores have them."""


def test_errors_of_other_packages_are_told_and_our_own_pass():
    with pytest.raises(RemoteError, match=r"cannot be read \(odd\)"):
        retried(FILE, failing([AzureError("odd")])[0], lambda wait: None)
    call, _ = failing([AzureError("status code: 503"), http.client.IncompleteRead(b"")])
    assert retried(FILE, call, lambda wait: None) == "done"
    for error in (DataError("own"), ImportError("own"), MemoryError("own")):
        with pytest.raises(type(error), match="own"):
            retried(FILE, failing([error])[0], lambda wait: pytest.fail("waited"))


def test_credentials_of_google_are_named():
    error = told(Address.of("gs://bucket/a"), OSError("Permission denied: 403"))
    assert "GOOGLE_APPLICATION_CREDENTIALS" in str(error)


def test_an_error_crosses_processes():
    error = RemoteError.at(FILE, "is gone", transient=True)
    back = pickle.loads(pickle.dumps(error))
    assert (str(back), back.reason, back.transient, back.of_the_file) == (str(error), "is gone", True, False)


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_a_wrong_number_in_the_environment_is_named(monkeypatch, text):
    monkeypatch.setenv("PERCEIVER_CACHE_MB", text)
    with pytest.raises(ValueError, match="PERCEIVER_CACHE_MB must be a number of 1 or more"):
        number_from("PERCEIVER_CACHE_MB", 5)
