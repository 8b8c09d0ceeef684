"""Find out how the cells of a table are written, and word what is to be known about it."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.errors import need
from perceiver_pytorch.data.label_cells import find_separator
from perceiver_pytorch.data.spelling.column_texts import NEARLY, NUM_NAMED, ColumnTexts, Way
from perceiver_pytorch.data.spelling.date_text import DateText
from perceiver_pytorch.data.spelling.hints import setting_hint
from perceiver_pytorch.data.spelling.number_text import NumberText
from perceiver_pytorch.data.spelling.spellings import MISSING, NOTHING, Spelling, Spellings, is_text
from perceiver_pytorch.data.table import Table
from perceiver_pytorch.data.targets.number import NumberTarget
from perceiver_pytorch.data.values import as_number

_COMPACT = (19000101, 21001231)  # whole numbers between these may be dates
_EXAMPLES = 100  # texts that one is chosen of to show how a column is read
_NUMBER_KINDS: tuple[str | None, ...] = (None, "number")
_DATE_KINDS: tuple[str | None, ...] = (None, "date")


@dataclass(frozen=True)
class Asked:
    """What is asked for.

    Attributes:
        options: a `SpecOptions`.
        kinds: {column: kind}, where one is given.
        targets: {column to predict: its kind, None where none is given}.
        label_separator: what stands between the labels of a text, where it is given.
    """

    options: Any
    kinds: Mapping[str, str] = field(default_factory=dict)
    targets: Mapping[str, str | None] = field(default_factory=dict)
    label_separator: str | None = None

    def may_be(self, name: str, kinds: tuple[str | None, ...]) -> bool:
        """Whether a column may be one of numbers, or of dates; a target that is a date is one of the kind number."""
        return self.targets[name] in _NUMBER_KINDS if name in self.targets else self.kinds.get(name) in kinds


@dataclass(frozen=True)
class Learned:
    """What was found out.

    Attributes:
        spellings: how cells are written.
        said: sentences on how they are read.
        warned: sentences on what may be meant otherwise.
    """

    spellings: Spellings
    said: tuple[str, ...]
    warned: tuple[str, ...]


def learn_spellings(table: Table, asked: Asked, *, split: str | None = None, whole: bool = True) -> Learned:
    """How the cells of a table are written.

    Args:
        table: the table, or some of its rows.
        asked: settings, and kinds that are given.
        split: the split column, which is not looked at.
        whole: whether its rows have the numbers by which people know them.
    """
    return _Learner(table, asked, split, whole).learned()


class _Learner:
    def __init__(self, table: Table, asked: Asked, split: str | None, whole: bool) -> None:
        self.table, self.asked, self.whole = table, asked, whole
        given = asked.options.missing
        self.marks = MISSING if given is None else _plain(given)
        self.columns: dict[str, ColumnTexts] = {}
        for name, cells in zip(table.column_names, table.rows.columns, strict=True):
            if name != split and is_text(cells.type):
                options = asked.options.of(name)
                marks = self.marks if options.missing == given else _plain(options.missing)
                self.columns[name] = ColumnTexts(cells, marks, options)
        self.said: list[str] = []
        self.warned: list[str] = []

    def learned(self) -> Learned:
        numbers, dates = {}, {}
        for name, texts in self.columns.items():
            if Column(self.table, name).identifier:
                continue
            if self.asked.may_be(name, _NUMBER_KINDS):
                numbers[name] = texts.number_ways(self._least(name, "number", "decimal", "thousands"))
                if texts.mixed_units and not numbers[name]:
                    self.warned.append(
                        f"{name}: its cells are amounts with {' and '.join(texts.mixed_units)}, so the column is not "
                        "read as numbers; give each unit a column of its own"
                    )
            if self.asked.may_be(name, _DATE_KINDS) and not numbers.get(name):
                compact = self.asked.kinds.get(name) == "date"
                dates[name] = texts.date_ways(self._least(name, "date", "date_format"), compact=compact)
                if self._own(name).get("date_format") and not dates[name]:
                    self.warned.append(f"{name}: no cell that was looked at is a date of its date_format")
        found = self._numbers({name: ways for name, ways in numbers.items() if ways})
        found |= self._dates({name: ways for name, ways in dates.items() if ways}, found)
        found |= self._compact_dates()
        self._tell_of_marks(read={name for name in self.columns if numbers.get(name) or dates.get(name)})
        spellings = []
        for name in self.table.column_names:
            marks = self.columns[name].marks if name in self.columns else self.marks
            own = None if marks == self.marks else marks
            if name in found or own is not None:
                spellings.append(Spelling(name, own, **found.get(name, {})))
        return Learned(Spellings(self.marks, tuple(spellings)), tuple(self.said), tuple(self.warned))

    def _least(self, name: str, kind: str, *settings: str) -> float:
        """The share of cells that must fit: any where somebody says what the column is, or how it is written."""
        asked = self.asked.targets.get(name) if name in self.asked.targets else self.asked.kinds.get(name)
        return 0.0 if asked == kind or any(map(self._own(name).get, settings)) else NEARLY

    def _own(self, name: str) -> Mapping[str, Any]:
        """The settings of a column alone."""
        return self.asked.options.column_options.get(name) or {}

    # -- numbers

    def _numbers(self, ways: dict[str, dict[str, Way]]) -> dict[str, dict[str, str]]:
        """Each column's way of writing numbers; a comma or a point that may be either is what it is elsewhere."""
        own = {name: _decided(found) for name, found in ways.items()}
        common = self.asked.options.decimal or _most([sign for sign in own.values() if sign]) or self.table.decimal
        found = {}
        for name, by_decimal in ways.items():
            decimal = own[name] or (common if common in by_decimal else next(iter(by_decimal)))
            elsewhere = (sign for other, sign in own.items() if other != name)
            confirmed = decimal in (*elsewhere, self.table.decimal, self.asked.options.of(name).decimal)
            if self._is_number(name, by_decimal[decimal], confirmed):
                text = by_decimal[decimal].text
                found[name] = {"decimal": text.decimal, "thousands": text.thousands, "unit": text.unit}
                others = [way.text for sign, way in by_decimal.items() if sign != decimal and own[name] is None]
                self._say(name, by_decimal[decimal], *others)
        return found

    def _is_number(self, name: str, way: Way, confirmed: bool) -> bool:
        """Whether a column is read as numbers that are written in a way; a warning where only nearly all cells are."""
        texts, predicted = self.columns[name], self.asked.targets.get(name, "an input") is None
        if predicted and (
            self.asked.label_separator or (way.text.decimal == "," and not confirmed and _separator(texts))
        ):
            return False  # several labels in a cell
        if not way.fits.all() and self._tell_of_wrong(name, way):
            return False
        if way.text.as_it_is(texts.different):
            return name in self.table.as_written
        return not predicted or self._is_number_target(name, way)

    def _is_number_target(self, name: str, way: Way) -> bool:
        """Whether a target is one of numbers, and not of few classes that are called so."""
        text = way.text
        read = Spellings(self.marks, (Spelling(name, None, text.decimal, text.thousands, text.unit),))
        cells = read.read(name, self.columns[name].present).drop_null().to_pylist()
        return NumberTarget.recognises(cells, None)

    # -- dates

    def _dates(self, ways: dict[str, list[Way]], numbers: Mapping[str, Any]) -> dict[str, dict[str, str]]:
        """Each column's format of dates; days and months that may be either are in the order of other columns."""
        orders = [_day_first(found[0].text) for found in ways.values() if not _either(found)]
        commas = any(number["decimal"] == "," for number in numbers.values()) or self.table.decimal == ","
        known = _most([order for order in orders if order is not None])
        found = {}
        for name, several in ways.items():
            way, texts = several[0], self.columns[name]
            if _either(several):
                wanted = (commas or way.text.format[2] == ".") if known is None else known
                way = next(one for one in several if _day_first(one.text) == wanted)
                self._warn_of_order(name, way, known is not None)
                if "%y" in way.text.format and known is None:
                    continue
            if not way.fits.all() and self._tell_of_wrong(name, way):
                continue
            if name in self.asked.targets or not way.text.as_it_is(texts.different):
                found[name] = {"date_format": way.text.format}
                self._say(name, way)
        return found

    def _warn_of_order(self, name: str, way: Way, settled: bool) -> None:
        first, other = self.columns[name].different[0].as_py(), way.text.other_order
        if "%y" in way.text.format and not settled:
            self.warned.append(
                f"{name}: cells such as {first!r} may be dates, and are not read as such; "
                f"{setting_hint(name, 'date_format', way.text.format)} or {other} reads them"
            )
            return
        order = "day" if _day_first(way.text) else "month"
        why = "as in other columns" if settled else "which its cells do not settle"
        self.warned.append(
            f"{name}: dates such as {first!r} are read with the {order} first ({way.text}), {why}; "
            f"{setting_hint(name, 'date_format', other.format)} reads them the other way"
        )

    def _compact_dates(self) -> dict[str, dict[str, str]]:
        """Whole numbers such as 20200131: dates where somebody says so."""
        types, compute = need("pyarrow.types", "read tables"), need("pyarrow.compute", "read tables")
        found = {}
        for name, cells in zip(self.table.column_names, self.table.rows.columns, strict=True):
            if not types.is_integer(cells.type):
                continue
            given, kind = self._own(name).get("date_format"), self.asked.kinds.get(name)
            if given is not None or (kind == "date" and self.asked.options.date_format):
                found[name] = {"date_format": given or self.asked.options.date_format}
            elif kind in _DATE_KINDS and name not in self.asked.targets:
                ends = compute.min_max(cells).as_py()
                if ends["min"] is None or not _COMPACT[0] <= ends["min"] < ends["max"] <= _COMPACT[1]:
                    continue
                if not DateText("%Y%m%d").read(cells.unique().drop_null().cast("string"))[1].all():
                    continue
                if kind == "date":
                    found[name] = {"date_format": "%Y%m%d"}
                else:
                    self.warned.append(
                        f"all cells of {name!r} may be dates, such as {ends['min']}, and are read as numbers; "
                        f"{setting_hint(name, 'date_format', '%Y%m%d')} reads dates"
                    )
        return found

    # -- what is told

    def _say(self, name: str, way: Way, *others: NumberText) -> None:
        """How a column is read, by an example that shows it, and what else it may mean."""
        texts = (
            self.columns[name].different[:_EXAMPLES].filter(need("pyarrow", "read tables").array(way.fits[:_EXAMPLES]))
        )
        if not len(texts):
            return
        example = max(range(len(texts)), key=lambda i: way.text.tells(texts[i].as_py()))
        text = texts[example : example + 1]
        shown, read = text[0].as_py(), way.text.shown(text)
        hints = [
            f"; {setting_hint(name, 'decimal', other.decimal)} reads them the other way"
            for other in others
            if other.shown(text) != read
        ]
        self.said.append(f"{name}: {way.text.what} such as {shown!r} are read as {read}{''.join(hints)}")

    def _tell_of_wrong(self, name: str, way: Way) -> bool:
        """Warns of cells that are no numbers or dates in a column of them, which then is not read as one, unless
        somebody says that it is."""
        texts, what = self.columns[name], way.text.what
        wrong = texts.wrong(way)
        if not wrong:
            return False
        kind = self.asked.targets[name] if name in self.asked.targets else self.asked.kinds.get(name)
        row = f"row {texts.row(wrong[0]):,} is" if self.whole else "one is"
        remedy = f"--column {shlex.quote(name)}={what[:-1]} --on-error skip leaves out the rows of the others"
        if name in self.asked.targets:
            remedy = f"--target-kind {shlex.quote(name)}=number --on-error skip leaves out the rows of the others"
        if all(map(_is_plain_number, wrong)) and what == "numbers":
            remedy = "write all of them alike"
        elif len(wrong) <= NUM_NAMED:
            remedy = f"{setting_hint(name, 'missing', [*texts.given_marks, *wrong])} counts them as missing"
        self.warned.append(
            f"{name}: {way.cells:,} of {texts.total:,} cells are {what}; {row} {wrong[0][:40]!r}"
            + (f", so the column is not read as {what}; {remedy}" if kind is None else "")
        )
        return kind is None

    def _tell_of_marks(self, read: set[str]) -> None:
        """Says what counts as missing where it might be a word, and warns of targets that are unknown by it."""
        inputs = []
        for name, texts in self.columns.items():
            marks = texts.given_marks
            if marks and name in self.asked.targets:
                first = f", first in row {min(map(texts.row, marks)):,}" if self.whole else ""
                verb = "means" if len(marks) == 1 else "mean"
                self.warned.append(
                    f"{name}: {_counted(marks)} {verb} missing{first}, so these rows have no target; if it is a "
                    f"class, {setting_hint(name, 'missing', [])} keeps it"
                )
            elif marks and name not in read:
                inputs.append(f"{_counted(marks)} of {name!r}")
            words = texts.counted(NOTHING) if name in self.asked.targets and name not in read else {}
            if words:
                missing = setting_hint(name, "missing", [*marks, *words])
                self.said.append(f"{name}: {_counted(words)} is a class; if it means missing, give {missing}")
        if inputs:
            self.said.append(f"read as missing: {'; '.join(inputs)}; --set data.missing=[] reads them as they are")


def _counted(marks: Mapping[str, int]) -> str:
    return ", ".join(f"{mark!r} in {count:,} cell{'s' * (count != 1)}" for mark, count in marks.items())


def _is_plain_number(text: str) -> bool:
    try:
        return as_number(text) is not None
    except ValueError:
        return False


def _plain(marks: Iterable[str]) -> tuple[str, ...]:
    """Marks in the form in which they are compared; an empty cell is always missing."""
    return tuple(dict.fromkeys(["", *(mark.strip().lower() for mark in marks)]))


def _decided(ways: Mapping[str, Way]) -> str | None:
    """The decimal sign that more cells have than have the other; None where either will do."""
    most = max(way.cells for way in ways.values())
    best = [sign for sign, way in ways.items() if way.cells == most]
    return best[0] if len(best) == 1 else None


def _most(values: list[Any]) -> Any:
    return max(values, key=values.count) if values else None


def _either(ways: list[Way]) -> bool:
    """Whether formats that differ in the order of day and month alone fit a column alike."""
    other = ways[0].text.other_order
    return other is not None and any(way.text == other for way in ways)


def _day_first(date: DateText) -> bool | None:
    return None if date.other_order is None else date.format.startswith("%d")


def _separator(texts: ColumnTexts) -> str | None:
    return find_separator(texts.present.to_pylist())
