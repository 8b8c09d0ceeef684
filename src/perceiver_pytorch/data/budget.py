"""How much memory a table may take: counted before it is taken."""

from dataclasses import dataclass

from perceiver_pytorch._memory import free_memory
from perceiver_pytorch.data.errors import DataError

_SHARE = 4  # of the free memory a table takes one part: text and rows are there together for a while, and the model
ON_DISK = "leave its rows on the disk with --stream"
AS_SHARDS = "write it as Parquet files: with --stream, their rows stay on the disk"


@dataclass(frozen=True)
class Budget:
    """Memory that a table may take.

    Attributes:
        limit: bytes.
        given: whether somebody has said so.
    """

    limit: int
    given: bool

    @classmethod
    def of(cls, megabytes: int | None) -> "Budget":
        """What was asked for; None: a quarter of the free memory."""
        return cls(free_memory() // _SHARE, False) if megabytes is None else cls(megabytes << 20, True)

    def check(self, path: object, size: int, remedy: str = AS_SHARDS) -> None:
        """Raises a `DataError` if rows of `size` bytes are too many, or a part of them already is.

        Args:
            path: where they are read from.
            size: bytes in memory, as far as they are counted.
            remedy: what helps besides more memory.
        """
        if size > self.limit:
            why = "as --table-mb (data.table_mb) says" if self.given else "a quarter of the memory that is free"
            raise DataError(
                f"{path}: takes at least {_megabytes(size)} MB of memory, and a table may take "
                f"{_megabytes(self.limit)} MB, {why}. Give a larger --table-mb, or {remedy}"
            )


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):,.0f}" if size >= 10 << 20 else f"{size / (1 << 20):,.3g}"
