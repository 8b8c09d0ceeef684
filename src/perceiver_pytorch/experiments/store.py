"""Cells and their results in an SQLite database, by SQLAlchemy: what is committed outlives whatever kills a process."""

import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from perceiver_pytorch._saved_files import DamagedFileError
from perceiver_pytorch.data.errors import need
from perceiver_pytorch.training.run.lock import locked

FILE = "experiment.sqlite"
WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
_PATIENCE = 60.0  # seconds that a process waits for another's write


@dataclass(frozen=True)
class Record:
    """A cell in the store.

    Attributes:
        set, levels, seed: what it is.
        key: the hash of what determines it; cells that come to the same have one result.
        state: waiting, running, done or failed.
        owner: who runs it, or has run it.
        took: seconds from its beginning to its end; None until then.
        result: of `train_cell`; None until it is done.
        error: of a failed cell.
    """

    set: str
    levels: dict[str, str]
    seed: int
    key: str
    state: str
    owner: str | None
    took: float | None
    result: dict[str, Any] | None
    error: str | None


class Store:
    """The database of an experiment's folder.

    Args:
        folder: of the experiment; it is made if it is not there.

    Raises:
        ImportError: without SQLAlchemy; the message names the extra.
        DamagedFileError: if the file is no such database.
    """

    def __init__(self, folder: Path) -> None:
        self.sql = need("sqlalchemy", "keep the cells of an experiment", extra="experiments")
        self.folder, self.file = folder, folder / FILE
        folder.mkdir(parents=True, exist_ok=True)
        self.engine = self.sql.create_engine(f"sqlite:///{self.file}", connect_args={"timeout": _PATIENCE})
        self.cells, self.plan, self.facts_ = _tables(self.sql)
        try:
            with self.engine.begin() as connection:
                for table in self.cells.metadata.sorted_tables:  # create_all asks first, and another may be faster
                    connection.execute(self.sql.schema.CreateTable(table, if_not_exists=True))
        except self.sql.exc.DatabaseError as error:
            raise DamagedFileError(f"{self.file} is no database of an experiment: {error.orig}") from error

    def close(self) -> None:
        """Closes the file; a forked process must not use a connection of its parent."""
        self.engine.dispose()

    def want(self, cells: Iterable[tuple[str, str, Mapping[str, str], int]], *, only: bool = False) -> None:
        """Adds cells to the experiment: (key, set, levels, seed) each. Results that there are count at once.

        Args:
            only: the experiment has no others any more; their results are kept.
        """
        from sqlalchemy.dialects.sqlite import insert

        rows = [
            {"key": key, "set": name, "levels": json.dumps(dict(levels)), "seed": seed}
            for key, name, levels, seed in cells
        ]
        results = [{"key": row["key"], "state": WAITING} for row in rows]
        with self.engine.begin() as connection:
            if only:
                connection.execute(self.plan.delete())
            if rows:
                connection.execute(insert(self.cells).on_conflict_do_nothing(), results)
                connection.execute(insert(self.plan).on_conflict_do_nothing(), rows)

    def claim(self, keys: Sequence[str], owner: str) -> str | None:
        """The first of the cells that waits, which is then this owner's alone; None if none does."""
        for key in keys:
            waiting = (self.cells.c.key == key) & (self.cells.c.state == WAITING)
            taken = {"state": RUNNING, "owner": owner, "began": time.time(), "error": None}
            if self._update(waiting, taken) == 1:
                return key
        return None

    def finish(self, key: str, owner: str, result: Mapping[str, Any]) -> bool:
        """Keeps a result; False, and nothing kept, if the cell is no longer this owner's."""
        return self._end(key, owner, {"state": DONE, "result": json.dumps(result)})

    def fail(self, key: str, owner: str, error: str) -> bool:
        """Keeps an error in place of a result."""
        return self._end(key, owner, {"state": FAILED, "error": error})

    def release(self, owner: str) -> int:
        """Lets others run what this owner has not finished; gives the number of cells."""
        mine = (self.cells.c.owner == owner) & (self.cells.c.state == RUNNING)
        return self._update(mine, {"state": WAITING, "owner": None})

    def release_lost(self) -> int:
        """Does so for owners that are gone, however they ended; gives the number of cells."""
        owners = {record.owner for record in self.records() if record.state == RUNNING and record.owner}
        return sum(self.release(owner) for owner in owners if not self.is_alive(owner))

    def retry_failed(self) -> int:
        """Lets failed cells run again; gives their number."""
        return self._update(self.cells.c.state == FAILED, {"state": WAITING, "error": None})

    def records(self) -> list[Record]:
        """The cells of the experiment, in the order in which they were added."""
        query = self.sql.select(self.plan, self.cells).join(self.cells, self.plan.c.key == self.cells.c.key)
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(self.plan.c.number)).mappings().all()
        return [_record(row) for row in rows]

    def set_facts(self, facts: Mapping[str, Any]) -> None:
        """Keeps JSON values by name, in place of those of the same names."""
        with self.engine.begin() as connection:
            for name, value in facts.items():
                connection.execute(self.facts_.delete().where(self.facts_.c.name == name))
                connection.execute(self.facts_.insert().values(name=name, value=json.dumps(value)))

    def facts(self) -> dict[str, Any]:
        """What `set_facts` kept."""
        with self.engine.connect() as connection:
            rows = connection.execute(self.sql.select(self.facts_)).all()
        return {name: json.loads(value) for name, value in rows}

    @contextmanager
    def owning(self) -> Iterator[str]:
        """The name of an owner that is alive within the block; what it leaves unfinished waits again afterwards.

        A lock of the system's tells that it is alive, and ends with the process however that ends.
        """
        owner = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        path = self._lock(owner)
        path.parent.mkdir(exist_ok=True)
        with locked(path):
            try:
                yield owner
            finally:
                self.release(owner)

    def is_alive(self, owner: str) -> bool:
        """Whether that owner's block still runs."""
        path = self._lock(owner)
        if not path.is_file():
            return False
        try:
            with locked(path):
                return False
        except ValueError:
            return True

    def _lock(self, owner: str) -> Path:
        return self.folder / "owners" / f"{owner}.lock"

    def _end(self, key: str, owner: str, values: Mapping[str, Any]) -> bool:
        cells = self.cells.c
        mine = (cells.key == key) & (cells.owner == owner) & (cells.state == RUNNING)
        return self._update(mine, {**values, "ended": time.time()}) == 1

    def _update(self, which: Any, values: Mapping[str, Any]) -> int:
        with self.engine.begin() as connection:
            return connection.execute(self.cells.update().where(which).values(**values)).rowcount


def _tables(sql: Any) -> tuple[Any, Any, Any]:
    """Results by key; which cells the experiment has; facts by name."""
    tables = sql.MetaData()
    cells = sql.Table(
        "cells",
        tables,
        sql.Column("key", sql.String, primary_key=True),
        sql.Column("state", sql.String, nullable=False),
        sql.Column("owner", sql.String),
        sql.Column("began", sql.Float),
        sql.Column("ended", sql.Float),
        sql.Column("result", sql.Text),
        sql.Column("error", sql.Text),
    )
    plan = sql.Table(
        "plan",
        tables,
        sql.Column("number", sql.Integer, primary_key=True),
        sql.Column("set", sql.String, nullable=False),
        sql.Column("levels", sql.Text, nullable=False),
        sql.Column("seed", sql.Integer, nullable=False),
        sql.Column("key", sql.String, sql.ForeignKey("cells.key"), nullable=False),
        sql.UniqueConstraint("set", "levels", "seed"),
    )
    facts = sql.Table(
        "facts",
        tables,
        sql.Column("name", sql.String, primary_key=True),
        sql.Column("value", sql.Text, nullable=False),
    )
    return cells, plan, facts


def _record(row: Mapping[str, Any]) -> Record:
    ended, result = row["state"] in (DONE, FAILED), row["result"]
    return Record(
        **{name: row[name] for name in ("set", "seed", "key", "state", "owner", "error")},
        levels=json.loads(row["levels"]),
        took=row["ended"] - row["began"] if ended else None,
        result=None if result is None else json.loads(result),
    )


def open_store(folder: Path) -> Store:
    """The store of an experiment that has begun.

    Raises:
        FileNotFoundError: if there is none.
    """
    if not (folder / FILE).is_file():
        raise FileNotFoundError(f"{folder} is no folder of an experiment: it has no {FILE}")
    return Store(folder)
