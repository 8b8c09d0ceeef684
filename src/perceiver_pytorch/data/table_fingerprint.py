"""What a table was like when a run began: small, cheap to take, and other where the run's data are other."""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from perceiver_pytorch._files import open_regular
from perceiver_pytorch.data.cells import file_path
from perceiver_pytorch.data.errors import need
from perceiver_pytorch.data.input_spec import InputSpec
from perceiver_pytorch.data.remote.addresses import Address, Root, is_address
from perceiver_pytorch.data.remote.files import local, size_and_ends
from perceiver_pytorch.data.sources.sharded import ShardedTable
from perceiver_pytorch.data.splits import Splits
from perceiver_pytorch.data.table import Table, TableLike

_VERSION = 2
_ROWS = 1024  # looked at together
_END = 512  # bytes at either end of a cell of bytes, or of a file that a cell leads to
_OPENED = 10_000  # files of a column that are opened for it
_SHARD_END = 1 << 16  # bytes at either end of a shard: a Parquet file's summary of its row groups stands there


def fingerprint(table: TableLike, splits: Splits, spec: InputSpec) -> dict[str, Any]:
    """JSON values that say what the rows are, for `differences`.

    - of a table in memory: every value of the columns that are read (of cells of bytes their length and ends), and of
      the files that cells lead to the sizes, and the ends of 10,000
    - of a table in shards: names, sizes and ends of the shards
    - of both, where they lie elsewhere: the same, but nothing of the files that cells lead to
    - of both: which rows are in which split
    """
    found: dict[str, Any] = {"version": _VERSION, "rows": len(table), "splits": {}}
    for field in fields(splits):
        rows = getattr(splits, field.name)
        found["splits"][field.name] = {"rows": len(rows), "digest": _hex(np.ascontiguousarray(rows, dtype="<i8"))}
    if isinstance(table, ShardedTable):
        found["shards"] = _shards(table)
        return found
    assert isinstance(table, Table)
    there = frozenset(table.column_names)
    names = dict.fromkeys([*spec.columns, *(target.name for target in spec.targets)])
    found["columns"] = {name: _column(table, name) for name in names if name in there}
    leading = dict.fromkeys(name for modality in spec.modalities for name in modality.file_columns)
    found["files"] = {name: _files(table, name) for name in leading if name in there}
    further = {name for modality in spec.modalities for name in modality.files}
    found["files"] |= {name: _whole(table, name) for name in sorted(further)}
    return found


def digest(table: TableLike) -> str:
    """What the whole of a table holds, whatever of it is read: its columns, and the files that their cells lead to."""
    if isinstance(table, ShardedTable):
        return _hex(repr(_shards(table)).encode())
    assert isinstance(table, Table)
    names = sorted(table.column_names)
    return _hex(repr([[name, _column(table, name), _files(table, name)] for name in names]).encode())


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is other now, a phrase each; empty where nothing is, or where another version of this package took one."""
    if before.get("version") != now["version"]:
        return []
    if before["rows"] != now["rows"]:
        return [f"it has {now['rows']:,} rows, and had {before['rows']:,}"]
    found = []
    if before.get("shards") != now.get("shards"):
        found.append(_shards_differ(before.get("shards"), now.get("shards")))
    elif "shards" not in now:
        gone = [repr(name) for name in before["columns"] if name not in now["columns"]]
        found += [f"it has no column {', '.join(gone)} any more"] if gone else []
        for part, what in (("columns", "the cells of {} have changed"), ("files", "the files of {} have changed")):
            names = [name for name, digest in before[part].items() if now[part].get(name, digest) != digest]
            found += [what.format(", ".join(map(repr, names)))] if names else []
    if before["splits"] != now["splits"]:
        found.append("other rows are train, validation and test rows")
    return found


def _shards_differ(before: list[list[Any]] | None, now: list[list[Any]] | None) -> str:
    if before is None or now is None:
        return "its rows were in memory and now stay on the disk, or the other way round"
    old, new = ({name: rest for name, *rest in shards} for shards in (before, now))
    for what, names in (
        ("are gone", [name for name in old if name not in new]),
        ("are new", [name for name in new if name not in old]),
        ("hold something else", [name for name in new if old.get(name) != new[name]]),
    ):
        if names:
            more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
            return f"shards {what}: {', '.join(names[:3])}{more}"
    return "its shards are in another order"


def _hex(data: Any) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def _column(table: Table, name: str) -> str:
    digest = blake2b(digest_size=16)
    column = table.rows.column(name)
    for start in range(0, len(column), _ROWS):
        for piece in _pieces(column.slice(start, _ROWS)):
            digest.update(piece)
    return digest.hexdigest()


def _pieces(part: Any) -> Iterator[bytes]:
    """Some cells as bytes that depend on their values alone, not on how Arrow keeps them."""
    types, compute = need("pyarrow.types", "read tables"), need("pyarrow.compute", "read tables")
    type_ = part.type
    if types.is_struct(type_):
        for field in part.flatten():
            yield from _pieces(field)
    elif types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        yield repr(compute.list_value_length(part).to_pylist()).encode()
        yield from _pieces(compute.list_flatten(part))
    elif types.is_floating(type_) or types.is_integer(type_):
        yield part.is_valid().to_numpy().tobytes()
        yield part.drop_null().to_numpy().tobytes()
    elif types.is_binary(type_) or types.is_large_binary(type_):
        ends = (compute.binary_slice(part, 0, _END), compute.binary_slice(part, -_END, None))
        for values in (compute.binary_length(part), *ends):
            yield repr(values.to_pylist()).encode()
    else:
        yield repr(part.to_pylist()).encode()


def _files(table: Table, name: str) -> str:
    """Sizes of the files that a column's cells lead to, and the ends of some of them, as opening all takes long.

    A cell that is no path counts as one that leads nowhere. So does one that leads elsewhere: asking takes long.
    """
    root = table.root
    if not isinstance(root, Path):
        return _hex(b"")
    digest, every = blake2b(digest_size=16), -(-len(table) // _OPENED)
    for row, cell in enumerate(_paths(table.rows.column(name))):
        if cell is not None and not is_address(cell):
            path = file_path(root, cell)
            size = file_size(path)
            digest.update(b"%d " % size)
            digest.update(file_ends(path, _END) if size > 0 and row % every == 0 else b"")
    return digest.hexdigest()


def _paths(column: Any) -> Iterator[str | None]:
    """The path in each cell, None where there is none; bytes in cells are not read, which may be all that there is."""
    types, compute = need("pyarrow.types", "read tables"), need("pyarrow.compute", "read tables")
    for start in range(0, len(column), _ROWS):
        part = column.slice(start, _ROWS)
        here = [False] * len(part)
        if types.is_struct(part.type):
            fields_ = {field.name: values for field, values in zip(part.type, part.flatten(), strict=True)}
            part, data = fields_.get("path"), fields_.get("bytes")
            if data is not None and not types.is_null(data.type):
                here = compute.greater(compute.binary_length(data), 0).to_pylist()
        elif types.is_dictionary(part.type):
            part = part.cast(part.type.value_type)
        if part is not None and (types.is_string(part.type) or types.is_large_string(part.type)):
            yield from (None if inside else cell for inside, cell in zip(here, part.to_pylist(), strict=True))
        else:
            yield from [None] * len(here)


def file_size(path: Path) -> int:
    """In bytes; -1 where there is no such file."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a text with a zero byte in it
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1


def _whole(table: Table, name: str) -> str:
    digest = blake2b(digest_size=16)
    try:
        with open_regular(local(table.root / name, table.hosts)) as file:
            while data := file.read(1 << 20):
                digest.update(data)
    except OSError:  # told when the series are read
        return ""
    return digest.hexdigest()


def _shards(table: ShardedTable) -> list[list[Any]]:
    found = []
    for shard in table.shards:
        path, root = shard.path, table.root
        cached = isinstance(path, Path) and isinstance(root, Address)  # by a name of the cache's
        name = Address.of(table.source).name if cached else _name(path, root)
        found.append([name, *_shard(path, table.hosts)])
    return found


def _shard(path: Root, hosts: tuple[str, ...] = ()) -> list[Any]:
    """A shard's size, and a digest of its ends."""
    if isinstance(path, Address) and path.is_web:
        path = local(path, hosts)
    if not isinstance(path, Path):
        size, ends = size_and_ends(path, _SHARD_END)
        return [size, _hex(ends)]
    return [file_size(path), _hex(file_ends(path, _SHARD_END))]


def file_ends(path: Path, count: int) -> bytes:
    """The first and last bytes of a file; none of one that cannot be read."""
    try:
        with open_regular(path) as file:
            start = file.read(count)
            file.seek(max(0, os.fstat(file.fileno()).st_size - count))
            return start + file.read(count)
    except (OSError, ValueError):
        return b""


def _name(path: Root, root: Root) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name  # type: ignore[arg-type]
