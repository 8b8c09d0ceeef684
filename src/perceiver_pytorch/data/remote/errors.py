"""What goes wrong with files elsewhere, in words that say where, why, and what helps."""

import asyncio
import http.client
import re

from perceiver_pytorch.data.remote.addresses import Address

_WAIT = re.compile(  # what stores say of errors that pass
    r"network[ _]connection|slow[ _]?down|internal[ _]?(failure|error)|service[ _]?unavailable|request[ _]?timeout|"
    r"throttl|timed? ?out|curlcode|connection (reset|refused|aborted)|(status|error) ?(code)?:? ?(408|429|5\d\d)\b",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"access[ _]?denied|forbidden|invalid[ _]?access[ _]?key|signature[ _]?does[ _]?not[ _]?match|credential|"
    r"unauthenticated|permission[ _]?denied|expired[ _]?token|(status|error) ?(code)?:? ?(401|403)\b",
    re.IGNORECASE,
)
_KEYS = {
    "s3": "Credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws/credentials (AWS_PROFILE), or the "
    "machine's role; FSSPEC_S3_ANON=true reads a public bucket without any",
    "gs": "Credentials are the file that GOOGLE_APPLICATION_CREDENTIALS names, those of gcloud, or the machine's role; "
    "FSSPEC_GS_ANON=true reads a public bucket without any",
}
_KEYS |= {"s3a": _KEYS["s3"], "gcs": _KEYS["gs"]}


class RemoteError(OSError):
    """A file elsewhere cannot be read.

    Args:
        message: where and why, and what helps.
        reason: the same without the place.
        transient: it may be there if one asks again.
        of_the_file: other files of that place may well be read.
    """

    def __init__(self, message: str, reason: str = "", transient: bool = False, of_the_file: bool = False) -> None:
        super().__init__(message)
        self.reason = reason or message
        self.transient = transient
        self.of_the_file = of_the_file
        self.strerror = self.reason

    def __reduce__(self) -> tuple[type, tuple[str, str, bool, bool]]:
        return type(self), (self.args[0], self.reason, self.transient, self.of_the_file)

    @classmethod
    def at(cls, address: Address, reason: str, *, transient: bool = False, of_the_file: bool = False) -> "RemoteError":
        """For a file at an address."""
        return cls(f"{address}: {reason}", reason, transient, of_the_file)


def told(address: Address, error: Exception) -> RemoteError:
    """What a library's error means."""
    if isinstance(error, RemoteError):
        return error
    text = " ".join(str(error).split())[:400] or type(error).__name__
    if isinstance(error, FileNotFoundError):
        bucket = "" if address.is_web else f", or no bucket {address.host!r}"
        return RemoteError.at(address, f"there is no such file{bucket}", of_the_file=True)
    if isinstance(error, PermissionError) or _DENIED.search(text) or "credential" in type(error).__name__.lower():
        keys = _KEYS.get(address.protocol, "")
        return RemoteError.at(address, f"may not be read ({text}). {keys}".strip(), of_the_file=False)
    if isinstance(error, http.client.InvalidURL):
        return RemoteError.at(address, f"is no address that can be asked for ({text})", of_the_file=True)
    passing = isinstance(
        error, ConnectionError | TimeoutError | asyncio.TimeoutError | http.client.HTTPException
    ) or _WAIT.search(text)
    if passing:
        return RemoteError.at(address, f"cannot be reached ({text})", transient=True)
    return RemoteError.at(address, f"cannot be read ({text})", of_the_file=True)
