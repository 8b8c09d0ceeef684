"""What a server may be told: where it listens, how it batches, and the limits of what it takes."""

from dataclasses import dataclass
from typing import ClassVar

from perceiver_pytorch._settings import Settings, knob

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of this computer that lead nowhere else."""


@dataclass(frozen=True, kw_only=True)
class ServeSettings(Settings):
    """Where a server listens, how it batches requests, and what it takes."""

    panel: ClassVar[str] = "Server"

    host: str = knob(
        "127.0.0.1", "address to listen on; only 127.0.0.1 and ::1 keep other computers out", option="--host"
    )
    port: int = knob(8000, "port to listen on; 0: one that is free", least=0, most=65535, option="--port")
    allow_host: list[str] = knob(
        [], "a further name by which the server may be called (the Host header of a request)", option="--allow-host"
    )
    examples: str | None = knob(
        None,
        "table with rows that the page offers to try, and everybody can then read; null: those of a built-in set, "
        "if the model was trained on one",
        option="--examples",
    )

    coverage: float = knob(
        0.9,
        "share of rows whose truth the sets and intervals beside predictions are to hold; 0: there are none",
        least=0,
        below=1,
        option="--coverage",
    )
    max_batch: int = knob(
        32, "rows that the model reads at once, at most; 1: no batching", least=1, option="--max-batch"
    )
    batch_wait: float = knob(
        5.0, "milliseconds that a row waits for others, if others are on their way", least=0, option="--batch-wait"
    )
    max_requests: int = knob(
        64, "requests at work at the same time; further ones are told to come back", least=1, option="--max-requests"
    )
    timeout: float = knob(30.0, "seconds from a request's first byte to its answer", above=0, option="--timeout")
    drain: float = knob(
        2.0,
        "seconds that open connections have to send what they have begun, when the server is told to end",
        least=0,
        option="--drain",
    )

    max_mb: float = knob(32.0, "megabytes of a request", above=0, option="--max-mb")
    max_rows: int = knob(64, "rows of a request", least=1, option="--max-rows")
    max_text: int = knob(100_000, "characters of a text, a number or a date", least=1, option="--max-text")
    max_values: int = knob(1_000_000, "numbers of an array, or names of a set", least=1, option="--max-values")
    max_pixels: int = knob(
        40_000_000, "pixels of a picture, or of a picture of a video", least=1, option="--max-pixels"
    )
    max_seconds: float = knob(600.0, "seconds of a sound or a video", above=0, option="--max-seconds")
    cell_mb: int = knob(256, "megabytes of memory that decoding a cell may take", least=1, option="--cell-mb")

    @property
    def max_bytes(self) -> int:
        """Bytes of a request."""
        return int(self.max_mb * (1 << 20))

    @property
    def local(self) -> bool:
        """Whether no other computer can reach it."""
        return self.host in LOOPBACK
