"""What a server answers where it does not do what was asked: a status, and a sentence that says why."""

from collections.abc import Mapping
from typing import Any


class RefusedError(Exception):
    """A request that is not answered.

    Args:
        status: of the HTTP answer, 400 to 599.
        message: what is wrong, what was expected, and what helps.
        row: the row that is to blame, from 0.
        column: the column that is to blame.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        row: int | None = None,
        column: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.row = row
        self.column = column
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """JSON values of the answer."""
        place = {"row": self.row, "column": self.column}
        return {"error": self.message, **{name: value for name, value in place.items() if value is not None}}


def bad_cell(row: int, column: str, reason: str) -> RefusedError:
    """The refusal of a cell."""
    return RefusedError(422, f"row {row}, column {column!r}: {reason}", row=row, column=column)


def come_back(reason: str, seconds: int = 1) -> RefusedError:
    """The refusal of a request that may be sent again."""
    return RefusedError(503, f"{reason}; try again in a moment", headers={"Retry-After": str(seconds)})
