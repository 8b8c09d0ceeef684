"""What each kind says about cells that are unlike the train rows."""

import datetime
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_helpers import png, video, wav
from perceiver_pytorch.data import CategoriesSpec, DatesSpec, ModalitySpec, NumbersSpec, PointsSpec, SpecOptions, Where
from perceiver_pytorch.data.kinds.audio import AudioSpec
from perceiver_pytorch.data.kinds.image import ImageSpec
from perceiver_pytorch.data.kinds.series import SeriesSource, SeriesSpec
from perceiver_pytorch.data.kinds.set import SetSpec
from perceiver_pytorch.data.kinds.video import VideoSpec
from perceiver_pytorch.data.kinds.words import WordsSpec
from perceiver_pytorch.data.oddities import Oddity

WHERE = Where("here.csv", Path("/nowhere"), 17)
NUMBERS = NumbersSpec.fit("numbers", {"age": [18.0, 30.0, 90.0], "height": [1.5, 1.7, None]})
CATEGORIES = CategoriesSpec.fit("categories", {"color": ["red", "blue"] * 5, "size": ["big", "small"] * 5})
DAYS = [datetime.datetime(2020, 1, 1) + datetime.timedelta(days=i) for i in range(100)]
DATES = DatesSpec.fit("dates", {"day": DAYS})
NOISE = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)


def odd(spec: ModalitySpec, **row: object) -> list[Oddity]:
    encoded = spec.encode(row, WHERE)
    return [] if encoded is None else list(encoded.unusual)


def test_numbers_beyond_the_range_are_odd_by_how_far() -> None:
    assert odd(NUMBERS, age="18", height="1.7") == []
    assert odd(NUMBERS, age="", height="1.6") == []
    above, below = odd(NUMBERS, age="126", height="1.4")
    assert above.reason == "age is 126, above the train rows' 18 to 90"
    assert above.strength == pytest.approx(0.5)
    assert below.reason == "height is 1.4, below the train rows' 1.5 to 1.7"
    assert {above.what, below.what} == {"beyond"}
    constant = NumbersSpec.fit("numbers", {"x": [5.0, 5.0]})
    assert odd(constant, x="7")[0].strength == 2.0
    assert odd(replace(NUMBERS, quantiles=(), gaps=()), age="999", height="1.6") == []  # of a run of an early version


def test_categories_and_names_that_no_train_row_has_are_odd() -> None:
    assert odd(CATEGORIES, color="red", size=None) == []
    (found,) = odd(CATEGORIES, color="zebra", size="big")
    assert found == Oddity("unseen color", "color is 'zebra', which no train row has")
    names = SetSpec.fit("tags", [["a", "b"], ["b"]], SpecOptions())
    assert odd(names, tags=["a", "b"]) == []
    assert [each.reason for each in odd(names, tags=["a", "z"])] == ["tags has 'z', which no train row has"]


def test_dates_are_odd_by_their_deviations() -> None:
    assert odd(DATES, day="2020-02-20") == []
    (found,) = odd(DATES, day="2021-02-19")
    assert found.reason.startswith("day is 2021-02-19, far from the train rows' (mostly 2020-01-2")
    assert found.strength == pytest.approx((415 - 49.5) / np.std(np.arange(100)), rel=0.01)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [(np.zeros((8, 8, 3), np.uint8), "photo is black"), (np.full((8, 8, 3), 200, np.uint8), "photo is of one colour")],
)
def test_pictures_that_show_nothing_are_odd(pixels: np.ndarray, reason: str) -> None:
    spec = ImageSpec("photo", 8, 8, 3, 1)
    assert odd(spec, photo=png(NOISE)) == []
    assert odd(spec, photo=png(pixels)) == [Oddity("blank", reason)]


def test_films_that_show_nothing_are_odd() -> None:
    pytest.importorskip("av")
    spec = VideoSpec("clip", 10.0, 4, 16, 16, 1)
    frames = np.random.default_rng(0).integers(0, 255, (4, 16, 16, 3), dtype=np.uint8)
    assert odd(spec, clip=video(frames)) == []
    assert odd(spec, clip=video(np.zeros_like(frames))) == [Oddity("blank", "clip is black")]


@pytest.mark.parametrize("mel", [{}, {"mel_bands": 8, "mel_window": 200, "means": (0.0,) * 8, "stds": (1.0,) * 8}])
def test_silence_is_odd(mel: dict[str, object]) -> None:
    spec = AudioSpec("sound", 8000, 1600, 80, **mel)  # type: ignore[arg-type]
    assert odd(spec, sound=wav(0.1 * np.sin(np.arange(1600)))) == []
    assert odd(spec, sound=wav(np.zeros(1600))) == [Oddity("silent", "sound is silent")]


def test_series_are_odd_that_never_change_or_go_far() -> None:
    spec = SeriesSpec.fit(SeriesSource("x"), [(None, np.sin(np.arange(30.0))[:, None])], SpecOptions())
    assert odd(spec, x=[0.1, 0.9, -0.5]) == []
    assert [each.what for each in odd(spec, x=[0.1, 0.1, 0.1])] == ["flat"]
    (found,) = odd(spec, x=[0.1, 7.0])
    assert found.what == "far"
    assert found.strength > 5


def test_points_outside_of_the_box_are_odd() -> None:
    spec = PointsSpec("x", 8, (0.0, 0.0, 0.0), 2.0, (), ())
    assert odd(spec, x=[[1.0, 2.0, -2.0]]) == []
    (found,) = odd(spec, x=[[4.0, 0.0, 0.0]])
    assert found.what == "outside"
    assert found.strength == pytest.approx(1.0)


def test_texts_of_new_words_are_odd() -> None:
    spec = WordsSpec.fit("note", ["the cat sat", "the cat sat"], max_length=9, max_words=9, width=8)
    assert odd(spec, note="the cat sat there") == []
    assert odd(spec, note="what") == []
    (found,) = odd(spec, note="quantum flux capacitor")
    assert found == Oddity("new words", "note has 100% words that the train rows do not repeat", 1.0)
