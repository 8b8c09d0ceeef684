"""What can be given for a column, for forms that people fill in and for programs that send rows."""

from dataclasses import dataclass
from typing import Any

from perceiver_pytorch import _checks

FILES = ("image", "audio", "video")
FORMS = (*FILES, "array", "text", "number", "choice", "date", "names")


@dataclass(frozen=True)
class Field:
    """One column as it is filled in.

    Attributes:
        column: its name.
        form: `image`, `audio` and `video` are files; `array` is numbers in lists, or a NumPy file; `text`; `number`;
            `choice` is one of some values; `date` is written as ISO 8601 does; `names` are several of some values.
        example: such a value, as in JSON; None of files.
        choices: the values that the train rows had; others may be given, too.
        low, high: the least and the greatest number of the train rows.
    """

    column: str
    form: str = "text"
    example: Any = None
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        _checks.choice("form", self.form, FORMS)

    @property
    def is_file(self) -> bool:
        """Whether nothing but a file can be given."""
        return self.form in FILES
