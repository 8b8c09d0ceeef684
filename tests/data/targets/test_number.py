"""Metrics of numbers against scikit-learn; numbers in their unit, and dates."""

import datetime
import math

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
    if np.std(cells) <= 1e-12 * abs(np.mean(cells)):
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
    assert values["mape"] == pytest.approx(sk.mean_absolute_percentage_error(truth, given))
    assert NUMBER.measured(outputs[:1], encoded[:1])["r2"] is None


def test_errors_are_shares_only_of_amounts():
    zero = torch.tensor([0.0, -5.0])
    assert NUMBER.measured(torch.zeros(2, 1), zero)["mape"] is None
    assert NumberTarget("n", 18000.0, 2.0, "day").measured(torch.zeros(2, 1), torch.zeros(2))["mape"] is None
    assert NumberTarget("n", -5.0, 1.0).measured(torch.zeros(2, 1), torch.zeros(2))["mape"] is None


def prices(count=400):
    return np.exp(np.random.default_rng(0).normal(5, 1, count))


def test_skewed_amounts_are_learned_by_their_logarithm():
    cells = prices()
    target = NumberTarget.fit("n", cells.tolist())
    assert (target.log_mean, target.log_std) == (
        pytest.approx(np.log(cells).mean()),
        pytest.approx(np.log(cells).std()),
    )
    assert target.greatest == cells.max()
    assert target.note().endswith(", learned by its logarithm, since most are small")
    outputs = torch.tensor((np.log(cells[:, None]) - target.log_mean) / target.log_std)
    np.testing.assert_allclose(target.values(outputs)[:, 0], cells, rtol=1e-6)
    encoded = torch.tensor([float(target.encode(cell)) for cell in cells])
    assert target.measured(outputs, encoded)["r2"] == pytest.approx(1)
    assert target.measured(outputs, encoded)["mape"] == pytest.approx(0, abs=1e-4)
    assert target.values(torch.full((1, 1), 99.0)).item() == pytest.approx(2 * cells.max())


@pytest.mark.parametrize(
    ("cells", "logs"),
    [
        (prices(), True),
        (np.floor(prices() / 50), True),  # counts, some of them 0
        (-prices(), False),
        (prices() - 1e3, False),
        (np.linspace(1, 100, 400), False),
        (100 - np.linspace(0, 9.9, 400) ** 2, False),  # skewed to the other side
    ],
)
def test_only_skewed_amounts_are(cells, logs):
    assert bool(NumberTarget.fit("n", cells.tolist()).log_std) is logs


def test_the_least_deviance_has_the_mean():
    target = NumberTarget.fit("n", prices().tolist())
    encoded = torch.tensor([float(target.encode(cell)) for cell in (10.0, 0.0, 800.0)])
    output = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([output], max_iter=100)

    def step():
        optimizer.zero_grad()
        loss = target.loss(output.expand(3, 1), encoded)
        loss.backward()
        return loss

    optimizer.step(step)
    assert target.values(output.detach()).item() == pytest.approx(270, rel=1e-3)


def test_the_deviance_is_the_squared_error_near_its_least():
    target = NumberTarget("n", 100.0, 20.0, log_mean=4.6, log_std=0.2, greatest=200.0)
    outputs = torch.tensor([[(math.log(truth + 1) - 4.6) / 0.2] for truth in (100, 120)])
    encoded = torch.tensor([0.0, 1.0])
    expected = (0.05**2 * 100 / 101 + 0.05**2 * 100 / 121) / 2
    assert target.loss(outputs, encoded).item() == pytest.approx(expected, rel=0.02)
    exact = torch.tensor([[(math.log(truth) - 4.6) / 0.2] for truth in (100, 120)])
    assert target.loss(exact, encoded).item() == pytest.approx(0, abs=1e-5)


def test_far_too_large_an_answer_has_a_finite_loss_and_gradient():
    target = NumberTarget.fit("n", prices().tolist())
    output = torch.full((1, 1), 1e4, requires_grad=True)
    loss = target.loss(output, torch.zeros(1))
    loss.backward()
    assert loss.isfinite()
    assert 0 < output.grad.item() < math.inf


def test_wrong_logarithms_are_named():
    for values in ((0.0, -1.0, 1.0), (0.0, 1.0, 0.0)):
        with pytest.raises(ValueError, match="log_std must be 0, or above 0 with a mean and a greatest number above 0"):
            NumberTarget("n", 1.0, 1.0, "", *values)
    with pytest.raises(ValueError, match="log_std must be 0"):
        NumberTarget("n", -1.0, 1.0, "", 0.0, 1.0, 5.0)


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
    assert NUMBER.columns(values.numpy())["prediction"].tolist() == [110.0, 80.0]
    assert NUMBER.answer(values[0], torch.tensor(1.0)) == Answer("110", "120")
    assert NUMBER.answer(values[0], None) == Answer("110")
    assert NUMBER.right(values, torch.zeros(2)) is None
    days = NumberTarget("n", 18000.0, 2.0, "day")
    assert days.columns(days.values(torch.zeros(1, 1)).numpy())["prediction"].astype(str).tolist() == ["2019-04-14"]


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


def test_numbers_that_come_back_are_classes():
    assert NumberTarget.recognises(list(range(21)), None)
    assert not NumberTarget.recognises(list(range(20)), None)
    assert NumberTarget.recognises([1.5, 2.0, 3.0, None], None)
    assert not NumberTarget.recognises([1.5, 1.5, 2.0, 2.0, 3.0, 3.0], None)
    assert not NumberTarget.recognises([1.5, 2.0], None)
    assert not NumberTarget.recognises([1.0, 2.0, 3.0], None)
    assert not NumberTarget.recognises([1.5, 2.0, 3.0, True], None)
    assert not NumberTarget.recognises([1.5, 2.0, 3.0, "x"], None)
    assert NumberTarget.recognises([*range(21), float("inf")], None)


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(ValueError, match="has no number in the train rows"):
        NumberTarget.fit("n", [None])
    with pytest.raises(ValueError, match="has numbers that are too large to average"):
        NumberTarget.fit("n", [1e308, -1e308])
    with pytest.raises(ValueError, match=r"has one value only in the train rows \(7\); there is nothing to learn"):
        NumberTarget.fit("n", [7, 7])
    with pytest.raises(ValueError, match="one value only"):
        NumberTarget.fit("n", [1e12, 1e12 + 1e-1])
    assert NumberTarget.fit("n", [1e12, 1e12 + 10]).std == 5
    assert NumberTarget.fit("n", [1e-15, 3e-15]).std == pytest.approx(1e-15)  # a unit may be as small as it likes
    for std in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="std must be positive"):
            NumberTarget("n", 0.0, std)


def test_a_number_is_in_standard_deviations():
    assert float(NUMBER.encode(130)) == 1.5
    assert NUMBER.encode(None).dtype == np.float32
    assert np.isnan(NUMBER.encode(None))
    assert (NUMBER.size, NUMBER.note()) == (1, "a number, 100 ± 20")
    assert NUMBER.loss(torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, 4.0])).item() == 2.5


def test_baselines_and_the_score(generator):
    encoded = torch.tensor([0.5, -1.5])
    values = NUMBER.measured(torch.zeros(2, 1), encoded)
    assert values["baseline_rmse"] == pytest.approx(20 * 1.25**0.5)
    assert values["mae"] == pytest.approx(20)
    assert (NUMBER.score_name(), NUMBER.score_name(balanced=True)) == ("r2", "r2")
    assert NUMBER.score(values, "r2") == values["r2"]
    for same in (encoded[:1], encoded[:1].expand(3)):
        alone = NUMBER.measured(torch.full((len(same), 1), 1.5), same)
        assert alone["r2"] is None
        assert NUMBER.score(alone, "r2") == 0  # a standard deviation off


def test_a_date_rounds_to_what_the_cells_are():
    timed = NumberTarget("n", 18000.0, 2.0, "second")
    assert str(timed.cells(np.array(0.5 + 0.4 / 86400))) == "1970-01-01T12:00:00"
    assert timed.note() == "a date, 2019-04-14T00:00:00 ± 2 days"
    mixed = [datetime.date(2021, 1, i) for i in range(1, 9)] + [None]
    assert NumberTarget.fit("n", mixed[:-1]).dates == "day"
    assert NumberTarget.fit("n", [*mixed[:-1], 5.0]).dates == ""


def test_points_are_drawn_true_against_predicted():
    axes = Figure().subplots()
    values = NUMBER.values(torch.tensor([[0.0], [1.0]]))
    (section,) = NUMBER.sections({}, values, torch.tensor([-1.0, 2.0]), "")
    assert (section.drawing.width, section.drawing.height) == (5.0, 4.6)
    section.drawing.draw(axes)
    assert axes.collections[0].get_offsets().tolist() == [[80.0, 100.0], [140.0, 120.0]]
    assert axes.collections[0].get_alpha() == 0.8
    assert (axes.collections[0].get_sizes().tolist(), axes.collections[0].get_linewidths().tolist()) == ([14], [0])
    (line,) = axes.lines
    assert line.get_linewidth() == 1
    assert line.get_xydata().tolist() == [[80.0, 80.0], [140.0, 140.0]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("true n", "predicted n")
    many = Figure().subplots()
    NUMBER.sections({}, NUMBER.values(torch.zeros(800, 1)), torch.linspace(-1, 1, 800), "")[0].drawing.draw(many)
    assert many.collections[0].get_alpha() == 0.25
    for rows, note in ((5000, ""), (5001, "5000 of 5001 rows are drawn.")):
        assert NUMBER.sections({}, torch.zeros(rows, 1), torch.zeros(rows), "")[0].note == note
    assert NUMBER.measured(torch.zeros(2, 1), torch.tensor([0.0, 1.0]))["r2"] is not None


def test_every_score_has_an_interval_from_rows_drawn_anew():
    torch.manual_seed(0)
    encoded = torch.randn(200)
    outputs = (encoded + 0.5 * torch.randn(200))[:, None]
    metrics = NUMBER.measured(outputs, encoded)
    found = NUMBER.intervals(metrics, outputs, encoded)
    assert {name: interval["method"] for name, interval in found.items()} == dict.fromkeys(
        ("mae", "rmse", "r2", "mape"), "bootstrap"
    )
    rng, truth, given = np.random.default_rng(1), encoded.numpy() * 20.0 + 100, outputs[:, 0].numpy() * 20.0 + 100
    draws = [rng.integers(200, size=200) for _ in range(400)]
    for name, score in (
        ("mae", sk.mean_absolute_error),
        ("rmse", sk.root_mean_squared_error),
        ("r2", sk.r2_score),
        ("mape", sk.mean_absolute_percentage_error),
    ):
        low, high = np.quantile([score(truth[rows], given[rows]) for rows in draws], [0.025, 0.975])
        assert found[name]["low"] < metrics[name] < found[name]["high"]
        assert (found[name]["low"], found[name]["high"]) == pytest.approx((low, high), abs=0.25 * (high - low)), name
    same = torch.ones(4)
    metrics = NUMBER.measured(torch.tensor([[1.0], [2], [3], [4]]), same)
    assert metrics["r2"] is None
    assert NUMBER.intervals(metrics, torch.tensor([[1.0], [2], [3], [4]]), same).keys() == {"mae", "rmse", "mape"}


def test_people_read_amounts_without_powers_of_ten_and_no_rounding_error_for_zero():
    target = NumberTarget("n", 57.9, 27.7)
    encoded = torch.tensor(target.encode(0.0))
    assert target.answer(torch.tensor([64.6132]), encoded) == Answer("64.61", "0")
    assert NumberTarget("n", 3e6, 4e6).text(8621034.2) == "8,621,000"
    assert NumberTarget("n", 1e-8, 1e-8).text(2e-9) == "2e-09"
