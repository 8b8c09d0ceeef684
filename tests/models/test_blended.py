"""A model and heads of its modalities, and the blend of their answers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perceiver_pytorch import (
    BlendedPerceiver,
    InputModality,
    MultiModalityWithTextPerceiver,
    MultiModalityWithTextPerceiverNoPooling,
    MultiTaskPerceiver,
)
from perceiver_pytorch.models.blended import MAX_HEADS
from perceiver_pytorch.nn.stems import PatchStem

SIZES = {"depth": 1, "num_latents": 4, "latent_dim": 16, "latent_heads": 2, "num_latent_blocks_per_layer": 1}
NAMES = ("image", "sound", "numbers")


def modalities():
    return [
        InputModality("image", 3, 2, 2, 4.0, stem=PatchStem(3, (2, 2), 8)),
        InputModality("sound", 2, 1, 2, 4.0),
        InputModality("numbers", 1, 1, 1, 2.0),
    ]


def heads(size):
    channels = {"image": 8, "sound": 2, "numbers": 1}
    return [{"reads": [[n, None]], "name": "pooled", "channels": channels[n], "size": size} for n in NAMES]


@pytest.fixture
def model():
    torch.manual_seed(0)
    trunk = MultiModalityWithTextPerceiver(modalities=modalities(), num_classes=3, **SIZES)
    return BlendedPerceiver(trunk=trunk, heads=heads(3)).eval()


@pytest.fixture
def several():
    torch.manual_seed(0)
    encoder = MultiModalityWithTextPerceiverNoPooling(modalities=modalities(), **SIZES)
    trunk = MultiTaskPerceiver(encoder=encoder, tasks={"kind": 3, "age": 1})
    return BlendedPerceiver(trunk=trunk, heads=heads(4)).eval()


def batch(rows=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    shapes = {"image": (6, 4, 3), "sound": (5, 2), "numbers": (3, 1)}
    return {name: torch.randn(rows, *shape, generator=g) for name, shape in shapes.items()}


def test_half_the_answer_is_the_trunks_and_half_the_heads(model):
    data = batch()
    parts = model.parts(model.tokens(data))
    torch.testing.assert_close(parts.answers[0], model.trunk(data))
    expected = 0.5 * parts.answers[0] + 0.5 * parts.answers[1:].mean(0)
    torch.testing.assert_close(model(data), expected)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**20), st.lists(st.sets(st.sampled_from(NAMES)), min_size=1, max_size=4))
def test_a_row_depends_on_what_it_has_alone(seed, rows):
    torch.manual_seed(seed)
    trunk = MultiModalityWithTextPerceiver(modalities=modalities(), num_classes=3, **SIZES)
    model = BlendedPerceiver(trunk=trunk, heads=heads(3)).eval()
    model.set_blend(torch.rand_like(model.blend) + 0.01)
    data = batch(len(rows), seed)
    present = {name: torch.tensor([name in row for row in rows]) for name in NAMES}
    with torch.no_grad():
        together = model(
            {k: v.masked_fill(~present[k].view(-1, *[1] * (v.dim() - 1)), 7.0) for k, v in data.items()},
            present=present,
        )
        for i, row in enumerate(rows):
            own = {name: data[name][i : i + 1] for name in row}
            alone = model(own) if own else model.trunk(batch(1), present={n: torch.tensor([False]) for n in NAMES})
            torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)


def test_each_pattern_of_present_modalities_has_its_weights(model):
    weights = torch.zeros_like(model.blend)
    weights[:, 0] = 1e-6
    weights[0b111, 0] = 1.0  # all there: the trunk; without the sound: the image's head
    weights[0b101, 1] = 1.0
    model.set_blend(weights)
    data = batch()
    torch.testing.assert_close(model(data), model.trunk(data))
    del data["sound"]
    parts = model.parts(model.tokens(data))
    torch.testing.assert_close(model(data), parts.answers[1], rtol=1e-3, atol=1e-4)
    assert parts.there[:, 0].tolist() == [True, True, False, True]


def test_heads_see_what_is_hidden_from_the_trunk(model):
    tokens = model.tokens(batch())
    whole, hidden = model.parts(tokens), model.parts(tokens, {"sound": tokens["sound"]})
    torch.testing.assert_close(hidden.answers[1:], whole.answers[1:])
    assert not torch.allclose(hidden.answers[0], whole.answers[0])


def test_a_head_of_several_modalities_answers_where_some_are_missing(model):
    config = {"reads": [["numbers", 3], ["sound", 5]], "name": "first_of_two", "size": 3}
    from perceiver_pytorch.nn import heads as registry
    from perceiver_pytorch.nn.heads.pooled import PooledHead

    class FirstOfTwo(PooledHead):
        name = "first_of_two"

        def __init__(self, size: int) -> None:
            super().__init__(1, size)

        def forward(self, tokens, masks):
            assert [tuple(each.shape[1:]) for each in tokens] == [(3, 1), (5, 2)]
            return super().forward(tokens[:1], masks[:1])

    registry.HEADS["first_of_two"] = FirstOfTwo
    try:
        joint = BlendedPerceiver(trunk=model.trunk, heads=[config]).eval()
        parts = joint.parts(joint.tokens({"sound": batch()["sound"], "image": batch()["image"]}))
        assert parts.there[1].all()
        assert parts.answers.isfinite().all()
        assert not joint.parts(joint.tokens({"image": batch()["image"]})).there[1].any()
    finally:
        del registry.HEADS["first_of_two"]


def test_several_tasks_have_weights_of_their_own(several):
    weights = several.blend.clone()
    weights[:, :, 0], weights[:, :, 1] = 1e-9, torch.tensor([1.0, 0, 0, 0])
    weights[:, 2, 0] = 1.0
    several.set_blend(weights)
    data = batch()
    parts = several.parts(several.tokens(data))
    answer = several(data)
    assert {name: tuple(values.shape) for name, values in answer.items()} == {"kind": (4, 3), "age": (4, 1)}
    torch.testing.assert_close(answer["kind"], parts.answers[2, :, :3])
    torch.testing.assert_close(answer["age"], several.trunk(data)["age"])


@pytest.mark.parametrize("name", ["model", "several"])
def test_saved_models_keep_heads_and_blend(name, request, tmp_path):
    model, data = request.getfixturevalue(name), batch()
    model.set_blend(torch.rand_like(model.blend) + 0.1)
    model.save_pretrained(tmp_path)
    again = BlendedPerceiver.from_pretrained(tmp_path)
    torch.testing.assert_close(again(data), model(data))
    assert torch.equal(again.blend, model.blend)
    assert "heads of their own" in again.summary()


def test_of_many_heads_all_patterns_have_the_same_weights():
    names = [f"m{i}" for i in range(MAX_HEADS + 1)]
    trunk = MultiModalityWithTextPerceiver(
        modalities=[InputModality(name, 1, 1, 1, 2.0) for name in names], num_classes=2, **SIZES
    )
    own = [{"reads": [[name, None]], "name": "pooled", "channels": 1, "size": 2} for name in names]
    model = BlendedPerceiver(trunk=trunk, heads=own).eval()
    assert model.blend.shape == (1, MAX_HEADS + 2, 1)
    there = torch.tensor([[True], [True], *[[False]] * MAX_HEADS])
    torch.testing.assert_close(model.weights(there).flatten()[:2], torch.tensor([7 / 8, 1 / 8]))
    assert model({name: torch.randn(2, 3, 1) for name in names}).shape == (2, 2)


def test_what_does_not_fit_is_refused(model):
    with pytest.raises(ValueError, match=r"a modality of a head must be one of .*; got 'odour'"):
        BlendedPerceiver(trunk=model.trunk, heads=[{**heads(3)[0], "reads": [["odour", None]]}])
    with pytest.raises(ValueError, match="heads must have the trunk's 3 outputs, got 2"):
        BlendedPerceiver(trunk=model.trunk, heads=heads(2))
    with pytest.raises(TypeError, match="a model with classes or tasks, and heads"):
        BlendedPerceiver(trunk=model.trunk, heads=[])
    with pytest.raises(ValueError, match="those of the trunk above 0"):
        model.set_blend(torch.zeros_like(model.blend))
    latents = MultiModalityWithTextPerceiver(modalities=modalities(), num_classes=None, **SIZES)
    with pytest.raises(ValueError, match="the trunk must have classes"):
        BlendedPerceiver(trunk=latents, heads=heads(3))
