"""Perceiver IO: against its blocks on dense arrays, and what its options promise."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import perceiver_pytorch as P
from perceiver_pytorch.models.masks import drop_tokens
from perceiver_pytorch.nn import fourier_encode, random_indices, take
from small_models import audio, image, pictures, sounds, text, words

GRID = (3, 4)
OUTPUTS = (
    P.Output("label", P.LearnedQueries(6), 10),
    P.Output("map", P.FourierQueries(GRID, 2), 2),
    P.Output("pixels", P.InputQueries("image"), 3),
    P.Output("mixed", [P.InputQueries("audio", data=False), P.LearnedQueries(2, (11,))], None),
)
SHAPES = {"label": (10,), "map": (*GRID, 2), "pixels": (5, 4, 3), "mixed": (11, 8)}


def build(**changes: Any) -> P.PerceiverIO:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"depth": 2, "num_latents": 4, "latent_dim": 8, "latent_heads": 2}
    sizes |= {"num_latent_blocks_per_layer": 2, "num_latent_block_repeats": 2}
    return P.PerceiverIO(**({"modalities": [image(), audio()], "outputs": OUTPUTS} | sizes | changes))


def batch(size: int = 2) -> dict[str, Tensor]:
    return {"image": pictures(size), "audio": sounds(size)}


def assert_same(got: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(got) == list(expected)
    for name in expected:
        torch.testing.assert_close(got[name], expected[name], msg=lambda m, n=name: f"{n}: {m}")


def gradients(model: nn.Module, results: dict[str, Tensor]) -> dict[str, Tensor]:
    model.zero_grad()
    sum(r.square().sum() for r in results.values()).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_is_its_blocks_on_dense_arrays() -> None:
    model, data = build().double(), {name: value.double() for name, value in batch().items()}

    def positions(axes: tuple[int, ...], rates: tuple[float, ...], bands: int) -> Tensor:
        grid = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in axes], indexing="ij")
        parts = [fourier_encode(x, r, bands, scale="linear") for x, r in zip(grid, rates, strict=True)]
        return torch.cat(parts, -1).flatten(0, -2).double()

    codes = {"audio": [1.0, 0.0], "image": [0.0, 1.0]}
    spots = {"audio": positions((11,), (8.0,), 4), "image": positions((5, 4), (6.0, 6.0), 3)}
    tokens = []
    for name in ("audio", "image"):
        raw = data[name].flatten(1, -2)
        parts = [spots[name], torch.tensor(codes[name]).double().expand(len(spots[name]), -1)]
        padding = model.max_modality_dim - raw.shape[-1] - sum(p.shape[-1] for p in parts)
        tokens.append(
            torch.cat([raw, raw.new_zeros(*raw.shape[:2], padding), *[p.expand(2, -1, -1) for p in parts]], -1)
        )
    dense = torch.cat(tokens, 1)
    x = model.latents.expand(2, -1, -1)
    for layer in model.layers:
        x = layer.cross_attend(x, dense)
        for _ in range(2):
            for block in layer.latent_blocks:
                x = block(x)
    queries = {
        "label": model.queries["label"].arrays[0].array.expand(2, -1, -1),
        "map": positions(GRID, (3.0, 4.0), 2).expand(2, -1, -1),
        "pixels": torch.cat([data["image"].flatten(1, 2), spots["image"].expand(2, -1, -1)], -1),
        "mixed": torch.cat([spots["audio"], model.queries["mixed"].arrays[1].array], -1).expand(2, -1, -1),
    }
    expected = {}
    for name, query in queries.items():
        code = model.queries[name].code
        query = query if code is None else torch.cat([query, code.expand(*query.shape[:2], -1)], -1)
        out = model.decoder.heads[name](model.decoder.block(query, x))
        expected[name] = out.reshape(2, *SHAPES[name])
    assert_same(model(data), expected)


def test_one_output_is_a_tensor_and_none_are_the_latents() -> None:
    assert {name: tuple(value.shape[1:]) for name, value in build()(batch()).items()} == SHAPES
    assert build(outputs=OUTPUTS[:1])(batch()).shape == (2, 10)
    assert build(outputs=())(batch()).shape == (2, 4, 8)
    assert list(build()(batch(), outputs=["map"])) == ["map"]
    assert P.PerceiverIO(modalities=[image()], num_latents=4, latent_dim=8)(pictures()).shape == (2, 4, 8)


def test_one_query_per_task_gives_an_output_of_its_own_width() -> None:
    tasks = {"genre": 7, "year": 1, "mood": 3}
    model = build(outputs=[P.Output(name, P.LearnedQueries(8), width) for name, width in tasks.items()])
    assert {name: tuple(value.shape) for name, value in model(batch()).items()} == {n: (2, w) for n, w in tasks.items()}


@pytest.mark.parametrize("per_sample", [False, True])
def test_a_sub_sample_is_what_the_whole_has_there(per_sample: bool) -> None:
    model, data = build(), batch()
    whole, indices = model(data), {}
    for name, (*axes, _) in SHAPES.items():
        rows = [random_indices(axes, 5) for _ in range(2)]
        indices[name] = torch.stack(rows) if per_sample else rows[0]
    some = model(data, indices=indices)
    label = whole.pop("label")
    torch.testing.assert_close(some.pop("label"), label.unsqueeze(1))
    assert_same(some, {name: take(value, indices[name]) for name, value in whole.items()})


def test_chunks_do_not_change_the_answer() -> None:
    whole, pieces, data = build(query_chunk_size=None), build(query_chunk_size=3), batch()
    with torch.no_grad():
        assert_same(pieces(data), whole(data))


def test_recomputing_gives_the_same_gradients() -> None:
    plain, saving = build().double(), build(query_chunk_size=3).double()
    data = {name: value.double() for name, value in batch().items()}
    saving.recompute = True
    expected, got = gradients(plain, plain(data)), gradients(saving, saving(data))
    assert_same(got, expected)


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that is not the result."""

    def __init__(self, but: int) -> None:
        super().__init__()
        self.but, self.numbers = but, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, Tensor) and value.numel() != self.but:
                self.numbers = max(self.numbers, value.numel())
        return out


def test_decoding_holds_one_chunk_at_a_time() -> None:
    """Twenty times as many queries form no larger tensor, but for their indices, one number each."""
    largest = []
    for frames in (10, 200):
        grid = (frames, 16, 16)
        model = build(outputs=[P.Output("video", P.FourierQueries(grid, 8), 3)], query_chunk_size=512).eval()
        with torch.no_grad(), Largest(but=grid[0] * 256 * 3) as seen:
            model(batch(1))
        largest.append(seen.numbers)
    assert largest[0] >= 512 * 51
    assert largest[1] == max(largest[0], 200 * 256)


def test_a_missing_modality_is_as_if_it_were_not_there() -> None:
    model, data = build(outputs=OUTPUTS[:3]), batch()
    alone = model({"image": data["image"]})
    assert_same(model(data, present={"audio": torch.tensor([False, False])}), alone)
    mixed = model(data, present={"audio": torch.tensor([True, False])})
    assert_same({n: v[1] for n, v in mixed.items()}, {n: v[1] for n, v in alone.items()})
    assert_same({n: v[0] for n, v in mixed.items()}, {n: v[0] for n, v in model(data).items()})
    data["audio"][1] = float("nan")
    assert_same(model(data, present={"audio": torch.tensor([True, False])}), mixed)


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(1, 3),
    length=st.integers(1, 9),
    height=st.integers(1, 5),
    seed=st.integers(0, 1 << 16),
    inverted=st.booleans(),
    without=st.sampled_from([(), ("audio",), ("image",)]),
)
def test_any_shape_and_mask(
    size: int, length: int, height: int, seed: int, inverted: bool, without: tuple[str, ...]
) -> None:
    """Shapes as promised, finite, and blind to what masked tokens and absent modalities hold."""
    outputs = [P.Output("label", P.LearnedQueries(6), 10), P.Output("map", P.FourierQueries(GRID, 2), 2)]
    model = build(outputs=outputs, inverted_cross_attend=inverted).double()
    torch.manual_seed(seed)
    data = {"image": torch.rand(size, height, 4, 3).double(), "audio": torch.randn(size, length, 1).double()}
    mask = {name: torch.rand(value.shape[:-1]) > 0.5 for name, value in data.items()}
    present = {name: torch.zeros(size, dtype=torch.bool) for name in without}
    with torch.no_grad():
        got = model(data, mask, present=present)
        assert {n: tuple(v.shape) for n, v in got.items()} == {"label": (size, 10), "map": (size, *GRID, 2)}
        assert all(torch.isfinite(v).all() for v in got.values())
        other = {n: v.masked_fill(~mask[n].unsqueeze(-1), float("nan")) for n, v in data.items() if n not in without}
        assert_same(model(other, {n: m for n, m in mask.items() if n not in without}), got)


def test_gradients_are_those_of_finite_differences() -> None:
    model = build(depth=1, num_latent_block_repeats=1, latent_dim=4, outputs=OUTPUTS[:3]).double()
    data = {name: value.double().requires_grad_() for name, value in batch(1).items()}

    def run(*values: Tensor) -> tuple[Tensor, ...]:
        return tuple(model(dict(zip(data, values, strict=True))).values())

    assert torch.autograd.gradcheck(run, tuple(data.values()), atol=1e-4)


def test_every_parameter_takes_part() -> None:
    model = build(modality_code_dim=3)
    assert set(gradients(model, model(batch()))) == {name for name, _ in model.named_parameters()}


def test_queries_of_the_caller_take_the_place_of_built_ones() -> None:
    model, data = build(), batch()
    built = model.queries["map"].at(torch.arange(12), {})
    got = model(data, queries={"map": built[0, 3:7]})["map"]
    torch.testing.assert_close(got, model(data)["map"].flatten(1, 2)[:, 3:7])
    mine = build(outputs=[P.Output("out", P.GivenQueries(5), 7)])
    queries = torch.randn(2, 9, 5)
    assert mine(data, queries=queries).shape == (2, 9, 7)
    torch.testing.assert_close(mine(data, queries=queries[0])[0], mine(data, queries=queries)[0])
    with pytest.raises(ValueError, match=r"an output of GivenQueries needs queries=\(batch, queries, dim\)"):
        mine(data)


def test_embeddings_and_hidden_states() -> None:
    model, data = build(), batch()
    latents = model(data, return_embeddings=True)
    assert latents.shape == (2, 4, 8)
    outputs, states = model(data, return_hidden_states=True)
    assert_same(outputs, model(data))
    assert len(states) == 2 * (1 + 2 * 2)
    torch.testing.assert_close(states[-1], latents)
    torch.testing.assert_close(states[2], model.layers[0].latent_blocks[1](states[1]))
    again, states = model(data, return_embeddings=True, return_hidden_states=True)
    torch.testing.assert_close(again, states[-1])


def test_sequence_dropout_masks_a_share_of_every_sample_in_training_only() -> None:
    model, data = (
        build(seq_dropout=0.4, outputs=OUTPUTS[:1]),
        {"image": torch.rand(3, 50, 40, 3), "audio": torch.rand(3, 2000, 1)},
    )
    contexts = model._contexts(data, {"audio": torch.rand(3, 2000) > 0.5}, None)
    thinned = drop_tokens(contexts, 0.4)
    for before, after in zip(contexts[0], thinned[0], strict=True):
        assert after.data.data_ptr() == before.data.data_ptr()
        available = torch.ones_like(after.mask) if before.mask is None else before.mask
        assert not (after.mask & ~available).any()
        share = (after.mask.flatten(1).sum(1) / available.flatten(1).sum(1)).tolist()
        assert all(abs(s - 0.6) < 0.06 for s in share)
    assert all(a.mask is b.mask for a, b in zip(thinned[0], thinned[1], strict=True))
    assert not torch.equal(model(data), model(data))
    model.eval()
    assert torch.equal(model(data), model(data))


def test_sequence_dropout_takes_nothing_from_queries() -> None:
    model, data = build(seq_dropout=0.9, outputs=OUTPUTS[2:3]), batch()
    seen: list[Tensor] = []
    model.decoder.block.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    for training in (True, False):
        model.train(training)(data)
    assert torch.equal(seen[0], seen[1])


def test_sequence_dropout_leaves_something_of_every_sample() -> None:
    model = build(seq_dropout=0.9)
    data = {"image": torch.rand(64, 1, 1, 3), "audio": torch.rand(64, 2, 1)}
    mask = {"image": torch.zeros(64, 1, 1, dtype=torch.bool), "audio": torch.tensor([[True, False]]).expand(64, -1)}
    (contexts, _) = drop_tokens(model._contexts(data, mask, None), 0.9)
    kept = torch.cat([context.mask.flatten(1) for context in contexts], 1)
    assert torch.equal(kept, torch.cat([mask[n].flatten(1) for n in ("audio", "image")], 1))


def test_without_positions_the_order_of_tokens_does_not_matter() -> None:
    outputs = [P.Output("seq", P.InputQueries("audio"), 2)]
    order = torch.randperm(11)
    data = sounds()
    for encode, same in ((False, True), (True, False)):
        model = build(modalities=[audio()], outputs=outputs, fourier_encode_positions=encode).double()
        got, turned = model(data.double()), model(data[:, order].double())
        assert torch.allclose(turned, got[:, order]) is same
    assert model.max_modality_dim == 10
    assert build(modalities=[audio()], outputs=(), fourier_encode_positions=False).max_modality_dim == 1


def test_frequencies_are_spaced_as_asked_for() -> None:
    for scale in ("linear", "log"):
        model = build(freq_scale=scale)
        (context, _), _ = model._contexts(batch(), None, None)
        torch.testing.assert_close(context.tables[0], fourier_encode(torch.linspace(-1, 1, 11), 8.0, 4, scale=scale))


def test_tied_layers_share_all_but_the_first_cross_attend() -> None:
    a, b, c = build(depth=3, weight_tie_layers=True).layers
    assert a.cross_attend is not b.cross_attend is c.cross_attend
    assert list(a.latent_blocks) == list(b.latent_blocks) == list(c.latent_blocks)
    assert not {*build(depth=2).layers[0].parameters()} & {*build(depth=2).layers[1].parameters()}


def test_the_papers_image_model_has_its_parameters() -> None:
    """48.4 million: those of the published model with Fourier positions, whose keys are as wide as a token."""
    with torch.device("meta"):
        model = P.PerceiverIO(
            modalities=[P.InputModality("image", 3, 2, num_freq_bands=64, max_freq=224.0)],
            outputs=[P.Output("class", P.LearnedQueries(1024), 1000)],
            cross_qk_dim=261,
            decoder_query_residual=True,
        )
    assert sum(p.numel() for p in model.parameters()) == 48_440_627


def test_token_ids_are_embedded_and_may_be_asked_back() -> None:
    model = build(modalities=[text(split_embedding=False)], outputs=[P.Output("ids", P.InputQueries("text"), 19)])
    ids = words()
    mask = torch.rand(2, 7) > 0.3
    got = model({"text": ids}, {"text": mask})
    assert got.shape == (2, 7, 19)
    got.sum().backward()
    assert model.embeddings["text"].weight.grad.abs().sum() > 0


def test_coordinates_of_samples_reach_queries_made_of_them() -> None:
    model = build(modalities=[audio()], outputs=[P.Output("seq", P.InputQueries("audio"), 2)])
    places = torch.rand(2, 11) * 2 - 1
    got = model(sounds(), coordinates={"audio": [places]})
    even = model(sounds(), coordinates={"audio": [torch.linspace(-1, 1, 11).expand(2, -1)]})
    assert not torch.allclose(got, even)


@pytest.mark.parametrize("tied", [False, True])
def test_saved_and_loaded(tmp_path: Path, tied: bool) -> None:
    extra = [P.Output("mine", P.GivenQueries(5), 2), P.Output("type", P.LearnedQueries(3, (2, 2)), 2)]
    model = build(
        outputs=[*OUTPUTS, *extra], weight_tie_layers=tied, seq_dropout=0.2, decoder_feed_forward=False
    ).eval()
    model.save_pretrained(tmp_path)
    again = P.PerceiverIO.from_pretrained(tmp_path).eval()
    assert again.outputs == model.outputs
    data, queries = batch(), {"mine": torch.randn(4, 5)}
    assert_same(again(data, queries=queries), model(data, queries=queries))
    assert_same(copy.deepcopy(model)(data, queries=queries), model(data, queries=queries))
    assert (again.layers[0].latent_blocks[0] is again.layers[1].latent_blocks[0]) is tied


def test_autocast_and_half_precision_stay_close() -> None:
    model, data = build(), batch()
    exact = model(data)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = model(data)
    half = copy.deepcopy(model).bfloat16()(data)
    for name, value in exact.items():
        for other in (rounded[name], half[name]):
            assert (other.float() - value).norm() < 0.05 * value.norm(), name


def test_on_the_meta_device() -> None:
    model = build().to("meta")
    got = model({name: value.to("meta") for name, value in batch().items()})
    assert {name: (value.device.type, tuple(value.shape[1:])) for name, value in got.items()} == {
        name: ("meta", shape) for name, shape in SHAPES.items()
    }


def test_summary_names_the_outputs() -> None:
    assert "2 layers; output: label (10), map (2), pixels (3), mixed (decoder)" in build().summary()


def label(**changes: Any) -> P.Output:
    return P.Output(**({"name": "label", "queries": P.LearnedQueries(6), "channels": 10} | changes))


WRONG: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: build(outputs=[label(), label()]), ValueError, "two outputs are called 'label'; names must differ"),
    (lambda: build(outputs=label()), TypeError, "outputs must be an iterable of Output, got Output"),
    (lambda: build(outputs=[{"name": "a", "query": 3}]), ValueError, r"an output has no 'query'; .* mean 'queries'"),
    (lambda: build(seq_dropout=1.0), ValueError, "seq_dropout must be less than 1"),
    (lambda: build(freq_scale="mel"), ValueError, "freq_scale must be one of 'linear', 'log'"),
    (lambda: build(latent_heads=3), ValueError, "latent_heads must divide latent_dim=8, got 3"),
    (lambda: build(decoder_heads=2, decoder_v_dim=5), ValueError, "decoder_heads must divide decoder_v_dim=5, got 2"),
    (
        lambda: build()(batch(), outputs="map"),
        TypeError,
        r"outputs must be a sequence of names, got 'map'; use \['map'\]",
    ),
    (lambda: build(query_dim=5), ValueError, "query_dim must be at least 17, the width of the widest queries, got 5"),
    (lambda: label(name="a.b"), ValueError, "non-empty string without dots"),
    (lambda: label(queries=()), ValueError, "must be one spec, or several"),
    (lambda: label(queries=3), TypeError, "queries must be of LearnedQueries, FourierQueries"),
    (lambda: label(channels=0), ValueError, "output 'label': channels must be at least 1, got 0"),
    (lambda: P.FourierQueries((), 2), ValueError, "need at least one axis"),
    (lambda: P.FourierQueries((3, 4), 2, (1.0,)), ValueError, "must be a number or 2 of them"),
    (lambda: P.FourierQueries((3,), 2, -1.0), ValueError, "must be positive"),
    (lambda: P.LearnedQueries(4, 5), TypeError, "axes of LearnedQueries must be a sequence of lengths, got 5"),
    (lambda: P.InputQueries("image", data=False, positions=False), ValueError, "need data or positions"),
    (
        lambda: build(outputs=[label(queries=P.InputQueries("video"))]),
        ValueError,
        "modality of InputQueries must be one of 'image', 'audio'; got 'video'",
    ),
    (
        lambda: build(outputs=[label(queries=[P.LearnedQueries(3, (4,)), P.LearnedQueries(3, (5,))])])(batch()),
        ValueError,
        r"must have the same axes, got \[\(4,\), \(5,\)\]",
    ),
    (lambda: build()({"audio": sounds()}), ValueError, "made of the input 'image', which this batch lacks"),
    (lambda: build()(batch(), outputs=["mop"]), ValueError, r"got 'mop' \(did you mean 'map'"),
    (lambda: build()(batch(), queries=torch.zeros(3, 4)), TypeError, "queries must be a mapping of outputs"),
    (
        lambda: build()(batch(), queries={"map": torch.zeros(2, 5, 3)}),
        ValueError,
        r"queries\['map'\] must be \(batch=2, queries, dim=10\) or \(queries, 10\), got \(2, 5, 3\)",
    ),
    (
        lambda: build()(batch(), queries={"map": torch.zeros(3, 10)}, indices={"map": torch.arange(3)}),
        ValueError,
        "give queries or indices, not both",
    ),
    (lambda: build()(batch(), indices={"map": torch.tensor([12])}), ValueError, r"must lie in \[0, 12\), got 12"),
    (lambda: build()(batch(), indices={"map": torch.tensor([1.0])}), TypeError, "must be int64, got torch.float32"),
    (lambda: build()(batch(), indices={"map": torch.zeros(3, 1).long()}), ValueError, r"\(batch=2, queries\)"),
    (
        lambda: build(fourier_encode_positions=False, outputs=())(batch(), coordinates={"audio": [torch.zeros(11)]}),
        ValueError,
        "this model encodes no positions",
    ),
]


@pytest.mark.usefixtures("user_view")
@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_wrong_calls_say_what_was_expected(call: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()
