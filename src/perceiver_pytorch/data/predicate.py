"""Which rows of a table to read: comparisons of columns with values, in a small language of their own.

    age >= 18 and country in ('DE', 'FR') and not (note is null)

A predicate becomes an expression of Arrow's, so Parquet files skip the row groups that cannot have such rows.
"""

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from perceiver_pytorch.data.errors import DataError, listed, near_column, need

if TYPE_CHECKING:
    import pyarrow

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^']|'')*') |
    (?P<quoted>"(?:[^"]|"")*"|`[^`]*`) |
    (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.])) |
    (?P<sign><=|>=|!=|<>|==|=|<|>|\(|\)|,) |
    (?P<word>[^\W\d][\w.]*)
    )""",
    re.VERBOSE,
)
_OTHER_SIGNS = {"=": "==", "<>": "!="}
_COMPARISONS: dict[str, Any] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPPOSITES = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_WORDS = frozenset({"and", "or", "not", "in", "is", "null", "true", "false"})
_DEEPEST = 50  # parentheses in one another
_MOST = 300  # comparisons: Arrow nests them in one another, and a few thousand overflow the stack
_EXAMPLE = "write it as: age >= 18 and country in ('DE', 'FR'), with texts in single quotes"


@dataclass(frozen=True)
class Predicate:
    """A condition on the cells of a row. A row whose condition is unknown, since a cell is missing, is not read.

    Attributes:
        text: as it was written.
        columns: that it speaks of.
        tree: what was understood: tuples of an operator and what it is about.
    """

    text: str
    columns: tuple[str, ...] = field(compare=False)
    tree: Any = field(compare=False, repr=False)

    @classmethod
    def of(cls, text: str) -> "Predicate":
        """The condition that a text writes out.

        Raises:
            ValueError: it is none; the message says where.
        """
        reader = _Reader(text)
        tree = reader.either(0)
        reader.end()
        return cls(text, tuple(dict.fromkeys(reader.columns)), tree)

    def expression(self, schema: "pyarrow.Schema", source: str) -> Any:
        """It as an expression of Arrow's, for a table of some columns.

        Raises:
            DataError: the table lacks a column, or has one that cannot be compared with such a value.
        """
        for name in self.columns:
            if name not in schema.names:
                raise DataError(
                    f"{source}: no column {name!r} for --where{near_column(name, schema.names)}; its columns are "
                    f"{listed(schema.names)}",
                    column=name,
                )
        return _expression(self.tree, schema, source)

    def rows(self, table: "pyarrow.Table", source: str) -> "pyarrow.Table":
        """The rows of a table that it holds for."""
        arrow, expression = need("pyarrow", "read tables"), self.expression(table.schema, source)
        try:
            return table.filter(expression)
        except arrow.ArrowException as error:
            raise DataError(f"{source}: --where {self.text!r} cannot be computed ({error})") from error

    def holds_nowhere(self, source: str) -> DataError:
        """What to raise where it holds for no row."""
        return DataError(f"{source}: has no row for which --where {self.text!r} holds")


class _Reader:
    """The words of a condition, one after the other."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.columns: list[str] = []
        self._words: list[tuple[str, str, int]] = []
        place = 0
        while place < len(text.rstrip()):
            match = _TOKEN.match(text, place)
            if match is None:
                raise self._error(place)
            self._words.append((str(match.lastgroup), match[str(match.lastgroup)], match.start(str(match.lastgroup))))
            place = match.end()
        self._next = 0

    def either(self, depth: int) -> Any:
        """Conditions with ``or`` between them."""
        if depth > _DEEPEST:
            raise ValueError(f"where has more than {_DEEPEST} parentheses in one another")
        found = [self._both(depth)]
        while self._take("or"):
            found.append(self._both(depth))
        return found[0] if len(found) == 1 else ("or", found)

    def end(self) -> None:
        """Raises a `ValueError` if there is more."""
        if self._next < len(self._words):
            raise self._error(self._words[self._next][2])

    def _both(self, depth: int) -> Any:
        found = [self._one(depth)]
        while self._take("and"):
            found.append(self._one(depth))
        return found[0] if len(found) == 1 else ("and", found)

    def _one(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError(f"where has more than {_DEEPEST} parentheses in one another")
        if self._take("not"):
            return ("not", self._one(depth + 1))
        if self._take("("):
            inner = self.either(depth + 1)
            self._need(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Any:
        column = self._column()
        if self._take("is"):
            found = ("null", column, self._take("not"))
            self._need("null")
            return found
        refused = self._take("not")
        if self._take("in"):
            self._need("(")
            values = [self._value()]
            while self._take(","):
                values.append(self._value())
            self._need(")")
            return ("not", ("in", column, values)) if refused else ("in", column, values)
        kind, word, place = self._word()
        sign = _OTHER_SIGNS.get(word, word)
        if refused or kind != "sign" or sign not in _COMPARISONS:
            raise self._error(place)
        self._next += 1
        return (sign, column, self._value())

    def _column(self) -> str:
        kind, word, place = self._word()
        if kind == "quoted":
            name = word[1:-1].replace('""', '"')
        elif kind == "word" and word.lower() not in _WORDS:
            name = word
        else:
            raise self._error(place)
        self._next += 1
        self.columns.append(name)
        if len(self.columns) > _MOST:
            raise ValueError(f"where has more than {_MOST} comparisons; of one column with many values, write: in (..)")
        return name

    def _value(self) -> Any:
        kind, word, place = self._word()
        self._next += 1
        if kind == "text":
            return word[1:-1].replace("''", "'")
        if kind == "number":
            return float(word) if re.search(r"[.eE]", word) else int(word)
        if kind == "word" and word.lower() in ("true", "false"):
            return word.lower() == "true"
        raise self._error(place)

    def _word(self) -> tuple[str, str, int]:
        return self._words[self._next] if self._next < len(self._words) else ("end", "", len(self.text))

    def _take(self, word: str) -> bool:
        kind, found, _ = self._word()
        taken = kind in ("word", "sign") and found.lower() == word
        self._next += int(taken)
        return taken

    def _need(self, word: str) -> None:
        if not self._take(word):
            raise self._error(self._word()[2])

    def _error(self, place: int) -> ValueError:
        rest = self.text[place : place + 40].strip()
        where = f"is not understood from {rest!r}" if rest else "ends too early"
        return ValueError(f"where {self.text[:200]!r} {where}; {_EXAMPLE}")


def _expression(tree: Any, schema: "pyarrow.Schema", source: str, negated: bool = False) -> Any:
    """A tree as an expression of Arrow's, or its negation.

    Negations are taken down to comparisons, each of which holds for no cell that is missing. Arrow's own would hold for
    NaN, and would keep it from skipping row groups.
    """
    compute = need("pyarrow.compute", "read tables")
    sign = tree[0]
    if sign == "not":
        return _expression(tree[1], schema, source, not negated)
    if sign in ("and", "or"):
        parts: Sequence[Any] = [_expression(part, schema, source, negated) for part in tree[1]]
        whole = parts[0]
        for part in parts[1:]:
            whole = whole & part if (sign == "and") != negated else whole | part
        return whole
    column = compute.field(tree[1])
    missing = column.is_null(nan_is_null=True)
    if sign == "null":
        return ~missing if tree[2] != negated else missing
    type_ = schema.field(tree[1]).type
    if sign == "in":
        found = _one_of(column, [_scalar(value, type_, tree[1], source) for value in tree[2]], type_)
        return ~found & ~missing if negated else found
    sign = _OPPOSITES[sign] if negated else sign
    found = _COMPARISONS[sign](column, compute.scalar(_scalar(tree[2], type_, tree[1], source)))
    return found & ~missing if sign == "!=" else found


def _one_of(column: Any, scalars: Sequence[Any], type_: "pyarrow.DataType") -> Any:
    """Whether a column holds one of some values, as if it was compared with each."""
    arrow, types = need("pyarrow", "read tables"), need("pyarrow.types", "read tables")
    type_ = type_.value_type if types.is_dictionary(type_) else type_
    values = [scalar.as_py() for scalar in scalars]
    if types.is_temporal(type_):  # Python's have no nanoseconds
        return column.isin(arrow.concat_arrays([arrow.array([scalar], type_) for scalar in scalars]))
    if types.is_floating(type_) and type_ != arrow.float64():
        column, type_ = column.cast(arrow.float64()), arrow.float64()
    if types.is_integer(type_):  # others are equal to none
        bits = type_.bit_width - types.is_signed_integer(type_)
        least = -(1 << bits) if types.is_signed_integer(type_) else 0
        values = [int(value) for value in values if least <= value < 1 << bits and value == int(value)]
    elif types.is_decimal(type_):
        values = [scalar.as_py() for scalar in scalars if scalar.type == type_]
    return column.isin(arrow.array(values, type_))


def _scalar(value: Any, type_: "pyarrow.DataType", column: str, source: str) -> Any:
    """A value of a column's type."""
    arrow, types = need("pyarrow", "read tables"), need("pyarrow.types", "read tables")
    if types.is_dictionary(type_):
        type_ = type_.value_type
    numeric = types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_)
    fits = {
        bool: types.is_boolean(type_),
        int: numeric,
        float: numeric,
        str: types.is_string(type_) or types.is_large_string(type_) or types.is_temporal(type_),
    }
    try:
        if not fits[type(value)]:
            raise ValueError
        if types.is_decimal(type_):
            return _decimal(Decimal(str(value)), type_)
        if numeric:  # Arrow compares whole numbers with others, but of 2^63 and more
            if types.is_floating(type_):
                value = float(value)
            wide = type_ == arrow.uint64() and isinstance(value, int) and value >= 0
            return arrow.scalar(value, type_ if wide else None)
        return arrow.scalar(value).cast(type_)
    except (arrow.ArrowException, ValueError, OverflowError) as error:
        hint = "; texts stand in single quotes" if fits[str] and not isinstance(value, str) else ""
        raise DataError(
            f"{source}: --where compares column {column!r}, which holds {type_}, with {value!r}{hint}", column=column
        ) from error


def _decimal(value: Decimal, type_: "pyarrow.DataType") -> Any:
    """A number of a column's type, or of its own where that has too few digits for it."""
    arrow = need("pyarrow", "read tables")
    try:
        return arrow.scalar(value, type_)
    except arrow.ArrowInvalid:
        return arrow.scalar(value)
