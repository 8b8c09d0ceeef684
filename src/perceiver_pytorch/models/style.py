"""Where release 1.4.0 departs from the paper, and how to choose."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perceiver_pytorch import _checks
from perceiver_pytorch.nn.feed_forward import FEED_FORWARD
from perceiver_pytorch.nn.init import LATENT_INITS, LINEAR_INITS
from perceiver_pytorch.nn.sharing import RULES


@dataclass(frozen=True, kw_only=True)
class Style:
    """Design choices in which release 1.4.0 and the paper (Jaegle et al. 2021, arXiv 2103.03206) differ.

    Models take ``style="release"`` (the default: 1.4.0's numbers), ``style="paper"``, or a `Style` of your own, for
    instance ``Style.of("paper", freq_scale="log")``.

    Args:
        double_residual: the multi-modality models of 1.4.0 add a latent transformer's input to its output although
            its blocks already add theirs; the paper has one residual per part. (`Perceiver` never had it.)
        weight_sharing: what ``weight_tie_layers=True`` ties, ``"release"`` or ``"paper"``; see
            `perceiver_pytorch.nn.sharing`.
        freq_scale: spacing of the Fourier bands: ``"log"`` from freq_base to max_freq / 2 (1.4.0), ``"linear"`` from 1
            to max_freq / 2 (paper, section 3.2).
        latent_init: ``"normal"``, N(0, 1) (1.4.0), or ``"truncated_normal"``, standard deviation 0.02 cut at ±2
            (paper, appendix).
        linear_init: weights of linear layers: ``"uniform"``, PyTorch's default (1.4.0), or ``"variance_scaling"``,
            truncated normal of variance 1 / fan_in with zero biases (the paper's published code).
        activation: of the feed-forward parts: ``"geglu"`` (1.4.0 and lucidrains), ``"gelu"`` (paper), or None: GELU
            where the model's ``use_gelu`` says so, else GEGLU.
        widening_factor: how many times as wide feed-forward parts are inside: 4 (1.4.0), 1 (paper, appendix C). A
            style that was saved without it has 4.

    Raises:
        ValueError, TypeError: for a value that is not one of those.
    """

    double_residual: bool = True
    weight_sharing: str = "release"
    freq_scale: str = "log"
    latent_init: str = "normal"
    linear_init: str = "uniform"
    activation: str | None = None
    widening_factor: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.double_residual, bool):
            raise TypeError(f"double_residual must be True or False, got {self.double_residual!r}")
        _checks.choice("weight_sharing", self.weight_sharing, RULES)
        _checks.choice("freq_scale", self.freq_scale, ("log", "linear"))
        _checks.choice("latent_init", self.latent_init, LATENT_INITS)
        _checks.choice("linear_init", self.linear_init, LINEAR_INITS)
        _checks.choice("activation", self.activation, (None, *FEED_FORWARD))
        _checks.positive_int("widening_factor", self.widening_factor)

    @classmethod
    def of(cls, value: "str | Style | Mapping[str, Any]" = "release", **changes: Any) -> "Style":
        """The style called ``value`` (or given by it, as a mapping of its fields), with ``changes`` applied."""
        if isinstance(value, Mapping):
            style = cls(**_checks.known_keys("style", value, [field.name for field in dataclasses.fields(cls)]))
        elif isinstance(value, Style):
            style = value
        else:
            style = _PRESETS[_checks.choice("style", value, tuple(_PRESETS))]
        return dataclasses.replace(style, **changes)

    def feed_forward(self, use_gelu: bool) -> str:
        """Name of the activation, for a model built with ``use_gelu``."""
        return self.activation or ("gelu" if use_gelu else "geglu")


_PRESETS = {
    "release": Style(),
    "paper": Style(
        double_residual=False,
        weight_sharing="paper",
        freq_scale="linear",
        latent_init="truncated_normal",
        linear_init="variance_scaling",
        activation="gelu",
        widening_factor=1,
    ),
}
