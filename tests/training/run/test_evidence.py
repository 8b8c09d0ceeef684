import pytest

from perceiver_pytorch.training.run.evidence import hardly_trained


@pytest.mark.parametrize(
    ("steps", "passes", "told"),
    [
        (400, 0.25, "This model is hardly trained: 400 steps, 25% of an epoch."),
        (8, 4.0, "This model is hardly trained: 8 steps."),
        (1, 0.5, "This model is hardly trained: 1 step, 50% of an epoch."),
        (19, 1.0, "This model is hardly trained: 19 steps."),
        (999, 0.999, "This model is hardly trained: 999 steps, 100% of an epoch."),
        (1000, 0.5, None),  # of very many rows
        (20, 1.0, None),
    ],
)
def test_less_than_an_epoch_or_few_steps_are_told(steps, passes, told):
    lines = hardly_trained({"trained": {"steps": steps, "passes": passes, "best_epoch": 1}})
    assert (lines[0].startswith(told) and len(lines) == 1) if told else lines == []


def test_early_versions_did_not_count():
    assert hardly_trained({"accuracy": 1.0}) == []
