"""perceiver-pytorch 0.11.0: one input array, position-encoded by itself, or read as it is."""

from torch import Tensor, nn

from benchmarks.cases import Case
from benchmarks.contestants.dense import DenseInput, token_channels

PEER = "perceiver-pytorch-0.11.0"
WARM_UPS = 1


def unsupported(case: Case) -> str | None:
    return None


def note(case: Case) -> str:
    if len(case.modalities) == 1:
        return ""
    chunk = "; every layer reads the first chunk of the text" if any(m.vocabulary for m in case.modalities) else ""
    return f"reads one array, built by our code inside the forward{chunk}"


def build(case: Case) -> nn.Module:
    from perceiver_pytorch import Perceiver

    arguments = {key: value for key, value in case.arguments.items() if key != "num_latent_blocks_per_layer"}
    arguments["self_per_cross_attn"] = case.num_blocks
    only = case.modalities[0]
    arguments |= {"num_freq_bands": only.num_freq_bands, "max_freq": only.max_freq}
    if len(case.modalities) == 1:
        return OneFloatInput(Perceiver(input_channels=only.channels, input_axis=len(only.axes), **arguments))
    model = Perceiver(input_channels=token_channels(case), input_axis=1, fourier_encode_data=False, **arguments)
    return DenseInput(case, model)


class OneFloatInput(nn.Module):
    """The only modality as floats: positions are computed in the dtype of the data, which must not be uint8."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        (data,) = inputs.values()
        return self.model(data.float())
