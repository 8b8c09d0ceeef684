"""Metrics of numbers against scikit-learn; numbers in their unit, and dates."""

import datetime

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from sklearn import metrics as sk

from perceiver_pytorch.data import NumberTarget
from perceiver_pytorch.data.targets import Answer, number

NUMBER = NumberTarget("n", 100.0, 20.0)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=30))
def test_numbers_are_standardised_by_the_train_rows(cells):
    if np.std(cells) <= 1e-12 * max(1, abs(np.mean(cells))):
        with pytest.raises(ValueError, match="one value only"):
            NumberTarget.fit("n", cells)
        return
    target = NumberTarget.fit("n", cells)
    encoded = np.array([target.encode(cell) for cell in cells], dtype=np.float64)
    assert np.allclose(encoded * target.std + target.mean, cells, rtol=1e-5, atol=1e-5 * target.std)


def test_metrics_of_numbers_are_scikit_learns_in_their_unit(generator):
    outputs, encoded = torch.randn(30, 1, generator=generator), torch.randn(30, generator=generator)
    encoded[3] = torch.nan
    keep = ~encoded.isnan()
    values = NUMBER.measured(outputs, encoded)
    truth, given = encoded[keep].double().numpy() * 20 + 100, outputs[keep, 0].double().numpy() * 20 + 100
    assert values["mae"] == pytest.approx(sk.mean_absolute_error(truth, given))
    assert values["rmse"] == pytest.approx(sk.root_mean_squared_error(truth, given))
    assert values["r2"] == pytest.approx(sk.r2_score(truth, given))
    assert values["baseline_mae"] == pytest.approx(np.abs(truth - 100).mean())
    assert NUMBER.measured(outputs[:1], encoded[:1])["r2"] is None


def test_dates_are_numbers_that_are_dates_again():
    day, hour = datetime.timedelta(days=1), datetime.timedelta(hours=1)
    start = datetime.date(2021, 3, 1)
    target = NumberTarget.fit("n", [start + i * day for i in range(11)])
    assert target.dates == "day"
    assert target.note() == "a date, 2021-03-06 ± 3.162 days"
    assert float(target.encode(start)) == pytest.approx(-5 / target.std)
    days = (start - datetime.date(1970, 1, 1)).days
    cells = target.cells(np.array([days + 0.4, days + 0.6]))
    assert cells.astype(str).tolist() == ["2021-03-01", "2021-03-02"]
    timed = NumberTarget.fit("n", [datetime.datetime(2021, 3, 1) + i * hour for i in range(10)])
    assert timed.dates == "second"
    assert timed.text(days + 0.25) == "2021-03-01T06:00:00"
    plain = NumberTarget.fit("n", [1.0, 2.0, 4.0])
    assert (plain.dates, plain.text(2.0)) == ("", "2")
    assert plain.cells(np.array([2.5])).tolist() == [2.5]
    with pytest.raises(ValueError, match="dates must be 'day'"):
        NumberTarget("n", 0.0, 1.0, "month")


def test_a_row_in_words_and_in_a_file():
    values = NUMBER.values(torch.tensor([[0.5], [-1.0]]))
    assert values.tolist() == [[110.0], [80.0]]
    assert NUMBER.columns(values)["prediction"].tolist() == [110.0, 80.0]
    assert NUMBER.answer(values[0], torch.tensor(1.0)) == Answer("110", "120")
    assert NUMBER.answer(values[0], None) == Answer("110")
    assert NUMBER.right(values, torch.zeros(2)) is None
    days = NumberTarget("n", 18000.0, 2.0, "day")
    assert days.columns(days.values(torch.zeros(1, 1)))["prediction"].astype(str).tolist() == ["2019-04-14"]


def test_the_report_draws_rows_whose_number_is_known(monkeypatch):
    encoded = torch.linspace(-1, 1, 9)
    encoded[4] = torch.nan
    values = NUMBER.values(torch.zeros(9, 1))
    (section,) = NUMBER.sections({}, values, encoded, " of n")
    assert (section.heading, section.note) == ("True and predicted n", "")
    axes = Figure().subplots()
    section.drawing.draw(axes)
    (points,) = axes.collections
    assert len(points.get_offsets()) == 8
    monkeypatch.setattr(number, "_MAX_POINTS", 5)
    assert NUMBER.sections({}, values, encoded, "")[0].note == "5 of 8 rows are drawn."
