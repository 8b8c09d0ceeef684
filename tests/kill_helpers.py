"""Runs in a child process that is killed at a chosen moment, and what has to be equal afterwards."""

import hashlib
import multiprocessing
import os
import signal
import warnings

import torch

from perceiver_pytorch.training.run.callbacks import Stopper
from perceiver_pytorch.training.run.history import read_history
from perceiver_pytorch.training.table.run import TableRun
from training_helpers import SILENT, fit

FORK = multiprocessing.get_context("fork")  # quick, and as good as a process of its own: the child ends by a signal


def killed(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def child(config, path, prepare, argument):
    warnings.simplefilter("ignore")
    prepare(argument)
    run = TableRun(path)
    resume = run.config_file.is_file()
    fit(config, run if resume else TableRun.create(path), resume=resume, reporter=SILENT)


def attempt(config, path, prepare=lambda argument: None, argument=None):
    """Trains in a child that `prepare` may have killed; whether it came to its end."""
    process = FORK.Process(target=child, args=(config, path, prepare, argument))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forking where there are threads
        process.start()
    process.join(120)
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode == 0


def digest(run):
    return hashlib.sha256((run.path / "model.safetensors").read_bytes()).hexdigest()


def told(run):
    """What a run tells that does not depend on time."""
    history = [{key: value for key, value in row.items() if key != "seconds"} for row in read_history(run.history_file)]
    metrics = {key: value for key, value in run.metrics().items() if "seconds" not in key and "wait" not in key}
    return history, metrics


def check_equal(run, whole):
    assert digest(run) == digest(whole)
    assert told(run) == told(whole)
    best = [torch.load(r.best, weights_only=True)["state_dict"] for r in (run, whole)]
    assert all(torch.equal(best[0][key], best[1][key]) for key in best[1])
    assert run.report_file.is_file()
    left = list(run.path.rglob(".*"))
    assert not left


def at_call(owner, name, number, before=killed):
    """Kills before the number-th call (from 0) of a function."""
    original = getattr(owner, name)
    calls = iter(range(10**6))

    def patched(*args, **kwargs):
        if next(calls) == number:
            before(*args, **kwargs)
        return original(*args, **kwargs)

    setattr(owner, name, patched)


def at_step(number):
    at_call(Stopper, "on_train_batch_start", number)
