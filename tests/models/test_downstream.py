"""Code that was written for release 1.4.0's modules, against ours and against the release itself."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from release import our_names, release_names, running_release
from release_cases import dense_array


def downstream_class(library: SimpleNamespace) -> type[nn.Module]:
    """A model as users derived them from the release: layers of its own and a forward over dense arrays."""

    class Downstream(library.MultiModalityPerceiver):
        def __init__(self, *, modalities, depth, latent_dim, weight_tie_layers, blocks):
            super().__init__(
                modalities=modalities,
                depth=depth,
                num_latents=5,
                latent_dim=latent_dim,
                num_classes=7,
                weight_tie_layers=weight_tie_layers,
            )
            input_dim = self.max_modality_dim

            def get_cross_attn():
                attention = library.Attention(latent_dim, input_dim, heads=2, dim_head=8)
                return library.PreNorm(latent_dim, attention, context_dim=input_dim)

            def get_latent_attn():
                return library.PreNorm(latent_dim, library.Attention(latent_dim, heads=2, dim_head=8))

            def get_ff():
                return library.PreNorm(latent_dim, library.FeedForwardGELU(latent_dim, dropout=0.0))

            makers = [library.cache_by_name_fn(make) for make in (get_cross_attn, get_ff, get_latent_attn, get_ff)]
            self.layers = nn.ModuleList([])
            library.build_perceiver_layers(
                self.layers, depth, *makers, weight_tie_layers, num_latent_blocks_per_layer=blocks
            )

        def forward(self, data, mask=None):
            dense = dense_array(library, self, data)
            x = self.latents.unsqueeze(0).expand(dense.shape[0], -1, -1)
            for cross_attn, cross_ff, latent_transformer in self.layers:
                x = cross_attn(x, context=dense, mask=mask) + x
                x = cross_ff(x) + x
                x = latent_transformer(x) + x
            return self.to_logits(self.pool(x))

    return Downstream


def test_layers_of_ones_own_work_under_our_forward() -> None:
    """A subclass that only swaps the layers, and leaves the forward to its base, as it could in 1.4.0."""
    library = our_names()
    torch.manual_seed(0)
    own = downstream_class(library)(
        modalities=modalities(library), depth=2, latent_dim=16, weight_tie_layers=False, blocks=2
    )
    data = {"image": torch.rand(2, 5, 4, 3), "audio": torch.rand(2, 30, 1)}
    torch.testing.assert_close(library.MultiModalityPerceiver.forward(own, data), own(data))


def modalities(library: SimpleNamespace) -> list[object]:
    return [library.InputModality("image", 3, 2, 4, 7.0), library.InputModality("audio", 1, 1, 5, 8.0, 3)]


@pytest.fixture
def data() -> dict[str, Tensor]:
    return {"image": torch.randn(2, 4, 5, 3), "audio": torch.randn(2, 9, 1)}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("tie", [False, True])
def test_a_subclass_with_layers_and_a_forward_of_its_own(data: dict[str, Tensor], tie: bool, masked: bool) -> None:
    mask = torch.rand(2, 29) > 0.3 if masked else None
    outputs, gradients = [], []
    for library in (our_names(), release_names()):
        torch.manual_seed(0)
        model = downstream_class(library)(
            modalities=modalities(library), depth=3, latent_dim=16, weight_tie_layers=tie, blocks=2
        )
        with running_release(torch.float32):
            outputs.append(model(data, mask))
            outputs[-1].square().sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    assert (outputs[0] - outputs[1]).abs().max() < 1e-5 * outputs[1].abs().max()
    assert list(gradients[0]) == list(gradients[1])
    for name, expected in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("masked", [False, True])
def test_layers_of_our_models_can_be_run_by_hand_on_dense_arrays(data: dict[str, Tensor], masked: bool) -> None:
    model = our_names().MultiModalityPerceiver(
        modalities=modalities(our_names()), depth=3, num_latents=5, latent_dim=16, num_classes=7, weight_tie_layers=True
    )
    mask = torch.rand(2, 29) > 0.3 if masked else None
    dense = dense_array(our_names(), model, {name: data[name] for name in sorted(data)})
    x = model.latents.expand(2, -1, -1)
    for cross_attn, cross_ff, latent_transformer in model.layers:
        x = cross_attn(x, context=dense, mask=mask) + x
        x = cross_ff(x) + x
        x = latent_transformer(x) + x
    torch.testing.assert_close(model.to_logits(model.pool(x)), model(data, mask))


def test_layers_of_perceiver_can_be_run_by_hand() -> None:
    library = our_names()
    model = library.Perceiver(num_freq_bands=4, depth=2, max_freq=8.0, num_latents=5, latent_dim=16, num_classes=7)
    image = torch.randn(2, 4, 5, 3)
    grid = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 4), torch.linspace(-1, 1, 5), indexing="ij"), dim=-1)
    positions = library.fourier_encode(grid, model.max_freq, model.num_freq_bands, base=model.freq_base).flatten(-2)
    dense = torch.cat((image, positions.expand(2, -1, -1, -1)), dim=-1).flatten(1, 2)
    x = model.latents.expand(2, -1, -1)
    for cross_attn, cross_ff, latent_attn, latent_ff in model.layers:
        x = cross_attn(x, context=dense, mask=None) + x
        x = cross_ff(x) + x
        x = latent_attn(x) + x
        x = latent_ff(x) + x
    torch.testing.assert_close(model.to_logits(x.mean(dim=1)), model(image))
