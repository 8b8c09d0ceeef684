"""What the families of models take, as inputs of a graph."""

import pytest
import torch
from torch import nn

import perceiver_pytorch as P
from perceiver_pytorch.export.model_signature import ModelGraph, signature_of
from perceiver_pytorch.interop.array_perceiver_io import ArrayPerceiverIO, TokenPerceiverIO
from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver
from perceiver_pytorch.runtime.signature import dims_of
from small_models import VOCABULARY, blended, build, inputs, multi_task, perceiver_io, pictures, words

MASKED = torch.tensor([[True, True, False, True, True, True, True], [False] * 7])


def shapes(model):
    return {name: dims for name, dims in dims_of(signature_of(model).inputs).items() if not name.endswith(".mask")}


def test_modalities_are_inputs_with_their_axes_by_name_and_a_mask():
    signature = signature_of(build("MultiModalityWithTextPerceiver"))
    assert [entry.name for entry in signature.inputs] == ["in_image", "in_image.mask", "in_text", "in_text.mask"]
    assert [entry.dtype for entry in signature.inputs] == ["float32", "bool", "int64", "bool"]
    dims = dims_of(signature.inputs)
    assert dims["in_image"] == ("batch", "image_axis0", "image_axis1", 3)
    assert dims["in_image.mask"] == ("batch", "image_axis0", "image_axis1")
    assert dims["in_text"] == dims["in_text.mask"] == ("batch", "text_tokens")
    assert signature.ids == {"text": VOCABULARY}


@pytest.mark.parametrize("build_model", [multi_task, blended, lambda: build("MultiModalityWithTextPerceiver")])
def test_a_graph_gives_what_the_model_gives(build_model):
    model = build_model().eval()
    data, mask = inputs("WithText"), {"image": torch.ones(2, 5, 4, dtype=torch.bool), "text": MASKED}
    given = {f"in_{name}": values for name, values in data.items()}
    given |= {f"in_{name}.mask": values for name, values in mask.items()}
    found, expected = ModelGraph(model, signature_of(model))(given), model(data, mask)
    expected = expected if isinstance(expected, dict) else {"logits": expected}
    assert {*found} == {f"out_{name}" for name in expected}
    for name, values in expected.items():
        torch.testing.assert_close(found[f"out_{name}"], values)


def test_queries_that_a_caller_brings_are_inputs_too():
    model = perceiver_io().eval()
    assert shapes(model)["in_mine.queries"] == ("batch", "mine_queries", 5)
    data, queries = inputs("MultiModalityPerceiver"), torch.randn(2, 3, 5)
    given = {"in_image": data["image"], "in_audio": data["audio"], "in_mine.queries": queries}
    given |= {
        "in_image.mask": torch.ones(2, 5, 4, dtype=torch.bool),
        "in_audio.mask": torch.ones(2, 11, dtype=torch.bool),
    }
    found = ModelGraph(model, signature_of(model))(given)
    assert [*found] == ["out_label", "out_map", "out_pixels", "out_mine"]
    torch.testing.assert_close(found["out_mine"], model(data, queries={"mine": queries})["mine"])


def test_tokens_that_several_coordinates_place_bring_them():
    points = P.InputModality("points", 2, 1, 2, 4.0, coordinates_per_axis=3)
    model = P.MultiModalityPerceiver(modalities=[points], depth=1, num_latents=3, latent_dim=8, num_classes=2).eval()
    assert shapes(model) == {
        "in_points": ("batch", "points_tokens", 2),
        "in_points.place.0": ("batch", "points_tokens", 3),
    }
    data, places = torch.rand(2, 4, 2), torch.rand(2, 4, 3)
    given = {"in_points": data, "in_points.mask": torch.ones(2, 4, dtype=torch.bool), "in_points.place.0": places}
    expected = model({"points": data}, coordinates={"points": [places]})
    torch.testing.assert_close(ModelGraph(model, signature_of(model))(given)["out_logits"], expected)


def test_causal_models_take_more_tokens_than_they_have_latents():
    sizes = {"latent_dim": 16, "depth": 1, "heads": 2, "dim_head": 8, "cross_heads": 2, "cross_dim_head": 8}
    signature = signature_of(P.PerceiverAR(max_length=40, num_latents=4, **sizes))
    assert [(entry.name, entry.least[1], entry.most[1]) for entry in signature.inputs] == [
        ("in_tokens", 5, 40),
        ("in_tokens.mask", 5, 40),
    ]
    assert signature.ids == {"tokens": 262}


def test_models_of_perceiver_pytorch_are_called_as_theirs():
    common = {"depth": 1, "num_latents": 3, "latent_dim": 8, "latent_heads": 2}
    array = ArrayPerceiverIO(dim=4, queries_dim=6, logits_dim=5, **common).eval()
    data, queries, mask = torch.randn(2, 7, 4), torch.randn(2, 3, 6), MASKED
    found = ModelGraph(array, signature_of(array))({"in_data": data, "in_data.mask": mask, "in_queries": queries})
    torch.testing.assert_close(found["out_logits"], array(data, mask, queries))
    text = TokenPerceiverIO(dim=8, num_tokens=VOCABULARY, max_seq_len=9, **common).eval()
    assert shapes(text) == {"in_tokens": ("batch", "tokens_tokens")}
    found = ModelGraph(text, signature_of(text))({"in_tokens": words(), "in_tokens.mask": MASKED})
    assert found["out_logits"].shape == (2, 7, VOCABULARY)


def test_lengths_can_be_fixed():
    signature = signature_of(build("MultiModalityWithTextPerceiver")).with_sizes({"image": [5, 4]})
    dims = dims_of(signature.inputs)
    assert (dims["in_image"], dims["in_image.mask"]) == (("batch", 5, 4, 3), ("batch", 5, 4))
    assert dims["in_text"] == ("batch", "text_tokens")


@pytest.mark.parametrize(
    ("sizes", "error"),
    [
        ({"picture": [3]}, "must be one of"),
        ({"image": [3]}, "sizes of 'image' must be 2 lengths, got 3"),
        ({"image": [0, 4]}, "sizes of 'image' must lie in 1 to 8,192, got 0"),
    ],
)
def test_lengths_that_a_modality_cannot_have_are_refused(sizes, error):
    with pytest.raises(ValueError, match=error):
        signature_of(build("MultiModalityWithTextPerceiver")).with_sizes(sizes)


def test_a_model_that_is_not_known_says_how_to_make_it_so():
    class Mine(nn.Linear):
        pass

    with pytest.raises(ValueError, match=r"a Mine cannot be exported.*register"):
        signature_of(Mine(2, 2))
    signature_of.register(Mine)(lambda model: signature_of(build("Perceiver")))
    assert signature_of(Mine(2, 2)).inputs[0].name == "in_data"


def test_published_models_of_text_can_be_exported_and_others_say_that_they_cannot():
    sizes = {"num_latents": 4, "d_latents": 16, "num_self_attends_per_block": 1, "num_labels": 3, "d_model": 16}
    text = PublishedPerceiver("text-classification", {**sizes, "max_position_embeddings": 8}).eval()
    given = {"in_tokens": torch.randint(0, 262, (2, 8)), "in_tokens.mask": torch.ones(2, 8, dtype=torch.bool)}
    torch.testing.assert_close(
        ModelGraph(text, signature_of(text))(given)["out_logits"], text(given["in_tokens"]), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(ValueError, match="for image-fourier cannot be exported"):
        signature_of(PublishedPerceiver("image-fourier", {**sizes, "num_cross_attention_heads": 1}))


def test_one_input_is_taken_as_it_is():
    model = build("Perceiver").eval()
    mask = torch.rand(2, 5, 4) < 0.5
    data = pictures()
    found = ModelGraph(model, signature_of(model))({"in_data": data, "in_data.mask": mask})
    torch.testing.assert_close(found["out_logits"], model(data, mask))
