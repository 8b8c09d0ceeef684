"""Masks, samples that lack a modality, and samples that lack all."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import perceiver_pytorch as P
from small_models import CLASSES, audio, build, image, inputs, number_of_tokens, pictures, sounds, text, words

THREE = ("audio", "image", "text")  # in the order of the flat mask


@pytest.fixture
def model() -> P.MultiModalityWithTextPerceiver:
    return build("MultiModalityWithTextPerceiver", modalities=[text(), image(), audio()]).double()


@pytest.fixture
def batch() -> dict[str, Tensor]:
    return {"text": words(4), "image": pictures(4).double(), "audio": sounds(4).double()}


def tokens(name: str, batch: dict[str, Tensor]) -> torch.Size:
    return batch[name].shape if name == "text" else batch[name].shape[:-1]


def test_a_sample_that_lacks_a_modality_gives_what_it_gives_without(model: Any, batch: dict[str, Tensor]) -> None:
    """One batch in which every sample lacks another modality, against one forward per sample."""
    present = {
        "text": torch.tensor([True, False, True, False]),
        "image": torch.tensor([True, True, False, False]),
        "audio": torch.tensor([True, True, True, True]),
    }
    output = model(batch, present=present)
    for sample in range(4):
        there = {name: batch[name][sample : sample + 1] for name in THREE if present[name][sample]}
        torch.testing.assert_close(output[sample : sample + 1], model(there), rtol=1e-12, atol=1e-12)


def test_what_an_absent_modality_holds_does_not_matter(model: Any, batch: dict[str, Tensor]) -> None:
    present = {"audio": torch.tensor([True, False, True, False])}
    expected = model(batch, present=present)
    for junk in (float("nan"), float("inf"), 1e30):
        dirty = batch | {"audio": batch["audio"].clone()}
        dirty["audio"][[1, 3]] = junk
        assert torch.equal(model(dirty, present=present), expected)


def test_present_equals_masks_of_the_whole_modality(model: Any, batch: dict[str, Tensor]) -> None:
    here = torch.tensor([True, False, True, False])
    mask = {"image": here[:, None, None].expand(4, 5, 4)}
    assert torch.equal(model(batch, present={"image": here}), model(batch, mask))


def test_present_and_masks_hold_together(model: Any, batch: dict[str, Tensor]) -> None:
    here = torch.tensor([True, False, True, False])
    mask = torch.rand(4, 5, 4) > 0.3
    both = {"image": mask & here[:, None, None]}
    assert torch.equal(model(batch, {"image": mask}, present={"image": here}), model(batch, both))
    words_mask = torch.rand(4, 7) > 0.3
    assert torch.equal(
        model(batch, {"text": words_mask}, present={"image": here}),
        model(batch, {"text": words_mask, "image": here[:, None, None].expand(4, 5, 4)}),
    )


def test_all_present_equals_no_mask(model: Any, batch: dict[str, Tensor]) -> None:
    everywhere = {name: torch.ones(4, dtype=torch.bool) for name in THREE}
    torch.testing.assert_close(model(batch, present=everywhere), model(batch), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(
        model(batch, {name: torch.ones(tokens(name, batch), dtype=torch.bool) for name in THREE}),
        model(batch),
        rtol=1e-13,
        atol=1e-13,
    )
    assert torch.equal(model(batch, mask={}, present={}), model(batch))


def test_a_modality_marked_absent_may_be_left_out(model: Any, batch: dict[str, Tensor]) -> None:
    del batch["audio"]
    nowhere = {"audio": torch.zeros(4, dtype=torch.bool)}
    assert torch.equal(model(batch, present=nowhere), model(batch))


def test_a_flat_mask_lists_the_modalities_in_the_order_of_their_names(model: Any, batch: dict[str, Tensor]) -> None:
    masks = {name: torch.rand(tokens(name, batch)) > 0.4 for name in THREE}
    flat = torch.cat([masks[name].flatten(1) for name in THREE], dim=1)
    assert torch.equal(model(batch, flat), model(batch, masks))
    assert torch.equal(model(batch, flat.unsqueeze(-1)), model(batch, masks))


def test_a_masked_token_has_no_influence_and_another_has() -> None:
    series = P.InputModality("series", 2, 1, 0, 4.0)
    model = P.MultiModalityPerceiver(modalities=[series], depth=2, num_latents=3, latent_dim=8, num_classes=4).double()
    values = torch.randn(2, 6, 2).double()
    mask = torch.tensor([[True, True, False, True, False, True]] * 2)
    changed = values.masked_fill(~mask.unsqueeze(-1), 7.0)
    assert torch.equal(model({"series": values}, {"series": mask}), model({"series": changed}, {"series": mask}))
    assert not torch.equal(model({"series": values}), model({"series": changed}))


def test_ids_of_padding_do_not_matter(model: Any, batch: dict[str, Tensor]) -> None:
    mask = {"text": torch.arange(7) < torch.tensor([7, 3, 5, 1])[:, None]}
    expected = model(batch, mask)
    garbage = batch | {"text": torch.where(mask["text"], batch["text"], (batch["text"] + 5) % 19)}
    assert not torch.equal(garbage["text"], batch["text"])
    assert torch.equal(model(garbage, mask), expected)


def each(given: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """``change`` applied to a batch, of one modality or several."""
    return {name: change(value) for name, value in given.items()} if isinstance(given, dict) else change(given)


@pytest.mark.parametrize("name", CLASSES)
def test_a_sample_without_any_token_gives_what_the_latents_alone_give(name: str) -> None:
    model = build(name)
    given = each(inputs(name, 3), lambda value: value.requires_grad_() if value.is_floating_point() else value)
    mask = torch.rand(3, number_of_tokens(given)) > 0.5
    mask[0] = False
    output = model(given, mask)
    other = model(each(given, lambda value: value.roll(1, dims=0)), mask)
    assert torch.equal(output[0], other[0])
    assert not torch.equal(output[1], other[1])
    assert torch.isfinite(output).all()
    output.square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    for value in given.values() if isinstance(given, dict) else [given]:
        if value.requires_grad:
            assert (value.grad[0] == 0).all()
            assert (value.grad[1] != 0).any()


@pytest.mark.parametrize("name", CLASSES)
def test_a_batch_without_any_token_trains_the_rest(name: str) -> None:
    model, given = build(name), inputs(name)
    output = model(given, torch.zeros(2, number_of_tokens(given), dtype=torch.bool))
    assert torch.equal(output[0], output[1])
    output.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_perceiver_takes_a_mask_with_or_without_axes() -> None:
    model, given = build("Perceiver"), pictures()
    mask = torch.rand(2, 5, 4) > 0.5
    assert torch.equal(model(given, mask), model(given, mask.flatten(1)))
    assert not torch.equal(model(given, mask), model(given))


WRONG_MASKS = [
    (torch.ones(2, 30, dtype=torch.bool), ValueError,
     r"a flat mask must be \(batch=2, tokens=31\), tokens in the order audio \(11\), image \(20\); got \(2, 30\)"),
    (torch.ones(3, 31, dtype=torch.bool), ValueError, r"batch=2.*got \(3, 31\)"),
    (torch.ones(31, dtype=torch.bool), ValueError, r"got \(31,\)"),
    (torch.ones(2, 31), TypeError, r"mask must be bool \(True = attend\), got torch.float32"),
    (torch.ones(2, 31, dtype=torch.uint8), TypeError, "mask must be bool.*uint8"),
    ([[True] * 31] * 2, TypeError, "mask must be a torch.Tensor, got list"),
    ({"image": torch.ones(2, 20, dtype=torch.bool)}, ValueError, r"mask\['image'\] must be \(2, 5, 4\), got \(2, 20\)"),
    ({"image": torch.ones(2, 5, 4)}, TypeError, r"mask\['image'\] must be bool"),
    ({"image": None}, TypeError, r"mask\['image'\] must be a torch.Tensor, got NoneType"),
    ({"imgae": torch.ones(2, 5, 4, dtype=torch.bool)}, ValueError, "modality of mask.*'imgae'.*did you mean 'image'"),
    ({"text": torch.ones(2, 5, dtype=torch.bool)}, ValueError, r"mask\['text'\] was given, but the input has"),
]  # fmt: skip


@pytest.mark.parametrize(("mask", "error", "message"), WRONG_MASKS, ids=[message[:40] for _, _, message in WRONG_MASKS])
def test_wrong_masks_are_refused(mask: Any, error: type[Exception], message: str) -> None:
    model = build("MultiModalityWithTextPerceiver", modalities=[text(), image(), audio()])
    with pytest.raises(error, match=message):
        model({"image": pictures(), "audio": sounds()}, mask)


WRONG_PRESENT = [
    ({"image": torch.ones(3, dtype=torch.bool)}, ValueError, r"present\['image'\] must be \(2,\), got \(3,\)"),
    ({"image": torch.ones(2)}, TypeError, r"present\['image'\] must be bool"),
    ({"image": torch.ones(2, 1, dtype=torch.bool)}, ValueError, r"must be \(2,\), got \(2, 1\)"),
    ({"image": True}, TypeError, r"present\['image'\] must be a torch.Tensor, got bool"),
    ({"picture": torch.ones(2, dtype=torch.bool)}, ValueError, "a modality of present must be one of .*'picture'"),
    ({"text": torch.tensor([True, False])}, ValueError, r"present\['text'\] is True for some samples, but the input"),
    (torch.ones(2, dtype=torch.bool), TypeError, "present must be a mapping of modality names.* got Tensor"),
]


@pytest.mark.parametrize(("present", "error", "message"), WRONG_PRESENT, ids=[m[:40] for _, _, m in WRONG_PRESENT])
def test_wrong_presence_is_refused(present: Any, error: type[Exception], message: str) -> None:
    model = build("MultiModalityWithTextPerceiver", modalities=[text(), image(), audio()])
    with pytest.raises(error, match=message):
        model({"image": pictures(), "audio": sounds()}, present=present)
