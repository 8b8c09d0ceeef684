"""Trials in several processes of this machine, which share a study as machines do."""

import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from perceiver_pytorch._memory import usable_cores
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.tuning.study import Plan, StudyFolder, open_study
from perceiver_pytorch.tuning.trials import Search


def run_trials(
    folder: StudyFolder,
    plan: Plan,
    study: Any,
    *,
    deadline: Deadline | None,
    processes: int,
    told: Callable[[Any], None],
) -> None:
    """Runs trials in this process and in others that it starts, until there are enough or no time is left.

    Args:
        folder, plan, study, deadline: as of `Search`.
        processes: how many, this one included.
        told: called with every trial of this process that has ended.

    Raises:
        ValueError: if one trial after another fails.
        KeyboardInterrupt: for Ctrl-C; finished trials are kept.
    """
    left = None if deadline is None else deadline.left()
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_work, args=(folder, plan, left, processes)) for _ in range(processes - 1)]
    for other in others:
        other.start()
    try:
        _share_cores(processes)
        Search(folder, plan, study, deadline, told).run()
        for other in others:
            other.join()
    finally:
        for other in others:
            other.terminate()
            other.join()


def _work(folder: StudyFolder, plan: Plan, left: float | None, processes: int) -> None:
    """What another process does."""
    _share_cores(processes)
    with suppress(KeyboardInterrupt):  # the process that started this one tells it
        Search(folder, plan, open_study(folder, plan), None if left is None else Deadline(left)).run()


def _share_cores(processes: int) -> None:
    if processes > 1:
        torch.set_num_threads(max(1, usable_cores() // processes))
