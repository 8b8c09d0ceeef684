"""A job, whatever its task: data are prepared, a model is trained on them, the best one is kept and measured.

Tables and language both are run by `run_job`; what differs between them is a `Task`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch

from perceiver_pytorch._files import DiskFullError, is_disk_full
from perceiver_pytorch._processes import DecodingMemoryError, worded_deaths
from perceiver_pytorch._settings import Settings
from perceiver_pytorch._waiting import waiting
from perceiver_pytorch.training.run.accelerator import on_own_cores
from perceiver_pytorch.training.run.checkpoints import Progress, load_state
from perceiver_pytorch.training.run.divergence import DivergedError, Divergence
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.run.folder import RunFolder
from perceiver_pytorch.training.run.history import read_history
from perceiver_pytorch.training.run.interrupts import handling, interrupt
from perceiver_pytorch.training.run.loaders import Loaders
from perceiver_pytorch.training.run.lock import is_held
from perceiver_pytorch.training.run.loop import INTERRUPTED, Ended, Resumable, run_loop, validate
from perceiver_pytorch.training.run.memory import OUT_OF_MEMORY, is_out_of_memory
from perceiver_pytorch.training.run.planning import Plan
from perceiver_pytorch.training.run.ranks import (
    ToldByFirstError,
    check,
    check_same,
    is_first,
    leave,
    place,
    worded_loss,
)
from perceiver_pytorch.training.run.reporter import SILENT, Reporter
from perceiver_pytorch.training.run.settings import TrainingSettings
from perceiver_pytorch.training.run.versions import versions

R = TypeVar("R", bound=RunFolder)
R_contra = TypeVar("R_contra", bound=RunFolder, contravariant=True)


@dataclass(frozen=True)
class Trained:
    """What training left.

    Attributes:
        module: with the weights of the best round.
        history: rows of the history file.
        stopped: why training stopped before its end, or None.
        steps: steps that made these weights.
        passes: the same in passes over the train rows.
        best_epoch: passes over the train rows (rounds, where there are none) at the end of the round that they are of;
            None: they are those of the last step, within a round.
        seconds: that training took, with its validations.
        plan: how many steps the time limit left, if there was one.
        deadline: the end of the job, if there is one.
        diverged: where training diverged, if it did.
    """

    module: Resumable
    history: Sequence[dict[str, float]]
    stopped: str | None
    steps: int
    passes: float
    best_epoch: float | None
    seconds: float = 0.0
    plan: Plan | None = None
    deadline: Deadline | None = None
    diverged: Divergence | None = None

    @classmethod
    def of(
        cls,
        module: Resumable,
        loaders: Loaders,
        run: RunFolder,
        ended: Ended,
        best: Progress | None,
        deadline: Deadline | None,
    ) -> "Trained":
        """From how training ended, and the progress of the round whose weights the module has; None: the last step."""
        steps = (best or ended.progress).step
        passes = _number(round(steps / (loaders.pass_steps or max(1, len(loaders.train))), 4))
        return cls(
            module,
            read_history(run.history_file),
            ended.stopped,
            steps=steps,
            passes=passes,
            best_epoch=None if best is None else passes,
            seconds=ended.progress.seconds,
            plan=ended.progress.plan,
            deadline=deadline,
            diverged=ended.diverged,
        )

    @property
    def epochs(self) -> float:
        """Passes over the train rows (rounds, where there are none) up to the last validation."""
        return _number(self.history[-1]["epoch"]) if self.history else 0

    def facts(self) -> dict[str, Any]:
        """What ``metrics.json`` says about it."""
        return {
            "steps": self.steps,
            "passes": self.passes,
            "best_epoch": self.best_epoch,
            "precision": self.module.precision,
        }


def _number(value: float) -> float:
    """An int, if it is a whole number."""
    return int(value) if float(value).is_integer() else value


@dataclass(frozen=True)
class Outcome:
    """Result of a job.

    Attributes:
        metrics: what ``metrics.json`` holds; empty if interrupted.
        stopped: why training stopped before its end, or None.
    """

    metrics: dict[str, Any]
    stopped: str | None


class Task(Protocol[R_contra]):
    """What a job is about. `run_job` calls the methods once each, in this order; a later one may use what an earlier
    one has found.
    """

    @property
    def config(self) -> Settings:
        """Everything that the run depends on."""
        ...

    @property
    def training(self) -> TrainingSettings:
        """Of the configuration, what the loop goes by."""
        ...

    def prepare(self, run: R_contra, *, resume: bool, reporter: Reporter) -> None:
        """Reads the data, and compares them with those that a resumed run began with. Writes nothing.

        Raises:
            ValueError: for data or a configuration that cannot be used, or if the data are other than before.
        """
        ...

    def identity(self) -> Any:
        """What `prepare` has found that has to be equal in all processes which train together."""
        ...

    def module(self, reporter: Reporter) -> Resumable:
        """The model with its first weights, drawn from PyTorch's random numbers, and how it is trained."""
        ...

    def begin(self, run: R_contra) -> None:
        """Writes what `prepare` will compare with when the run is resumed, unless it is there."""
        ...

    def loaders(self) -> Loaders:
        """What to train and validate on."""
        ...

    def complete(self, trained: Trained, reporter: Reporter) -> None:
        """Learns what remains to be learned once the weights are chosen, before the model is written."""
        ...

    def measure(self, trained: Trained, reporter: Reporter) -> dict[str, Any]:
        """The metrics of the trained model, as JSON values."""
        ...

    def write(self, run: R_contra, trained: Trained, metrics: dict[str, Any]) -> None:
        """Writes what a person looks at, such as a report."""
        ...


def run_job(
    task: Task[R],
    run: R,
    *,
    resume: bool = False,
    deadline: Deadline | None = None,
    reporter: Reporter | None = None,
) -> Outcome:
    """Trains for a task, keeps the best model, measures it, and describes the result.

    The configuration is written first, so a run that is killed at any moment can be resumed. Where an error comes
    before the first checkpoint, there is nothing to resume, and the folder is left empty. Calls wait until their loops
    are compiled: what a run comes to does not depend on how fast that goes.

    Where several ranks train together, each calls it; the first one alone measures and writes, and the others are done
    when training is: they get no metrics.

    Args:
        task: what to do; it is used up.
        run: an empty run folder, or with ``resume`` one of a run that was stopped.
        resume: go on from ``checkpoints/last.ckpt``, to what the uninterrupted run would have given.
        deadline: the end of it all: training stops in time to measure what is best by then, and to describe it.
        reporter: how to report what happens.

    Raises:
        ValueError: for data (`DataError`) or a configuration that cannot be used, or if another process trains in this
            folder.
        DivergedError: if training diverged; the best model before is kept, measured and described.
        ChildProcessError: if a process that decodes rows was killed.
        MemoryError: if a step takes more memory than there is.
        DiskFullError: for a full disk; what was saved before is intact.
        KeyboardInterrupt: for Ctrl-C or SIGTERM outside of training, or the second one during it.
    """
    check(task.training, place())
    reporter = (reporter or Reporter()) if is_first() else SILENT
    with run.writing() if is_first() else nullcontext(), handling(interrupt), _threads(task.training), waiting():
        worth_resuming = resume
        remedy = f"Then continue with: {run.resume_command}"
        try:
            if not resume and is_first():
                run.write_config(task.config)
            with worded_loss(f"Continue with: {run.resume_command}"):
                task.prepare(run, resume=resume, reporter=reporter)
                check_same("data or settings", task.identity())
                torch.manual_seed(task.training.seed)
                module = task.module(reporter)
                worth_resuming = True  # data and configuration have proved good
                if is_first():
                    task.begin(run)
                loaders = task.loaders()
                with worded_deaths(remedy):
                    ended = run_loop(
                        module, loaders, run, task.training, resume=resume, deadline=deadline, reporter=reporter
                    )
                leave()
            if ended.stopped == INTERRUPTED or not is_first():
                return Outcome({}, ended.stopped)
            chosen = _chosen(module, loaders, run, task.training, ended)
            return _finish(task, run, reporter, Trained.of(module, loaders, run, ended, chosen, deadline))
        except DivergedError as error:
            leave()
            if not is_first():
                raise ToldByFirstError(str(error)) from None
            raise DivergedError(error.divergence, _kept(task, module, loaders, run, error, reporter)) from None
        except Exception as error:
            if not is_first():
                raise
            if not is_held(run.lock_file):
                raise run.removed() from error
            if worth_resuming and is_disk_full(error):
                raise DiskFullError(f"{error}. Free some space, then continue with: {run.resume_command}") from error
            _leave_nothing(run, error, resume=resume)
            if is_out_of_memory(error) and not isinstance(error, DecodingMemoryError):
                raise MemoryError(f"{OUT_OF_MEMORY} ({str(error).strip().splitlines()[0]})") from error
            raise


def _threads(settings: TrainingSettings) -> AbstractContextManager[None]:
    """Rows are shared among threads, but where ranks share weights: there an operation has all threads."""
    return nullcontext() if place() is not None and settings.strategy == "fsdp" else on_own_cores()


def _leave_nothing(run: RunFolder, error: Exception, *, resume: bool) -> None:
    """Removes what a run wrote before it failed, unless it is worth to go on with."""
    killed = isinstance(error, ChildProcessError | DecodingMemoryError)  # with other options the same run goes on
    if not (resume or killed or run.last.is_file()):
        run.discard()


def _chosen(
    module: Resumable, loaders: Loaders, run: RunFolder, settings: TrainingSettings, ended: Ended
) -> Progress | None:
    """Leaves the best weights in the module: those of the best round, or of the last step where training stopped within
    a round and they are better; gives the progress of the best round, None for the last step."""
    at_rounds_end = ended.progress.step == ended.progress.epoch * len(loaders.train)
    if ended.stopped is not None and not at_rounds_end:
        if not loaders.choosing:
            return None
        score, loss = validate(module, loaders, settings)
        sign = 1.0 if module.mode == "max" else -1.0
        if ended.progress.is_beaten_by(score, loss, sign, ties_by_loss=module.ties_by_loss):
            return None
    best = load_state(run.best, module)
    return best if loaders.choosing else None


def _finish(task: Task[R], run: R, reporter: Reporter, trained: Trained) -> Outcome:
    """From the trained model to the finished folder."""
    run.check_held()
    if trained.best_epoch is None:
        reporter.say("the model is that of the last step")
    model = trained.module.final_model()
    task.complete(trained, reporter)
    run.write_model(model)
    metrics = task.measure(trained, reporter) | {"versions": versions()}
    run.write_metrics(metrics)
    task.write(run, trained, metrics)
    return Outcome(metrics, trained.stopped)


def _kept(task: Task[R], module: Resumable, loaders: Loaders, run: R, error: DivergedError, reporter: Reporter) -> str:
    """Finishes the folder of a run that diverged with the last finite weights that were saved; says which."""
    best = load_state(run.best, module)
    progress = best or load_state(run.last, module)
    if progress is None:
        return "No model is kept, for none had been saved before."
    ended = Ended(str(error.divergence), progress, error.divergence)
    _finish(task, run, reporter, Trained.of(module, loaders, run, ended, best, None))
    which = f"of step {progress.step:,}{', the best before' if best else ''}"
    return f"The model {which}, is kept in {run.path}."
