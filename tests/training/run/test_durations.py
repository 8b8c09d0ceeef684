import pytest

from perceiver_pytorch.training.run.durations import Deadline, Every, generous, seconds, written


@pytest.mark.parametrize(
    ("text", "expected"), [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), (" 0.5h ", 1800), ("1m1.5s", 61.5)]
)
def test_durations_are_read_as_written(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-5", "5 minutes", "m5", "1s1m"])
def test_anything_else_is_refused_by_the_name_of_the_option(text):
    with pytest.raises(ValueError, match="--limit must be a duration such as 90s, 5m or 1h30m, got"):
        seconds(text, "--limit")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5m", Every(seconds=300)), ("200 steps", Every(steps=200)), ("1step", Every(steps=1)), ("Never", Every())],
)
def test_how_often_is_read_as_written(text, expected):
    assert Every.of(text) == expected


@pytest.mark.parametrize("text", ["0 steps", "often", ""])
def test_no_frequency_is_refused(text):
    with pytest.raises(ValueError, match="checkpoint_every must be like 5m, 200 steps or never, got"):
        Every.of(text)


def test_a_number_is_a_type_error():
    with pytest.raises(TypeError, match="time_limit must be text such as '90s', '5m' or '1h30m', got 5"):
        seconds(5, "time_limit")


def test_it_is_due_by_time_or_by_steps_or_never():
    assert Every(seconds=10).due(10, 0)
    assert not Every(seconds=10).due(9.9, 1000)
    assert Every(steps=3).due(0, 3)
    assert not Every(steps=3).due(1000, 2)
    assert not Every().due(1e9, 10**9)


def test_a_deadline_counts_from_when_it_was_made(monkeypatch):
    time = 100.0
    monkeypatch.setattr("perceiver_pytorch.training.run.durations.now", lambda: time)
    deadline = Deadline(60.0)
    time = 130.0
    assert deadline.left() == 30.0
    assert deadline.earlier(40.0).left() == -10.0


@pytest.mark.parametrize(
    ("duration", "expected"), [(45, "45s"), (60.0, "1m"), (90, "1m30s"), (3600, "1h"), (5400, "1h30m"), (0.5, "0.5s")]
)
def test_durations_are_written_as_they_are_read(duration, expected):
    assert written(duration) == expected
    assert seconds(expected) == duration


@pytest.mark.parametrize(("duration", "expected"), [(3, 10), (61, 120), (601, 900), (3601, 5400), (1800, 1800)])
def test_a_generous_duration_is_a_round_one(duration, expected):
    assert generous(duration) == expected
