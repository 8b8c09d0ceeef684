"""What a search tries."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceiver_pytorch._settings import Search, all_settings, value_at
from perceiver_pytorch.training.table.settings import FitConfig
from perceiver_pytorch.tuning.space import Dimension, configured, search_space


class Asked:
    """A trial that takes the largest of everything, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: dict[str, tuple[Any, ...]] = {}

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        self.asked[name] = tuple(choices)
        return choices[-1]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float:
        self.asked[name] = (low, high, log)
        return high

    suggest_int = suggest_float


@pytest.mark.parametrize(
    ("text", "asked", "value"),
    [
        ("training.lr=1e-4..1e-2", (1e-4, 1e-2, True), 1e-2),
        ("training.label_smoothing=0..0.3", (0, 0.3, False), 0.3),
        ("model.depth=1..6", (1, 6, False), 6),
        ("model.num_latents=8..128", (8, 128, True), 128),
        ("model.depth=1,2,4", (1, 2, 4), 4),
        ("training.lr=1e-4,3e-3", (1e-4, 3e-3), 3e-3),
        ("training.word_decay=null,10", (None, 10.0), 10.0),
        ("model.split_embedding", (False, True), True),
        ("training.optimizer", ("adamw", "lamb"), "lamb"),
        ("training.modality_dropout", (0, 1, False), 1),
        ("training.batch_size", (16, 32, 64), 64),
    ],
)
def test_what_is_asked_for_is_tried(text: str, asked: tuple[Any, ...], value: Any) -> None:
    (dimension,) = search_space([text], (), FitConfig())
    trial = Asked()
    assert dimension.suggested(trial) == value
    assert trial.asked == {dimension.path: asked}
    assert value_at(configured(FitConfig(), {dimension.path: value}), dimension.path) == value
    assert Dimension.from_json(dimension.to_json()) == dimension


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training.lrr=1..2", "the key of --search must be one of"),
        ("training.lr=2..1", "LOW below HIGH"),
        ("training.lr=a..b", "with numbers for training.lr"),
        ("model.depth=1..2.5", "with whole numbers for model.depth"),
        ("model.depth=0..3", "model.depth must be"),
        ("model.depth=1,x", "model.depth must be"),
        ("training.optimizer=1..2", "training.optimizer is no number"),
        ("training.optimizer=adamw,sgd", "training.optimizer must be one of"),
        ("model.cross_heads", "needs what to try: model.cross_heads=LOW..HIGH"),
    ],
)
def test_what_cannot_be_tried_is_told(text: str, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        search_space([text], (), FitConfig())


def test_every_setting_that_declares_it_is_searched_but_those_that_are_given() -> None:
    declared = {setting.path for setting in all_settings(FitConfig) if setting.knob.search is not None}
    assert {"training.lr", "model.depth"} <= declared
    assert {dimension.path for dimension in search_space([], (), FitConfig())} == declared
    left = search_space([], ("training.lr", "data.table"), FitConfig())
    assert {dimension.path for dimension in left} == declared - {"training.lr"}
    with pytest.raises(ValueError, match="nothing is left to search"):
        search_space([], declared, FitConfig())
    with pytest.raises(ValueError, match=r"names training\.lr 2 times"):
        search_space(["training.lr", "training.lr=1e-3,1e-2"], (), FitConfig())


@given(st.floats(1e-6, 1e3), st.floats(1.001, 1e6))
def test_ends_are_kept_and_wide_ranges_are_logarithmic(low: float, factor: float) -> None:
    high = low * factor
    (dimension,) = search_space([f"training.weight_decay={low!r}..{high!r}"], (), FitConfig())
    assert dimension.search == Search((), low, high, log=high >= 10 * low)
