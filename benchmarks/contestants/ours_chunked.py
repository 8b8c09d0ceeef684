"""This repository in plain PyTorch: the backend ``chunked``, whatever else there is."""

from torch import Tensor, nn

from benchmarks.cases import Case
from benchmarks.contestants import ours

PEER, WARM_UPS = ours.PEER, ours.WARM_UPS
unsupported = ours.unsupported


def note(case: Case) -> str:
    return ""


def build(case: Case) -> nn.Module:
    return Chunked(ours.build(case))


class Chunked(nn.Module):
    """Runs a model's cross-attends in one backend; the backward pass is then that backend's, too."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        from perceiver_pytorch.ops import use_backend

        with use_backend("chunked"):
            return self.model(inputs)
