"""Where built-in sets are kept, and how they are written."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from perceiver_pytorch._checks import did_you_mean
from perceiver_pytorch.data.builtin.digits import digits_table
from perceiver_pytorch.data.builtin.easy_vqa import easy_vqa_table
from perceiver_pytorch.data.builtin.shapes import shapes_table
from perceiver_pytorch.data.errors import DataError, need
from perceiver_pytorch.data.remote.cache import cache_folder

if TYPE_CHECKING:
    import pyarrow

# Name: (version, builder). The version is part of the file's name: count it up with every change of the content.
_SETS: "dict[str, tuple[int, Callable[[], pyarrow.Table]]]" = {
    "digits": (1, digits_table),
    "easy-vqa": (1, easy_vqa_table),
    "shapes": (1, shapes_table),
}
_DICTIONARY_BYTES = 1 << 27  # Parquet gives up sharing equal cells beyond this; easy-vqa's images need some megabytes


def builtin_names() -> list[str]:
    """Names of the built-in sets."""
    return list(_SETS)


def builtin_table(name: str) -> Path:
    """The Parquet file of a built-in set, built if it is not in the cache yet.

    The cache is the folder `$PERCEIVER_CACHE`, by default `~/.cache/perceiver_pytorch` on Linux. The bytes depend on
    the set's version and the installed libraries only.

    Raises:
        DataError: no such set.
        ImportError: a library that it is built from is missing; the message names the extra.
    """
    if name not in _SETS:
        names = builtin_names()
        raise DataError(f"no built-in set {name!r}{did_you_mean(name, names)}; there are {', '.join(names)}")
    version, build = _SETS[name]
    path = cache_folder() / f"{name}-{version}.parquet"
    if not path.is_file():
        _write(build(), path)
    return path


def _write(table: "pyarrow.Table", path: Path) -> None:
    parquet = need("pyarrow.parquet", "write tables")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Another process may build the same set: each has its own temporary file, and the last one wins with equal bytes.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        parquet.write_table(table, temporary, compression="zstd", dictionary_pagesize_limit=_DICTIONARY_BYTES)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
