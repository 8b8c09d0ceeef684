"""From what a request asks to its answers: reading in threads, limits of time and of requests at work, batches."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from perceiver_pytorch.data.cells import Where
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.media.limits import FileLimits, limited_files
from perceiver_pytorch.serve.asking import Asked, Reader
from perceiver_pytorch.serve.batching import Batcher, ClosedError, Coming
from perceiver_pytorch.serve.forms import CellLimits
from perceiver_pytorch.serve.maps import Map
from perceiver_pytorch.serve.metrics import Metrics
from perceiver_pytorch.serve.refusals import RefusedError, bad_cell, come_back
from perceiver_pytorch.serve.served import NOWHERE, Answer, ReadRow, Served, fields_of
from perceiver_pytorch.serve.settings import ServeSettings
from perceiver_pytorch.serve.uploads import FORM, body_of, content_type, parts_of

LOG = logging.getLogger("perceiver.serve")
T = TypeVar("T")
READERS = 4
"""Threads that read rows: decoding waits for another process, so a few are enough."""
_MORE_PARTS = 64  # of a form, besides columns


class Service:
    """Answers requests about one model.

    Args:
        served: the model.
        settings: limits and batches.
        metrics: counts.
    """

    def __init__(self, served: Served, settings: ServeSettings, metrics: Metrics) -> None:
        self.served, self.settings = served, settings
        fields = fields_of(served)
        self.fields = fields
        self.modalities = [modality.name for modality in served.modalities]
        self._reader = Reader(
            {column: field for column, (field, _) in fields.items()},
            tuple(self.modalities),
            CellLimits(settings.max_text, settings.max_values),
            settings.max_rows,
            frozenset(target["name"] for target in served.targets),
        )
        self._files = FileLimits(settings.max_pixels, settings.max_seconds, settings.timeout)
        self._batcher: Batcher[ReadRow, Answer] = Batcher(
            served.answer, most=settings.max_batch, wait=settings.batch_wait / 1000, measured=metrics.batch
        )
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="reading")
        self._at_work = 0

    def close(self) -> None:
        """Ends the threads, after what they have begun."""
        self._pool.shutdown()
        self._batcher.close()

    async def predictions(self, request: Any) -> dict[str, Any]:
        """The answer to ``POST /predict``."""

        async def answer(asked: Asked, coming: Coming) -> dict[str, Any]:
            rows = [row.without(asked.without) for row in await self._read(asked)]
            answers = await self._answers(rows, coming)
            found = [_told(row, answer) for row, answer in zip(rows, answers, strict=True)]
            return {"predictions": found}

        return await self._within_limits(request, answer)

    async def contributions(self, request: Any) -> dict[str, Any]:
        """The answer to ``POST /explain``: of one row what is said of it without each of its modalities, and by each
        alone, and maps of what speaks for the answers."""

        async def answer(asked: Asked, coming: Coming) -> dict[str, Any]:
            if len(asked.rows) != 1:
                raise RefusedError(422, f"one row is explained at a time, got {len(asked.rows)}")
            (row,) = [row.without(asked.without) for row in await self._read(asked)]
            names = row.present
            others = [row.without([name]) for name in names]
            alone = [row.without([other for other in names if other != name]) for name in names]
            whole, *rest = await self._answers([row, *others, *alone], coming)
            parts = {
                name: {"without": without["targets"], "alone": only["targets"]}
                for name, without, only in zip(names, rest[: len(names)], rest[len(names) :], strict=True)
            }
            return {**_told(row, whole), "modalities": parts, "maps": await self._maps(row)}

        return await self._within_limits(request, answer)

    async def _within_limits(
        self, request: Any, answer: Callable[[Asked, Coming], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        """What ``answer`` gives, if the request comes and is answered in time, and not too many are at work."""
        if self._at_work >= self.settings.max_requests:
            raise come_back(f"{self._at_work} requests are at work, which is the most")
        arrived = asyncio.Event()

        async def whole() -> dict[str, Any]:
            asked = await self._asked(request)
            arrived.set()
            return await answer(asked, coming)

        self._at_work += 1
        with self._batcher.coming() as coming:
            try:
                return await asyncio.wait_for(whole(), self.settings.timeout)
            except asyncio.TimeoutError:
                seconds = f"{self.settings.timeout:g} s"
                if not arrived.is_set():
                    message = f"the request did not arrive within {seconds}"
                    raise RefusedError(408, message, headers={"Connection": "close"}) from None
                raise RefusedError(504, f"the answer was not ready within {seconds}, which is the most") from None
            except ClosedError:
                raise come_back("the server is ending") from None
            finally:
                self._at_work -= 1

    async def _asked(self, request: Any) -> Asked:
        most = self.settings.max_bytes
        if content_type(request) == FORM:
            parts = await parts_of(request, most, len(self.fields) + _MORE_PARTS)
            return await self._in_thread(lambda: self._reader.from_form(parts))
        body = await body_of(request, most)
        return await self._in_thread(lambda: self._reader.from_json(body))

    async def _read(self, asked: Asked) -> list[ReadRow]:
        return await self._in_thread(lambda: [self.read(number, cells) for number, cells in enumerate(asked.rows)])

    def read(self, number: int, cells: dict[str, Any]) -> ReadRow:
        """A row's cells as the model reads them.

        Raises:
            RefusedError: 422 if one cannot be read.
        """
        try:
            with limited_files(self._files):
                row = self.served.read(cells, self._where(number))
        except DataError as error:
            raise bad_cell(number, error.column or "?", error.reason) from error
        except MemoryError as error:
            raise come_back(f"row {number} takes more memory than there is now") from error
        for name in row.in_pieces:
            column = next(", ".join(each.columns) for each in self.served.modalities if each.name == name)
            raise bad_cell(
                number, column, "is too long for memory, and a server reads no pieces; `perceiver predict` does"
            )
        return row

    async def _maps(self, row: ReadRow) -> dict[str, list[Map]]:
        """{target: the maps of a row}."""
        found = {}
        for target in [target["name"] for target in self.served.targets]:
            work = partial(self.served.maps, row, target, self._where(0))
            try:
                found[target] = await asyncio.wrap_future(self._batcher.call(work))
            except ClosedError:
                raise
            except Exception:  # an answer without its map is better than none
                LOG.exception("no map of %s can be made", target)
                found[target] = []
        return found

    def _where(self, row: int) -> Where:
        return Where("request", NOWHERE, row, cell_bytes=self.settings.cell_mb << 20, uploads_only=True)

    async def _answers(self, rows: Sequence[ReadRow], coming: Coming) -> list[Answer]:
        futures = self._batcher.submit(rows)
        coming.came()
        try:
            return list(await asyncio.gather(*map(asyncio.wrap_future, futures)))
        except ValueError as error:
            raise RefusedError(422, f"the model gives no answer to these cells: {error}") from error

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _told(row: ReadRow, answer: Answer) -> dict[str, Any]:
    """A row's answer, with what it was made from."""
    return {**answer, "present": row.present, "notes": list(row.notes)}
