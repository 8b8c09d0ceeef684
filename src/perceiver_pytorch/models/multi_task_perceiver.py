"""Several outputs from one Perceiver: each task reads a group of latents of its own."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.models.inputs import Tokens
from perceiver_pytorch.models.masks import Masks
from perceiver_pytorch.models.modalities import Coordinates
from perceiver_pytorch.models.multi_modality_perceiver import MultiModalityPerceiverNoPooling
from perceiver_pytorch.models.multi_modality_with_text_perceiver import MultiModalityWithTextPerceiverNoPooling
from perceiver_pytorch.models.perceiver_io import PerceiverIO
from perceiver_pytorch.models.saving import SavedModel
from perceiver_pytorch.models.streamed_input import StreamedInput
from perceiver_pytorch.models.summary import summarise
from perceiver_pytorch.nn.init import init_linears

__all__ = ["MultiTaskPerceiver"]

Encoder = MultiModalityWithTextPerceiverNoPooling | MultiModalityPerceiverNoPooling | PerceiverIO
_ENCODERS = {kind.__name__: kind for kind in get_args(Encoder)}
_CLASS = "class"
"""The key of an encoder's arguments that names its class, where they do not tell it by themselves."""


class MultiTaskPerceiver(SavedModel):
    """One encoder for several tasks.

    The latents are divided into as many groups as there are tasks, of equal size up to one. All latents read the input
    and each other; a task's head reads the mean of its group.

    Args:
        encoder: a `MultiModalityWithTextPerceiverNoPooling`, a `MultiModalityPerceiverNoPooling` or a `PerceiverIO`
            without outputs; or the arguments of the first or the last of them, or with a key ``"class"`` those of any.
        tasks: {task: size of its output}, or pairs of them, in the order of the groups.

    Raises:
        ValueError, TypeError: no task, a size that is no positive number, or fewer latents than tasks.

    Example:
        >>> import torch
        >>> from perceiver_pytorch import InputModality, MultiModalityWithTextPerceiverNoPooling
        >>> image = InputModality("image", 3, 2, num_freq_bands=6, max_freq=4.0)
        >>> encoder = MultiModalityWithTextPerceiverNoPooling(
        ...     modalities=[image], depth=2, num_latents=8, latent_dim=16
        ... )
        >>> model = MultiTaskPerceiver(encoder=encoder, tasks={"kind": 10, "age": 1})
        >>> {task: tuple(out.shape) for task, out in model({"image": torch.randn(2, 8, 8, 3)}).items()}
        {'kind': (2, 10), 'age': (2, 1)}
    """

    def __init__(
        self,
        *,
        encoder: Encoder | Mapping[str, Any],
        tasks: Mapping[str, int] | Sequence[Sequence[Any]],
    ) -> None:
        super().__init__()
        encoder = _built(encoder) if isinstance(encoder, Mapping) else encoder
        if isinstance(encoder, PerceiverIO) and encoder.outputs:
            raise ValueError(f"encoder must have no outputs of its own, got {', '.join(encoder.outputs)}")
        if not isinstance(encoder, Encoder):
            raise TypeError(
                f"encoder must be a {', a '.join(_ENCODERS)}, or the arguments of one, got {type(encoder).__name__}"
            )
        self.encoder = encoder
        self.tasks = sizes_of_tasks(tasks)
        assert isinstance(encoder.latents, Tensor)
        num_latents, width = encoder.latents.shape
        if num_latents < len(self.tasks):
            raise ValueError(f"each of {len(self.tasks)} tasks needs a latent of its own, but there are {num_latents}")
        self._record_config(encoder=_recorded(encoder), tasks=list(self.tasks.items()))
        # A list, since a task's name may be anything, and a key of a state dict may not.
        self.heads = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, n)) for n in self.tasks.values())
        init_linears(self.heads, "variance_scaling" if isinstance(encoder, PerceiverIO) else encoder.style.linear_init)

    def forward(
        self,
        multi_modality_data: Mapping[str, Tensor | StreamedInput],
        mask: Masks = None,
        *,
        present: Mapping[str, Tensor] | None = None,
        coordinates: Mapping[str, Coordinates] | None = None,
    ) -> dict[str, Tensor]:
        """Runs the encoder once; arguments as in `MultiModalityWithTextPerceiver`.

        Returns:
            ``{task: (batch, size)}``.
        """
        return self._answers(self.encoder(multi_modality_data, mask, present=present, coordinates=coordinates))

    def tokens(
        self,
        inputs: Mapping[str, Tensor],
        mask: Masks = None,
        present: Mapping[str, Tensor] | None = None,
        coordinates: Mapping[str, Coordinates] | None = None,
    ) -> dict[str, Tokens]:
        """The encoder's; see `PerceiverBase.tokens`."""
        return self.encoder.tokens(inputs, mask, present, coordinates)

    def answers_of(self, tokens: Mapping[str, Tokens]) -> dict[str, Tensor]:
        """What `forward` gives, of what the encoder's `tokens` gave; modalities may be left out of it."""
        assert not isinstance(self.encoder, PerceiverIO)
        return self._answers(self.encoder.latents_of(tokens))

    def _answers(self, latents: object) -> dict[str, Tensor]:
        assert isinstance(latents, Tensor)
        groups = latents.tensor_split(len(self.tasks), dim=1)
        return {name: head(group.mean(dim=1)) for name, head, group in zip(self.tasks, self.heads, groups, strict=True)}

    def summary(self, inputs: Mapping[str, Tensor | Sequence[int]] | None = None) -> str:
        """A few lines, as `MultiModalityWithTextPerceiver.summary`."""
        tasks = ", ".join(f"{name} ({size})" for name, size in self.tasks.items())
        return summarise(self.encoder, inputs, heads=self.heads, output=tasks)

    def extra_repr(self) -> str:
        return self.summary()


def sizes_of_tasks(tasks: Mapping[str, int] | Sequence[Sequence[Any]]) -> dict[str, int]:
    """{task: size} of a mapping or of pairs, which keep their order in a saved configuration.

    Raises:
        ValueError, TypeError: there is none, one twice, or a size that is no positive number.
    """
    pairs = list(tasks.items()) if isinstance(tasks, Mapping) else [tuple(pair) for pair in tasks]
    sizes = {name: _checks.positive_int(f"tasks[{name!r}]", size) for name, size in pairs}
    if not sizes or len(sizes) != len(pairs):
        raise ValueError(f"tasks must be one or more different names with their sizes, got {tasks!r}")
    return sizes


def _built(arguments: Mapping[str, Any]) -> Encoder:
    """The encoder of these arguments."""
    arguments = dict(arguments)
    io = "num_latent_block_repeats" in arguments  # a saved configuration has all arguments
    default = PerceiverIO if io else MultiModalityWithTextPerceiverNoPooling
    name = _checks.choice("class of the encoder", arguments.pop(_CLASS, default.__name__), tuple(_ENCODERS))
    return _ENCODERS[name](**arguments)


def _recorded(encoder: Encoder) -> dict[str, Any]:
    """Arguments of which `_built` makes the encoder again."""
    if isinstance(encoder, MultiModalityPerceiverNoPooling):
        return {_CLASS: MultiModalityPerceiverNoPooling.__name__, **encoder.recorded_config}
    return encoder.recorded_config
