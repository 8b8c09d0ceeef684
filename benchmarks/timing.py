"""Repeats a call for a while."""

import time
from collections.abc import Callable


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def repeated(call: Callable[[], object], repeats: int, budget: float) -> list[float]:
    """Seconds of each call: ``repeats`` of them, fewer where ``budget`` seconds have passed, but at least one."""
    times: list[float] = []
    while not times or (len(times) < repeats and sum(times) < budget):
        times.append(seconds(call))
    return times
