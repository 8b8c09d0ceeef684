import pytest
import torch

from perceiver_pytorch.training.run import accelerator


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (64, 3)])
def test_threads_without_a_core_are_left_out_for_a_while(monkeypatch, cores, threads):
    before = torch.get_num_threads()
    monkeypatch.setattr(accelerator, "usable_cores", lambda: cores)
    torch.set_num_threads(3)
    try:
        with accelerator.on_own_cores():
            assert torch.get_num_threads() == threads
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_model_stays_where_there_is_no_accelerator(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert accelerator.on_accelerator(torch.nn.Linear(1, 1)).weight.device.type == "cpu"
