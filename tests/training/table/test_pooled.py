"""The pooled latents are what heads read, each thread's its own."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from perceiver_pytorch import InputModality, MultiModalityWithTextPerceiver, MultiModalityWithTextPerceiverNoPooling
from perceiver_pytorch.models.multi_task_perceiver import MultiTaskPerceiver
from perceiver_pytorch.training.table.pooled import pooled

SIZES = {"depth": 1, "num_latents": 4, "latent_dim": 8, "cross_dim_head": 4, "latent_dim_head": 4, "latent_heads": 1}
DATA = {"x": torch.linspace(-1, 1, 24).view(4, 6, 1)}


def modality() -> InputModality:
    return InputModality("x", 1, 1, num_freq_bands=2, max_freq=4.0)


def test_of_one_target_it_is_the_mean_of_the_latents() -> None:
    model = MultiModalityWithTextPerceiver(modalities=[modality()], num_classes=3, **SIZES).eval()  # type: ignore[arg-type]
    with torch.no_grad(), pooled(model) as found:
        assert found is not None
        model(DATA)
        expected = model(DATA, return_embeddings=True).mean(1)
        assert torch.allclose(found.taken(), expected)


def test_of_several_targets_it_is_the_mean_over_their_groups() -> None:
    encoder = MultiModalityWithTextPerceiverNoPooling(modalities=[modality()], **SIZES)  # type: ignore[arg-type]
    model = MultiTaskPerceiver(encoder=encoder, tasks={"a": 2, "b": 1}).eval()
    with torch.no_grad(), pooled(model) as found:
        assert found is not None
        model(DATA)
        assert torch.allclose(found.taken(), encoder(DATA).mean(1), atol=1e-6)


def test_threads_do_not_mix_and_nothing_stays_behind() -> None:
    model = MultiModalityWithTextPerceiver(modalities=[modality()], num_classes=3, **SIZES).eval()  # type: ignore[arg-type]

    def compute(row: int) -> torch.Tensor:
        assert found is not None
        with torch.no_grad():
            model({"x": DATA["x"][row : row + 1]})
        return found.taken()

    with pooled(model) as found:
        with ThreadPoolExecutor(2) as pool:
            rows = torch.cat([*pool.map(compute, range(4))])
        with torch.no_grad():
            model(DATA)
        assert torch.allclose(rows, found.taken(), atol=1e-6)  # type: ignore[union-attr]
    assert not model.to_logits._forward_pre_hooks


def test_a_model_that_does_not_show_them_has_none() -> None:
    with pooled(torch.nn.Linear(1, 1)) as found:
        assert found is None


def test_hooks_are_removed_after_an_error() -> None:
    model = MultiModalityWithTextPerceiver(modalities=[modality()], num_classes=3, **SIZES)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError), pooled(model):
        raise ZeroDivisionError
    assert not model.to_logits._forward_pre_hooks
