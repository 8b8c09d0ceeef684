"""Tables that lie elsewhere: a file, a folder, or several files, by addresses as `s3://bucket/films.csv`."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.remote import web
from perceiver_pytorch.data.remote.addresses import Address, is_address
from perceiver_pytorch.data.remote.errors import RemoteError
from perceiver_pytorch.data.remote.files import fetched
from perceiver_pytorch.data.remote.stores import files_below, state_of
from perceiver_pytorch.data.sources.base import TABLES, Place, ReadOptions, Source, expanded, table_suffix
from perceiver_pytorch.data.sources.folders import folder_table
from perceiver_pytorch.data.sources.parquet import parquet_files
from perceiver_pytorch.data.sources.sharded import ShardedTable
from perceiver_pytorch.data.sources.tars import PACKED, UNPACK, tar_table
from perceiver_pytorch.data.table import Table, TableLike

_MAGIC = re.compile(r"[*?\[]")
_FETCHED_WHOLE = 4 << 20  # bytes of a Parquet file that travel together: asking for its parts would take longer
_WHAT = "a folder elsewhere is to hold Parquet or tar files, or files of images, sounds or videos (class/name.jpg)"


class RemoteTables(Source):
    """Whatever an address leads to that is a table here: a text table and a tar file are fetched, of Parquet files what
    is needed.

    Args:
        sources: gives those that read a file which was fetched.
    """

    def __init__(self, sources: Callable[[], Sequence[Source]]) -> None:
        self.sources = sources

    def claims(self, place: Place) -> bool:
        return is_address(place.name)

    def load(self, place: Place, options: ReadOptions) -> TableLike:
        try:
            root, files, is_file = _found(place.name, options)
            return self._read(place.name, root, files, is_file, options)
        except RemoteError as error:
            raise DataError(str(error)) from error
        except ValueError as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{place.name}: {error}") from error

    def _read(self, source: str, root: Address, files: list[Address], is_file: bool, options: ReadOptions) -> TableLike:
        """The table in some files.

        Args:
            source: what was asked for.
            root: the folder that relative paths in cells start at.
            files: in order; those of a folder are all that there are.
            is_file: there is one, and it was named.
        """
        parquet, tars = ([file for file in files if file.suffix.lower() == suffix] for suffix in (".parquet", ".tar"))
        named = is_file or bool(_MAGIC.search(source) or "{" in source)
        if parquet and (not named or len(parquet) == len(files)):
            return self._parquet(source, root, parquet, options)
        if tars and (not named or len(tars) == len(files)):
            return tar_table(source, root, tars, options.hosts)
        if is_file:
            return self._text(source, root, files[0], options)
        if named:
            suffixes = ", ".join(sorted({file.suffix.lower() for file in files}))
            raise DataError(f"{source}: shards must be Parquet or tar files, all of one kind, got {suffixes}")
        return _folder(source, root, files)

    def _parquet(self, source: str, root: Address, files: list[Address], options: ReadOptions) -> TableLike:
        small = len(files) == 1 and (files[0].is_web or state_of(files[0]).size <= _FETCHED_WHOLE)
        if small and not options.stream:
            return self._here(source, root, files[0], options)
        if any(file.is_web for file in files):
            raise DataError(f"{source}: a Parquet file of the web is fetched whole, one alone; use a store for more")
        return parquet_files(source, root, files, options)

    def _text(self, source: str, root: Address, file: Address, options: ReadOptions) -> TableLike:
        if PACKED.search(file.name):
            raise DataError(f"{source}: {UNPACK}")
        return self._here(source, root, file, options)

    def _here(self, source: str, root: Address, file: Address, options: ReadOptions) -> TableLike:
        """The table of a file that is fetched first."""
        path = fetched(file, options.hosts, lambda size: options.budget.check(file, size), options.budget.limit)
        place = Place(str(path))
        reader = next((one for one in self.sources() if one.claims(place)), None)
        if reader is None:
            known = ", ".join(suffix for one in self.sources() for suffix in one.suffixes)
            raise DataError(f"{source}: unknown suffix {file.suffix!r}; table files end in {known}; .gz behind a text")
        renamed = _renaming(path, str(file))
        try:
            table = reader.load(place, options)
        except DataError as error:
            raise DataError(
                renamed(str(error)), row=error.row, column=error.column, reason=renamed(error.reason)
            ) from error
        notes = tuple(map(renamed, table.notes))
        if isinstance(table, Table):
            return replace(table, source=source, root=root, notes=notes)
        assert isinstance(table, ShardedTable)
        return table.moved(source, root, notes, file)


def _folder(source: str, root: Address, files: list[Address]) -> TableLike:
    """A folder without shards: of files of images, sounds or videos."""
    inside = [file.name for file in files if file.parent == root]
    tables = [name for name in inside if table_suffix(PurePosixPath(name)) in TABLES]
    if tables:
        raise DataError(f"{source}: is a folder; give the table in it: it holds {', '.join(tables[:5])}")
    paths = [file.relative_to(root) for file in files]
    shown = [str(path) for path in paths if not any(part.startswith(".") for part in path.parts)]
    table = folder_table(source, root, shown)
    if not len(table):
        raise DataError(f"{source}: {_WHAT}")
    return table


def _found(name: str, options: ReadOptions) -> tuple[Address, list[Address], bool]:
    """The folder, the files, and whether the name is that of one file."""
    plain = name.split("?", 1)[0] if name.lower().startswith("http") else name
    if "{" in plain or (_MAGIC.search(name) and not name.lower().startswith("http")):
        files = [file for one in expanded(name) for file in _matching(one, options)]
        return _start(name), files, False
    address = Address.of(name)
    if address.is_web:
        web.check_allowed(address, options.hosts)
        return address.parent, [address], True
    if address.key and not name.endswith("/"):
        try:
            state_of(address)
            return address.parent, [address], True
        except RemoteError as error:
            if not error.of_the_file:
                raise
            missing = error
    else:
        missing = RemoteError.at(address, "there is nothing in it")
    files = list(files_below(address))
    if not files:
        raise missing
    return address, files, False


def _matching(pattern: str, options: ReadOptions) -> list[Address]:
    """The files that a pattern with `*` and `?` stands for, in order."""
    wanted = Address.of(pattern)
    if wanted.is_web:
        web.check_allowed(wanted, options.hosts)
        return [wanted]
    if not _MAGIC.search(wanted.key):
        state_of(wanted)
        return [wanted]
    parts = PurePosixPath(wanted.key).parts
    found = []
    for file in files_below(_start(pattern)):
        own = PurePosixPath(file.key).parts
        if len(own) == len(parts) and all(fnmatchcase(one, asked) for one, asked in zip(own, parts, strict=True)):
            found.append(file)
    if not found:
        raise DataError(f"{pattern}: there is no such file")
    return found


def _start(pattern: str) -> Address:
    """The folder of a pattern before the first part with a wildcard or a range."""
    head = re.split(r"[*?\[{]", pattern, maxsplit=1)[0]
    return Address.of(head[: head.rindex("/") + 1])


def _renaming(path: Path, name: str) -> Callable[[str], str]:
    """Makes messages speak of the address instead of the file in the cache."""
    return lambda text: text.replace(str(path.resolve()), name).replace(str(path), name)
