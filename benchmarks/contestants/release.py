"""Release 1.4.0 of this package, which builds the input array."""

from types import SimpleNamespace

from torch import nn

from benchmarks.cases import Case
from benchmarks.contestants.libraries import build_from

PEER = "release-1.4.0"
WARM_UPS = 1


def unsupported(case: Case) -> str | None:
    return None


def note(case: Case) -> str:
    return ""


def build(case: Case) -> nn.Module:
    from perceiver_pytorch import modalities, multi_modality_perceiver, multi_modality_with_text_perceiver
    from perceiver_pytorch import perceiver_pytorch as single

    names: dict[str, object] = {}
    for module in (modalities, single, multi_modality_perceiver, multi_modality_with_text_perceiver):
        names |= vars(module)
    return build_from(SimpleNamespace(**names), case)
