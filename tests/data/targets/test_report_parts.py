import torch

from perceiver_pytorch.data.targets.report_parts import spread


def test_values_are_spread_from_the_first_to_the_last():
    values = torch.arange(100, 200)
    assert spread(values, 4).tolist() == [100, 133, 166, 199]
    assert spread(values, 100) is spread(values, 1000) is values
    assert spread(values, 0).tolist() == spread(values[:0], 3).tolist() == []
