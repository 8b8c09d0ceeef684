import pytest
import torch

from perceiver_pytorch.training.run import accelerator


@pytest.mark.parametrize(("cores", "ours"), [(1, 1), (2, 2), (64, 3)])
def test_operations_keep_to_one_thread_and_threads_without_a_core_are_left_out(monkeypatch, cores, ours):
    before = torch.get_num_threads()
    monkeypatch.setattr(accelerator, "usable_cores", lambda: cores)
    torch.set_num_threads(3)
    try:
        assert accelerator.own_cores() == ours
        with accelerator.on_own_cores():
            assert torch.get_num_threads() == 1
            with accelerator.on_own_cores():  # a job within a job
                assert accelerator.own_cores() == ours
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_model_stays_where_there_is_no_accelerator(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert accelerator.on_accelerator(torch.nn.Linear(1, 1)).weight.device.type == "cpu"
