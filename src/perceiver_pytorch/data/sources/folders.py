"""A folder of files as a table: `class/name.jpg`, or `train/class/name.jpg`."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from perceiver_pytorch.data.errors import DataError, need
from perceiver_pytorch.data.remote.addresses import Root
from perceiver_pytorch.data.sniff import sniff_path
from perceiver_pytorch.data.sources.base import TABLES, Place, ReadOptions, Source, table_suffix
from perceiver_pytorch.data.splits import SPLIT_NAMES
from perceiver_pytorch.data.table import Table

_MEDIA = ("image", "audio", "video", "array")
LABEL = "label"


class MediaFolder(Source):
    """A folder of media files, `class/name.jpg` or `train/class/name.jpg`, without a table in it."""

    def claims(self, place: Place) -> bool:
        if not place.path.is_dir() or any(table_suffix(path) in TABLES for path in place.path.iterdir()):
            return False
        return any(sniff_path(path, query=False) in _MEDIA for path in _files(place.root))

    def load(self, place: Place, options: ReadOptions) -> Table:
        return folder_table(place.name, place.root, _files(place.root))


def folder_table(source: str, root: Root, files: Iterable[str]) -> Table:
    """A row for every file, with its path in a column named by what it is.

    Files that differ by their suffix alone and are of different kinds (`a/1.jpg`, `a/1.wav`) share a row. The folder
    that a file lies in, the topmost but for train, val and test, is its `label`; a topmost one of these its `split`.

    Args:
        source: what was asked for.
        root: the folder.
        files: their paths, relative to it.
    """
    kinds: dict[str, str] = {}
    others: Counter[str] = Counter()
    for path in files:
        kind = sniff_path(path, query=False)
        if kind in _MEDIA:
            kinds[path] = str(kind)
        else:
            others[Path(path).suffix.lower() or "no suffix"] += 1
    rows = list(_rows(kinds).values())
    parts = [Path(next(iter(row.values()))).parts[:-1] for row in rows]
    split = all(part and part[0].lower() in SPLIT_NAMES for part in parts)
    labels = [part[split] if len(part) > split else None for part in parts]
    columns: dict[str, list[str | None]] = {
        kind: [row.get(kind) for row in rows] for kind in _MEDIA if any(kind in row for row in rows)
    }
    if any(labels):
        columns[LABEL] = labels
    if split:
        columns["split"] = [SPLIT_NAMES[part[0].lower()] for part in parts]
    left = ", ".join(f"{count} of {suffix}" for suffix, count in others.most_common(5))
    notes = (f"{source}: files that are no image, sound, video or array are left out ({left})",) if others else ()
    return Table(source, root, need("pyarrow", "read tables").table(columns), notes)


def _files(root: Path) -> Iterator[str]:
    """Paths of all files below `root`, relative to it, in order; hidden ones are left out."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error

    for folder, folders, files in os.walk(root, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield os.path.relpath(os.path.join(folder, name), root)


def _rows(kinds: dict[str, str]) -> dict[str, dict[str, str]]:
    """Files by what they share but for the suffix; each by itself where two of a kind would share a row."""
    together = Counter((os.path.splitext(path)[0], kind) for path, kind in kinds.items())
    rows: dict[str, dict[str, str]] = {}
    for path, kind in kinds.items():
        stem = os.path.splitext(path)[0]
        key = stem if together[stem, kind] == 1 else path
        rows.setdefault(key, {})[kind] = path
    return rows
