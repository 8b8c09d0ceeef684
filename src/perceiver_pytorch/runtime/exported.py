"""What every folder that `perceiver export` wrote has: a graph, and a JSON file that tells what it is."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from perceiver_pytorch._saved_files import MissingFileError, fitting, read_json
from perceiver_pytorch.runtime.engines import GRAPHS, Engine, engine_for

E = TypeVar("E", bound="Exported")

WRITTEN = "what `perceiver export` wrote"
VERSION = 1


@dataclass(frozen=True)
class Exported:
    """A folder with a graph.

    Attributes:
        path: its folder.
        facts_name: the JSON file that tells what it is.
        source: what it was exported from.
    """

    path: Path
    facts_name: ClassVar[str]
    source: ClassVar[str]

    @classmethod
    def open(cls: type[E], path: str | os.PathLike[str]) -> E:
        """What ``perceiver export`` wrote into a folder.

        Raises:
            MissingFileError: if it has written nothing of this kind there.
            DamagedFileError: if its files are damaged.
        """
        found = cls(Path(path))
        if not (found.path / cls.facts_name).is_file():
            raise MissingFileError(
                f"{path} has no {cls.facts_name}: it is no folder that `perceiver export` wrote of a {cls.source}"
            )
        found.check()
        return found

    def __repr__(self) -> str:
        return f"{type(self).__name__}.open({str(self.path)!r})"

    def check(self) -> None:
        """Reads what may be damaged."""
        _ = self.facts

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the JSON file says: format, opset, precision, inputs, outputs, what was measured, and more."""
        facts = read_json(self.path / self.facts_name)
        with fitting(self.path / self.facts_name, WRITTEN):
            if facts.get("version") != VERSION:
                raise ValueError(
                    f"version must be {VERSION}, got {facts.get('version')!r}: export the {self.source} again"
                )
            if facts["format"] not in GRAPHS:
                raise ValueError(f"format must be one of {', '.join(GRAPHS)}, got {facts['format']!r}")
        return facts

    @cached_property
    def engine(self) -> Engine:
        """What computes the graph."""
        return engine_for(self.path / GRAPHS[self.facts["format"]], self.facts["format"])
