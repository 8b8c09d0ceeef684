"""What every kind of training can be told about optimisation, checkpoints and randomness."""

from dataclasses import dataclass

from perceiver_pytorch import _checks
from perceiver_pytorch._settings import Search, Settings, knob
from perceiver_pytorch.training.run.durations import Every

LOGGERS = ("tensorboard", "csv", "mlflow", "wandb")
AUTO = "auto"
_PRECISIONS = (AUTO, "32-true", "bf16-mixed", "16-mixed", "64-true", "bf16-true", "16-true", "32", "64", "16", "bf16")
"""What decides by itself, and what Lightning takes; the last four are its older names."""
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
STRATEGIES = ("ddp", "fsdp")
STATE_DICT_TYPES = ("full", "sharded")


def _check_devices(name: str, value: int | str) -> None:
    if value != "auto" and (isinstance(value, str) or value < 1):
        raise ValueError(f"{name} must be a number of 1 or more, or auto, got {value!r}")


def logger_names(text: str, name: str = "logger") -> list[str]:
    """The loggers that a setting names; "none" names none.

    Raises:
        ValueError: for what is no logger, or one that is named twice.
    """
    names = [part.strip() for part in text.split(",")]
    if names == ["none"]:
        return []
    for part in names:
        _checks.choice(name, part, LOGGERS)
    if len(set(names)) < len(names):
        raise ValueError(f"{name} names a logger twice: {text!r}")
    return names


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Settings):
    """Optimisation."""

    panel = "Training"

    batch_size: int = knob(64, "rows per step", least=1, option="--batch-size", search=Search(values=(16, 32, 64)))
    optimizer: str = knob("adamw", "optimiser", choices=("adamw", "lamb"))
    lr: float | None = knob(
        None,
        "peak learning rate",
        least=0,
        check=_checks.number,
        option="--lr",
        search=Search(low=3e-4, high=1e-2, log=True),
    )
    weight_decay: float = knob(
        0.1, "decoupled weight decay of weight matrices", least=0, search=Search(low=1e-3, high=0.3, log=True)
    )
    warmup: float = knob(0.05, "share of the steps in which the learning rate rises", least=0, most=1)
    min_lr: float = knob(0.01, "learning rate at the end of the cosine, as a share of lr", least=0, most=1)
    gradient_clip: float = knob(1.0, "largest norm of the gradient", least=0)
    average: float = knob(
        0.99,
        "what a step leaves of the running average of the weights, which is validated and kept; 0: no average",
        least=0,
        below=1,
        before=0.0,
    )
    patience: int | None = knob(
        None, "validations without a better score before training stops; null: half of those there are", least=0
    )
    checkpoint_every: str = knob(
        "5m",
        "how often to save between validations: a duration such as 5m, '200 steps', or never",
        check=lambda name, value: Every.of(value, name),
        resumable=True,
    )
    logger: str = knob(
        "tensorboard",
        f"where losses and scores are logged, several with commas: {', '.join(LOGGERS)}, or none",
        check=lambda name, value: logger_names(value, name),
        option="--logger",
        resumable=True,
        before="tensorboard",
    )
    seed: int = knob(
        0, "makes weights, the order of samples and dropout repeatable", check=_checks.seed, option="--seed"
    )
    precision: str = knob(
        AUTO,
        "Lightning's precision: 32-true, bf16-mixed or 16-mixed; auto: bf16-mixed for a large model on a processor "
        "that multiplies bfloat16 natively, else 32-true",
        check=lambda name, value: _checks.choice(name, value, _PRECISIONS),
        after="checkpoint_every",
        option="--precision",
        before="32-true",
    )
    accelerator: str = knob(
        "auto",
        "what computes: gpu, cpu; auto: a GPU where there is one",
        choices=ACCELERATORS,
        option="--accelerator",
        resumable=True,
        before="auto",
    )
    devices: int | str = knob(
        1,
        "processes on each machine that train together, each with a GPU of its own or a share of the cores; "
        "auto: one for each GPU",
        check=_check_devices,
        option="--devices",
        metavar="N",
        resumable=True,
        before=1,
    )
    nodes: int = knob(
        1, "machines that train together", least=1, option="--nodes", metavar="N", resumable=True, before=1
    )
    strategy: str = knob(
        "ddp",
        "what processes share: ddp, the rows of a step; fsdp, the weights and the optimiser's state, too",
        choices=STRATEGIES,
        option="--strategy",
        resumable=True,
        before="ddp",
    )
    state_dict_type: str = knob(
        "full",
        "what a checkpoint of fsdp is: full, one file as of any run; sharded, a file of each process beside it",
        choices=STATE_DICT_TYPES,
        option="--state-dict-type",
        resumable=True,
        before="full",
    )
