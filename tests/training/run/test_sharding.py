"""Weights that two ranks share. Run as a program, this file is one of the ranks."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn

from perceiver_pytorch.training.run.divergence import all_finite
from perceiver_pytorch.training.run.ranks import is_first, joined, of_all, rank
from perceiver_pytorch.training.run.settings import TrainingSettings
from perceiver_pytorch.training.run.sharding import (
    Sharded,
    gathered,
    is_part,
    is_sharded,
    own_part,
    part_like,
    with_weights,
)
from rank_helpers import in_ranks


class Block(nn.Linear):
    always_called = True


class Model(nn.Module):
    """Reads rows by a layer of their own; the last two layers have one weight, and nobody reads ``unused``."""

    def __init__(self) -> None:
        super().__init__()
        self.readers = nn.ModuleList(nn.Linear(3, 5) for _ in range(2))
        self.blocks = nn.ModuleList([Block(5, 5)])
        self.head, self.tied = nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False)
        self.tied.weight = self.head.weight
        self.unused = nn.Linear(2, 1)
        self.register_buffer("count", torch.tensor(3))

    def forward(self, x: Tensor, reader: int) -> Tensor:
        return self.tied(self.head(self.blocks[0](self.readers[reader](x)))).square().mean()


def in_a_rank() -> None:
    torch.manual_seed(rank())  # the first one's weights count
    model = Model()
    torch.manual_seed(0)
    expected = Model()
    x = torch.randn(4, 3)
    (expected(x[:2], 0) + expected(x[2:], 1)).backward()
    sharded = Sharded(model, distributed.device_mesh.init_device_mesh("cpu", (2,)))
    assert is_sharded(model)
    assert not is_sharded(expected)
    kept = sum(own_part(weight).numel() for weight in model.parameters())
    assert kept < sum(of_all(kept)) == sum(weight.numel() for weight in expected.parameters())
    for _ in range(2):
        model.zero_grad()
        (loss,) = with_weights(model, lambda: (model(x[2 * rank() :][:2], rank()),))
        (loss * 2).backward()  # ranks take the mean
        for (name, weight), other in zip(model.named_parameters(), expected.parameters(), strict=True):
            assert (weight.grad is None) == (other.grad is None) == name.startswith("unused"), name
            if weight.grad is not None:
                torch.testing.assert_close(gathered(weight.grad), other.grad, msg=name)
        with torch.no_grad():  # each rank may look as it likes, nested or not
            again = with_weights(model, lambda: with_weights(model, lambda: model(x, 0)))
            torch.testing.assert_close(again, expected(x, 0))
    assert all(map(is_part, model.parameters()))
    for weight, other in zip(model.parameters(), expected.parameters(), strict=True):
        assert torch.equal(own_part(part_like(other.detach(), weight)), own_part(weight.detach()))
    with pytest.raises(ValueError, match="must have the shape"):
        part_like(torch.zeros(4, 4), next(model.parameters()))
    assert all_finite(model)
    whole = sharded.whole()
    if is_first():
        assert type(whole) is Model
        assert whole.head.weight is whole.tied.weight
        assert not is_sharded(whole)
        torch.testing.assert_close(dict(whole.state_dict()), dict(expected.state_dict()), rtol=0, atol=0)
    with torch.no_grad():
        if not is_first():  # its part of one weight
            own_part(model.blocks[0].weight).fill_(torch.inf)
    assert not all_finite(model)  # which all of them hear of


def test_ranks_share_weights(tmp_path: Path) -> None:
    in_ranks(2, str(Path(__file__)))


if __name__ == "__main__":
    with joined(TrainingSettings(accelerator="cpu", strategy="fsdp")):
        in_a_rank()
