"""A request's body as rows: JSON with rows, or a form with one row and its uploads."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from perceiver_pytorch._checks import did_you_mean
from perceiver_pytorch.data.errors import listed
from perceiver_pytorch.data.fields import Field
from perceiver_pytorch.serve.forms import CellLimits, read_cell
from perceiver_pytorch.serve.refusals import RefusedError, bad_cell

WITHOUT = "without"
_SHAPE = '{"rows": [{"COLUMN": VALUE, ..}, ..], "without": ["MODALITY", ..]}'


@dataclass(frozen=True, eq=False)
class Asked:
    """What a request asks about.

    Attributes:
        rows: {column: cell} of each; every column that the model reads is there, None where it is missing.
        without: modalities to leave out.
    """

    rows: list[dict[str, Any]]
    without: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads what is sent to one model.

    Args:
        fields: what can be given for each column.
        modalities: names of what can be left out.
        limits: of cells.
        max_rows: of a request.
        ignored: columns that may be there and are not read, such as targets.
    """

    fields: Mapping[str, Field]
    modalities: tuple[str, ...]
    limits: CellLimits
    max_rows: int
    ignored: frozenset[str] = field(default_factory=frozenset)

    def from_json(self, body: bytes) -> Asked:
        """What a body of JSON asks.

        Raises:
            RefusedError: 400 if it is no JSON of that form, 422 for a row or a cell that cannot be read.
        """
        given = _parsed(body)
        if not isinstance(given, dict) or not isinstance(given.get("rows"), list):
            raise RefusedError(400, f"the body must be JSON of the form {_SHAPE}")
        unknown = sorted(given.keys() - {"rows", WITHOUT})
        if unknown:
            raise RefusedError(400, f"the body has {listed(unknown, 5)} besides rows and without; its form is {_SHAPE}")
        if not 1 <= len(given["rows"]) <= self.max_rows:
            count = len(given["rows"])
            raise RefusedError(
                422, f"rows must be 1 to {self.max_rows} rows, got {count}; send them in several requests"
            )
        return self._asked(given["rows"], given.get(WITHOUT) or [])

    def from_form(self, parts: list[tuple[str, str | bytes]]) -> Asked:
        """What the parts of a form ask: one row.

        Args:
            parts: name and content of each, bytes of an uploaded file.

        Raises:
            RefusedError: 422 for a part that cannot be read, or that comes twice.
        """
        without = [content for name, content in parts if name == WITHOUT and name not in self.fields]
        row: dict[str, Any] = {}
        for name, content in parts:
            if name in row:
                raise bad_cell(0, name, "has two parts; a form is one row, several rows are sent as JSON")
            if name != WITHOUT or name in self.fields:
                row[name] = content
        if not row:
            raise RefusedError(
                422, f"the form has no part that is a column; the columns are {listed(list(self.fields))}"
            )
        return self._asked([row], without)

    def _asked(self, rows: list[Any], without: Any) -> Asked:
        if not isinstance(without, list) or not all(isinstance(name, str) for name in without):
            raise RefusedError(400, f"without must be a list of modalities: {listed(list(self.modalities))}")
        for name in without:
            if name not in self.modalities:
                near = did_you_mean(name, self.modalities)
                raise RefusedError(
                    422, f"there is no modality {name[:80]!r}{near}; there are {listed(list(self.modalities))}"
                )
        return Asked([self._row(number, row) for number, row in enumerate(rows)], tuple(without))

    def _row(self, number: int, row: Any) -> dict[str, Any]:
        if not isinstance(row, dict):
            raise RefusedError(422, f"row {number}: must be an object of columns, got {str(row)[:40]!r}", row=number)
        for name in row:
            if name not in self.fields and name not in self.ignored:
                near = did_you_mean(name, list(self.fields))
                known = listed(list(self.fields))
                raise bad_cell(number, name[:80], f"is not read by the model{near}; it reads {known}")
        return {name: self._cell(number, one, row.get(name)) for name, one in self.fields.items()}

    def _cell(self, number: int, field: Field, given: Any) -> Any:
        try:
            return read_cell(field, given, self.limits)
        except ValueError as error:
            raise bad_cell(number, field.column, str(error)) from None


def _parsed(body: bytes) -> Any:
    """JSON without NaN and infinities, which it does not have."""
    try:
        return json.loads(body, parse_constant=_no_constant)
    except RecursionError:
        raise RefusedError(400, "the body is JSON that is nested too deeply") from None
    except ValueError as error:
        raise RefusedError(400, f"the body is no JSON ({str(error)[:200]}); its form is {_SHAPE}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON; null is a missing one")
