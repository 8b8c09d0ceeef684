"""Rows that the page offers to try: of the built-in set that the model was trained on, or of a table that is named."""

import base64
import datetime
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perceiver_pytorch.data.cells import Where, media_source
from perceiver_pytorch.data.fields import Field
from perceiver_pytorch.serve.refusals import RefusedError
from perceiver_pytorch.serve.served import Served, fields_of

MOST = 12
"""Rows that are offered."""


class Examples:
    """Rows of a table, read when the first of them is asked for.

    Args:
        table: what `load_table` takes; None: there are none.
        served: the model that they are for.
    """

    def __init__(self, table: str | None = None, served: Served | None = None) -> None:
        self._table, self._served = table, served
        self._lock = threading.Lock()
        self._rows: list[dict[str, Any]] | None = None if table else []

    def __len__(self) -> int:
        return MOST if self._rows is None else len(self._rows)

    def load(self) -> None:
        """Reads the rows, unless they are there."""
        with self._lock:
            if self._rows is None:
                self._rows = self._read()

    def row(self, number: int) -> dict[str, Any]:
        """``row`` as ``/predict`` takes it, and ``truth``, {target: its cell}.

        Raises:
            RefusedError: 404 if there is no such row.
        """
        self.load()
        assert self._rows is not None
        if not 0 <= number < len(self._rows):
            raise RefusedError(404, f"there is no example {number}; there are {len(self._rows)}, counted from 0")
        return self._rows[number]

    def _read(self) -> list[dict[str, Any]]:
        import numpy as np

        from perceiver_pytorch.data.readers import load_table
        from perceiver_pytorch.data.splits import SPLIT_NAMES, split_column

        assert self._table is not None
        assert self._served is not None
        table = load_table(self._table)
        split = split_column(table, None)
        rows = np.arange(len(table))
        if split is not None:
            parts = [SPLIT_NAMES.get(str(part).strip().lower()) for part in table.column(split)]
            test = np.flatnonzero(np.array([part == "test" for part in parts]))
            rows = test if len(test) else rows
        chosen = rows[np.unique(np.linspace(0, len(rows) - 1, MOST).astype(np.int64))]
        fields = {column: field for column, (field, _) in fields_of(self._served).items()}
        targets = [target["name"] for target in self._served.targets]
        names = [name for name in (*fields, *targets) if name in table.column_names]
        found = []
        for number, cells in table.iterate(chosen, names):
            where = Where(table.source, table.root, number, hosts=table.hosts)
            row = {name: _sent(cells[name], field, where) for name, field in fields.items() if name in cells}
            truth = {name: _json(cells[name]) for name in targets if name in cells}
            found.append({"row": row, "truth": truth})
        return found


def examples_for(served: Any, asked: str | None) -> Examples:
    """The rows that are offered.

    Args:
        served: the model.
        asked: a table that was named; None: the built-in set that the model was trained on, if it was one.

    Raises:
        DataError: for a table that was named and cannot be read.
    """
    from perceiver_pytorch.data.builtin import builtin_names

    table = asked or getattr(served, "trained_on", None)
    if table is None or (asked is None and table not in builtin_names()):
        return Examples()
    examples = Examples(table, served)
    if asked is not None:
        examples.load()  # now: what is wrong with it is told before it is served
    return examples


def _sent(cell: Any, field: Field, where: Where) -> Any:
    """A cell as a request has it: files as data URIs."""
    if not field.is_file:
        return _json(cell)
    source = media_source(cell, field.column, where)
    if source is None:
        return None
    data = source.read_bytes() if isinstance(source, Path) else source
    return f"data:{_media_type(data, field)};base64,{base64.b64encode(data).decode()}"


_TYPES = {
    b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"OggS": "audio/ogg",
    b"fLaC": "audio/flac", b"ID3": "audio/mpeg", b"\x1aE\xdf\xa3": "video/webm",
}  # fmt: skip


def _media_type(data: bytes, field: Field) -> str:
    """What browsers call the type of a file."""
    if data[:4] == b"RIFF":
        return {b"WAVE": "audio/wav", b"WEBP": "image/webp"}.get(data[8:12], "video/x-msvideo")
    if data[4:8] == b"ftyp":
        return f"{'audio' if field.form == 'audio' else 'video'}/mp4"
    found = (name for start, name in _TYPES.items() if data.startswith(start))
    return next(found, {"image": "image/png", "audio": "audio/mpeg", "video": "video/mp4"}[field.form])


def _json(value: Any) -> Any:
    """A cell of a table as a JSON value."""
    if isinstance(value, bytes):
        return None
    if isinstance(value, Mapping):
        return {name: _json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json(part) for part in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, float) and value != value:
        return None
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
