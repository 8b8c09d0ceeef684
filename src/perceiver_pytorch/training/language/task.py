"""Learning to predict the bytes of a text file: the task of ``perceiver language``."""

import math
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from perceiver_pytorch._files import write_text
from perceiver_pytorch._settings import dump_config
from perceiver_pytorch.report.figures import bits_curve
from perceiver_pytorch.training.language import baselines
from perceiver_pytorch.training.language.module import LanguageModule
from perceiver_pytorch.training.language.objectives import Objective, bits_per_byte, objective_of
from perceiver_pytorch.training.language.run import LanguageRun, checksum
from perceiver_pytorch.training.language.settings import LanguageConfig, LanguageTraining
from perceiver_pytorch.training.language.text_file import Bytes, OrNothing, RandomStarts, Windows, open_text, split_text
from perceiver_pytorch.training.run.job import Trained
from perceiver_pytorch.training.run.loaders import Loaders
from perceiver_pytorch.training.run.memory import checked_size
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.run.sampler import OfRank

REPORT_SECONDS = 4.0
"""What the curve takes, with the library that draws it."""
COMPRESSED_BYTES = 1e6
"""What the baselines read in a second, about: the train part is compressed twice."""


class LanguageTask:
    """A `Task`: predicts bytes of a text file, measured in bits per byte next to baselines.

    Args:
        config: everything that the run depends on.
    """

    text: Bytes
    parts: dict[str, Bytes]

    def __init__(self, config: LanguageConfig) -> None:
        self.config = config
        self.objective = objective_of(config)

    @property
    def training(self) -> LanguageTraining:
        return self.config.training

    def prepare(self, run: LanguageRun, *, resume: bool, reporter: Reporter) -> None:
        data = self.config.data
        self.text = open_text(run.found(data.file) if resume else data.file)
        self.parts = split_text(self.text, data.file, data.val_fraction, data.test_fraction, data.context)
        run.check_text(self.text)
        reporter.say(", ".join(f"{name}: {len(part):,} bytes" for name, part in self.parts.items()))

    def identity(self) -> Any:
        return dump_config(self.config), checksum(self.text)

    def module(self, reporter: Reporter) -> LanguageModule:
        checked_size(lambda: self.objective.build(self.config))
        model = self.objective.build(self.config)
        reporter.say(f"{type(model).__name__}: {_num_parameters(model):,} parameters")
        return LanguageModule(model, self.objective, self.training)

    def begin(self, run: LanguageRun) -> None:
        if not run.text_file.is_file():
            run.write_text(self.text)

    def loaders(self) -> Loaders:
        """What Lightning calls an epoch ends with a validation."""
        windows = Windows(self.parts["train"], self.objective.length)
        epochs, steps = epochs_and_steps(self.config, self.objective, len(self.parts["train"]))
        starts = RandomStarts(len(windows), self.training.batch_size, steps, self.training.seed)
        val = self.objective.windows(self.parts["val"][: self.training.validate_bytes])
        in_turn = BatchSampler(SequentialSampler(val), self.training.batch_size, drop_last=False)
        most = sum(min(len(self.parts[name]), self.training.measure_bytes) for name in ("test", "val"))
        batches = math.ceil(most / (self.objective.predicted * self.training.batch_size))
        return Loaders(
            measured=(batches, batches),
            closing=REPORT_SECONDS + len(self.parts["train"][-baselines.KNOWN :]) / COMPRESSED_BYTES,
            train=DataLoader(windows, batch_sampler=OfRank(starts)),
            val=DataLoader(OrNothing(val), batch_sampler=OfRank(in_turn)),
            steps=epochs * steps,
        )

    def complete(self, trained: Trained, reporter: Reporter) -> None:
        """Nothing remains."""

    def measure(self, trained: Trained, reporter: Reporter) -> dict[str, Any]:
        model, history = trained.module.model, trained.history
        return _measured(model.eval(), self.objective, self.parts, self.training.measure_bytes, reporter) | {
            "steps": int(history[-1]["step"]) if history else trained.module.global_step,
            "parameters": _num_parameters(model),
            "stopped": trained.stopped,
            "trained": trained.facts(),
        }

    def write(self, run: LanguageRun, trained: Trained, metrics: dict[str, Any]) -> None:
        if trained.history:
            write_text(run.curve_file, bits_curve(trained.history, metrics["baselines"]))


def epochs_and_steps(config: LanguageConfig, objective: Objective, train_bytes: int) -> tuple[int, int]:
    """How many validations there are, and the steps before each: about the steps that were asked for."""
    training = config.training
    steps = training.steps
    if training.epochs is not None:
        steps = math.ceil(training.epochs * train_bytes / (training.batch_size * objective.predicted))
    validations = math.ceil(steps / training.validate_every)
    return validations, math.ceil(steps / validations)


def _measured(
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


def _num_parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
