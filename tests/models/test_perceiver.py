"""The options of perceiver-pytorch 0.11.0 on `Perceiver`."""

import pytest
import torch

from small_models import build, pictures


def test_without_positions_a_token_is_its_raw_channels() -> None:
    model = build("Perceiver", fourier_encode_data=False).double()
    assert model.max_modality_dim == 3
    data, order = pictures().double(), torch.randperm(20)
    turned = data.flatten(1, 2)[:, order].unflatten(1, (5, 4))
    torch.testing.assert_close(model(turned), model(data))
    assert not torch.allclose(build("Perceiver").double()(turned), build("Perceiver").double()(data))


def test_several_latent_blocks_follow_each_cross_attend() -> None:
    model = build("Perceiver", self_per_cross_attn=3)
    assert [len(layer) for layer in model.layers] == [8, 8]
    x = model.latents.expand(2, -1, -1)
    contexts = model._contexts({"data": (data := pictures())}, None, None)[0]
    for cross, feed_forward, *parts in model.layers:
        x = cross(x, context=contexts) + x
        for part in (feed_forward, *parts):
            x = part(x) + x
    torch.testing.assert_close(model(data), model.to_logits(x.mean(1)))


def test_tied_blocks_are_one_in_all_later_layers() -> None:
    model = build("Perceiver", depth=3, self_per_cross_attn=2, weight_tie_layers=True)
    first, second, third = ([id(part) for part in layer] for layer in model.layers)
    assert second == third
    assert not {*first} & {*second}
    assert len({*second}) == 6


def test_embeddings_are_what_the_head_reads() -> None:
    model, data = build("Perceiver"), pictures()
    latents = model(data, return_embeddings=True)
    assert latents.shape == (2, 4, 8)
    torch.testing.assert_close(model.to_logits(latents.mean(1)), model(data))
    headless = build("Perceiver", final_classifier_head=False)
    torch.testing.assert_close(headless(data), latents)
    assert not any(name.startswith("to_logits") for name in headless.state_dict())


def test_at_least_one_block() -> None:
    with pytest.raises(ValueError, match="self_per_cross_attn must be at least 1, got 0"):
        build("Perceiver", self_per_cross_attn=0)
