"""The file systems that addresses lead to, as fsspec knows them. For S3 and Google's stores they are Arrow's own."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from perceiver_pytorch.data.errors import need
from perceiver_pytorch.data.remote.addresses import Address
from perceiver_pytorch.data.remote.errors import RemoteError
from perceiver_pytorch.data.remote.retries import retried

_CONNECT, _REPLY = 10, 60  # seconds
_READ_FILES = "read files elsewhere"
OTHERS = ("abfs", "abfss", "az", "adl", "oss", "memory")
"""Further protocols, which fsspec reads where the package for one is installed."""


@dataclass(frozen=True)
class State:
    """A file as it is now.

    Attributes:
        size: in bytes.
        version: a text that is another one when the file has changed.
    """

    size: int
    version: str


class Store:
    """Files of one protocol.

    Args:
        files: fsspec's file system.
    """

    def __init__(self, files: Any) -> None:
        self.files = files

    def state(self, path: str) -> State:
        """Size and version of a file."""
        found = self.files.info(path)
        if found["type"] != "file":
            raise FileNotFoundError(path)
        return State(int(found["size"]), str(found.get("ETag") or self.files.ukey(path)))

    def below(self, path: str) -> dict[str, int]:
        """Paths and sizes of all files in a folder and the folders in it."""
        return {name: int(entry["size"]) for name, entry in self.files.find(path, detail=True).items()}

    def open(self, path: str) -> BinaryIO:
        """A file, read from any place of it; what is not read does not travel."""
        return cast(BinaryIO, self.files.open(path, "rb"))


class ArrowStore(Store):
    """Files of one of Arrow's file systems, within fsspec's."""

    def state(self, path: str) -> State:
        with self.open(path) as file:
            told = {_text(key).lower(): _text(value) for key, value in (file.metadata() or {}).items()}  # type: ignore[attr-defined]
            version = told.get("etag") or told.get("last-modified") or str(self.files.info(path)["mtime"])
            return State(file.size(), version)  # type: ignore[attr-defined]

    def below(self, path: str) -> dict[str, int]:
        selector = need("pyarrow.fs", _READ_FILES).FileSelector(path, recursive=True, allow_not_found=True)
        return {entry.path: entry.size for entry in self.files.fs.get_file_info(selector) if entry.is_file}

    def open(self, path: str) -> BinaryIO:
        return cast(BinaryIO, self.files.fs.open_input_file(path))


def store_of(address: Address) -> Store:
    """Whatever has the file at an address.

    Raises:
        RemoteError: nothing reads this protocol.
        ImportError: a package is missing that does; the message names it.
    """
    make = _MAKERS.get(address.protocol)
    if make is None and address.protocol not in OTHERS:
        known = ", ".join((*_MAKERS, *OTHERS[:-1], "https"))
        raise RemoteError.at(address, f"files are read at {known}, not at {address.protocol}://")
    # A process that was forked has stores of its own: connections cannot be shared.
    return _made(make or _other, address.protocol, address.host, os.getpid(), _environment())


def state_of(address: Address) -> State:
    """Size and version of a file.

    Raises:
        RemoteError: there is none, or it cannot be asked for.
    """
    return retried(address, lambda: store_of(address).state(address.path))


def files_below(folder: Address) -> dict[Address, int]:
    """All files in a folder and the folders in it, in order, with their sizes.

    Raises:
        RemoteError: it cannot be listed.
    """
    if folder.is_web:
        raise RemoteError.at(folder, "hosts of the web do not say which files a folder has; name them one by one")
    found = retried(folder, lambda: store_of(folder).below(folder.path))
    return {Address.of(f"{folder.protocol}://{path.lstrip('/')}"): size for path, size in sorted(found.items())}


def _environment() -> tuple[tuple[str, str], ...]:
    """What of the environment says where stores are and who asks."""
    beginnings = ("AWS_", "FSSPEC_", "GOOGLE_", "STORAGE_", "AZURE_")
    return tuple(sorted((key, value) for key, value in os.environ.items() if key.startswith(beginnings)))


@lru_cache(maxsize=32)
def _made(make: Callable[[str, str], Store], protocol: str, host: str, pid: int, environment: Any) -> Store:
    return make(protocol, host)


def _settings(protocol: str) -> dict[str, Any]:
    """What fsspec's configuration (files, or FSSPEC_S3_ANON and the like) says of a protocol."""
    config: dict[str, Any] = {}
    need("fsspec.config", _READ_FILES).set_conf_env(config)
    return {**need("fsspec.config", _READ_FILES).conf.get(protocol, {}), **config.get(protocol, {})}


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _yes(value: Any) -> bool:
    return str(value).lower() in ("true", "1", "yes")


def _s3(protocol: str, bucket: str) -> Store:
    fs, given = need("pyarrow.fs", _READ_FILES), _settings("s3")
    endpoint = given.get("endpoint_url") or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    options: dict[str, Any] = {
        "anonymous": _yes(given.get("anon", False)),
        "connect_timeout": _CONNECT,
        "request_timeout": _REPLY,
        "retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=1),  # `retried` asks again
    }
    region = given.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint:
        place = urlsplit(endpoint)
        if place.scheme not in ("http", "https") or not place.netloc:
            raise ValueError(f"the address of an S3 server must be as http://host:port, got {endpoint!r}")
        options |= {"endpoint_override": place.netloc, "scheme": place.scheme}
    elif not region:
        region = _region(fs, bucket)
    for ours, theirs in (("access_key", "key"), ("secret_key", "secret"), ("session_token", "token")):
        options |= {ours: given[theirs]} if given.get(theirs) else {}
    return ArrowStore(_wrapped(fs.S3FileSystem(region=region, **options)))


def _region(fs: Any, bucket: str) -> str | None:
    """Where Amazon has a bucket; None where it does not say."""
    try:
        return str(fs.resolve_s3_region(bucket))
    except (OSError, ValueError):
        return None


def _gs(protocol: str, bucket: str) -> Store:
    fs, given = need("pyarrow.fs", _READ_FILES), _settings("gs")
    options: dict[str, Any] = {"retry_time_limit": timedelta(seconds=_CONNECT)}
    if endpoint := given.get("endpoint_url") or os.environ.get("STORAGE_EMULATOR_HOST"):
        place = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
        options |= {"endpoint_override": place.netloc, "scheme": place.scheme}
    anonymous = _yes(given.get("anon", False)) or given.get("token") == "anon"
    return ArrowStore(_wrapped(fs.GcsFileSystem(anonymous=anonymous, **options)))


def _wrapped(files: Any) -> Any:
    return need("fsspec.implementations.arrow", _READ_FILES).ArrowFSWrapper(files, skip_instance_cache=True)


def _other(protocol: str, host: str) -> Store:
    fsspec, registry = need("fsspec", _READ_FILES), need("fsspec.registry", _READ_FILES)
    try:
        return Store(fsspec.filesystem(protocol, skip_instance_cache=protocol != "memory"))
    except ImportError as error:
        package = registry.known_implementations.get(protocol, {}).get("err", str(error))
        raise ImportError(f"{protocol}:// needs a package that is not installed: {package}") from error


_MAKERS: dict[str, Callable[[str, str], Store]] = {"s3": _s3, "s3a": _s3, "gs": _gs, "gcs": _gs}
