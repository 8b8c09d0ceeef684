"""From a text file and a configuration to a finished run folder."""

import math
from typing import Any

import torch
from torch.utils.data import DataLoader

from perceiver_pytorch._files import write_text
from perceiver_pytorch.report.figures import bits_curve
from perceiver_pytorch.training.language import baselines
from perceiver_pytorch.training.language.module import LanguageModule
from perceiver_pytorch.training.language.objectives import Objective, bits_per_byte, objective_of
from perceiver_pytorch.training.language.run import LanguageRun
from perceiver_pytorch.training.language.settings import LanguageConfig
from perceiver_pytorch.training.language.text import Bytes, RandomStarts, Windows, open_text, split_text
from perceiver_pytorch.training.run.callbacks import read_history
from perceiver_pytorch.training.run.checkpoints import best_state
from perceiver_pytorch.training.run.guard import Guard, guarded
from perceiver_pytorch.training.run.loop import INTERRUPTED, run_loop
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.fit import Outcome


def fit_language(
    config: LanguageConfig,
    run: LanguageRun,
    *,
    resume: bool = False,
    time_limit: float | None = None,
    reporter: Reporter | None = None,
) -> Outcome:
    """Trains a language model on a text file, keeps the best, and measures it in bits per byte beside baselines.

    Args:
        config: everything that the run depends on.
        run: an empty run folder, or with ``resume`` one of a run that was stopped.
        resume: go on from ``checkpoints/last.ckpt``, to what the uninterrupted run would have given.
        time_limit: seconds of training; what is best by then is measured.
        reporter: how to tell what happens.

    Raises:
        DataError: for a file that cannot be used.
        ValueError: if another process trains in this folder.
        DiskFullError: for a full disk; what was saved before is intact.
    """
    with guarded(run, config, resume=resume, command="perceiver language") as guard:
        return _fit(config, run, guard, resume, time_limit, reporter or Reporter())


def _fit(
    config: LanguageConfig, run: LanguageRun, guard: Guard, resume: bool, time_limit: float | None, reporter: Reporter
) -> Outcome:
    data = config.data
    text = open_text(data.file)
    parts = split_text(text, data.file, data.val_fraction, data.test_fraction, data.context)
    reporter.say(", ".join(f"{name}: {len(part):,} bytes" for name, part in parts.items()))

    torch.manual_seed(config.training.seed)
    objective = objective_of(config)
    model = objective.build(config)
    parameters = sum(p.numel() for p in model.parameters())
    reporter.say(f"{type(model).__name__}: {parameters:,} parameters")
    module = LanguageModule(model, objective, config.training)
    guard.begun = True
    run.check_text(text)
    stopped = _train(module, objective, parts, run, config, resume, time_limit, reporter)
    if stopped == INTERRUPTED:
        return Outcome({}, stopped)

    if not best_state(run.best, module):
        reporter.warn("no validation was completed, so the model is that of the last step")
    run.write_model(model)
    metrics = measured(model.eval(), objective, parts, config.training.measure_bytes, reporter)
    history = read_history(run.history_file)
    metrics |= {
        "steps": int(history[-1]["step"]) if history else module.global_step,
        "parameters": parameters,
        "stopped": stopped,
    }
    run.write_metrics(metrics)
    if history:
        write_text(run.curve_file, bits_curve(history, metrics["baselines"]))
    return Outcome(metrics, stopped)


def measured(
    model: torch.nn.Module, objective: Objective, parts: dict[str, Bytes], most: int, reporter: Reporter
) -> dict[str, Any]:
    """Bits per byte of the test and validation parts (``most`` bytes of each), and of baselines on the test part."""
    result: dict[str, Any] = {"objective": objective.name, "split": "test"}
    for part, key in (("test", "bits_per_byte"), ("val", "val_bits_per_byte")):
        with reporter.step(f"measuring on the {part} part") as progress:
            result[key] = bits_per_byte(model, objective, parts[part][:most], progress=progress)
    train, test = parts["train"], parts["test"][:most]
    with reporter.step("measuring baselines"):
        result["baselines"] = {"unigram": baselines.unigram(train, test)}
        if objective.name == "masked":
            result["baselines"]["neighbours"] = baselines.neighbours(train, test)
        result["baselines"] |= baselines.compressors(test, train)
    return result | {"bytes": {name: len(part) for name, part in parts.items()} | {"measured": len(test)}}


def epochs_and_steps(config: LanguageConfig, objective: Objective, train_bytes: int) -> tuple[int, int]:
    """How many validations there are, and the steps before each: about the steps that were asked for."""
    training = config.training
    steps = training.steps
    if training.epochs is not None:
        steps = math.ceil(training.epochs * train_bytes / (training.batch_size * objective.predicted))
    validations = math.ceil(steps / training.validate_every)
    return validations, math.ceil(steps / validations)


def _train(
    module: LanguageModule,
    objective: Objective,
    parts: dict[str, Bytes],
    run: LanguageRun,
    config: LanguageConfig,
    resume: bool,
    time_limit: float | None,
    reporter: Reporter,
) -> str | None:
    """Trains; returns why it stopped before its end, or None. What Lightning calls an epoch ends with a validation."""
    training = config.training
    windows = Windows(parts["train"], objective.length)
    epochs, steps = epochs_and_steps(config, objective, len(parts["train"]))
    starts = RandomStarts(len(windows), training.batch_size, steps, training.seed)
    return run_loop(
        module,
        DataLoader(windows, batch_sampler=starts),
        DataLoader(objective.windows(parts["val"][: training.validate_bytes]), batch_size=training.batch_size),
        run,
        epochs=epochs,
        precision=training.precision,
        gradient_clip=training.gradient_clip,
        patience=training.patience,
        monitor="val_bits_per_byte",
        mode="min",
        resume=resume,
        time_limit=time_limit,
        reporter=reporter,
        checkpoint_every=training.checkpoint_every,
    )
