"""Query arrays: what they hold at which place."""

import pytest
import torch

from perceiver_pytorch.nn import fourier_encode, random_indices, take
from perceiver_pytorch.nn.queries import FourierQueries, GivenQueries, InputQueries, LearnedQueries
from perceiver_pytorch.nn.query_arrays import CodedQueries, check_indices, check_queries, pick, places
from perceiver_pytorch.ops import Context


def test_places_are_those_of_numpy_and_torch() -> None:
    indices = torch.randint(60, (2, 7))
    for got, expected in zip(places(indices, (3, 4, 5)), torch.unravel_index(indices, (3, 4, 5)), strict=True):
        assert torch.equal(got, expected)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_fourier_queries_are_positions_of_a_grid(scale: str) -> None:
    array = FourierQueries((3, 5), 4, (3.0, 9.0), freq_scale=scale, freq_base=3).build({})
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 3), torch.linspace(-1, 1, 5), indexing="ij")
    by_axis = [fourier_encode(x, f, 4, 3, scale).flatten(0, 1) for x, f in ((rows, 3.0), (columns, 9.0))]
    torch.testing.assert_close(array(torch.arange(15), {}), torch.cat(by_axis, -1))
    assert array.dim == 18


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_input_queries_are_tokens_as_the_model_reads_them(own: bool, masked: bool) -> None:
    table = torch.randn(2, 3, 2) if own else torch.randn(3, 2)
    mask = torch.rand(2, 3, 4) > 0.4 if masked else None
    pixels = torch.randint(256, (2, 3, 4, 3), dtype=torch.uint8)
    scale, offset = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([1.0, 2.0, 3.0])
    context = Context(pixels, (table, torch.randn(4, 5)), torch.ones(2), 1, mask, scale, offset)
    array = InputQueries("image").build({"image": (3, 7)})
    dense = context.dense()
    expected = torch.cat(
        [dense[..., :3] if mask is None else dense[..., :3] * mask.flatten(1)[..., None], dense[..., 4:11]], -1
    )
    torch.testing.assert_close(array(torch.arange(12), {"image": context}), expected)
    chosen = torch.stack([random_indices((3, 4), 5), random_indices((3, 4), 5)])
    got = array(chosen, {"image": context})
    torch.testing.assert_close(got, torch.stack([expected[i, row] for i, row in enumerate(chosen)]))


def test_positions_that_all_samples_share_are_made_once() -> None:
    context = Context(torch.randn(6, 4, 3), (torch.randn(4, 5),))
    array = InputQueries("seq", data=False).build({"seq": (3, 5)})
    assert array(torch.arange(4), {"seq": context}).shape == (4, 5)


def test_a_code_fills_up_to_the_width() -> None:
    coded = CodedQueries([LearnedQueries(3, (4,)).build({}), FourierQueries((4,), 1).build({})], 8)
    queries = coded.at(torch.tensor([2, 0]), {})
    assert queries.shape == (1, 2, 6)
    torch.testing.assert_close(queries[0, :, :3], coded.arrays[0].array[[2, 0]])
    whole = coded(queries.expand(5, -1, -1))
    torch.testing.assert_close(whole[..., 6:], coded.code.expand(5, 2, 2))
    assert CodedQueries([LearnedQueries(3).build({})], 3).code is None


def test_pick_takes_shared_and_own_values_and_indices() -> None:
    values, indices = torch.randn(2, 6, 3), torch.randint(6, (2, 4))
    expected = torch.stack([values[i, row] for i, row in enumerate(indices)])
    assert torch.equal(pick(values, indices), expected)
    assert torch.equal(pick(values, indices[0]), values[:, indices[0]])
    assert torch.equal(pick(values[0], indices), values[0][indices])
    assert torch.equal(take(values.view(2, 2, 3, 3), indices), expected)


def test_random_indices_are_different_places() -> None:
    chosen = random_indices((4, 5), 15)
    assert len(set(chosen.tolist())) == 15
    assert 0 <= min(chosen) <= max(chosen) < 20


def test_learned_queries_are_rows_of_their_array() -> None:
    array = LearnedQueries(3, (2, 4)).build({})
    assert (array.dim, array.axes({}), tuple(array.array.shape)) == (3, (2, 4), (8, 3))
    assert torch.equal(array(torch.tensor([7, 0]), {}), array.array[[7, 0]])
    assert 0.005 < array.array.std() < 0.04


def test_input_queries_stand_where_the_input_does() -> None:
    context = Context(torch.randn(2, 3, 4, 1), (torch.randn(3, 2), torch.randn(4, 2)))
    array = InputQueries("image").build({"image": (1, 4)})
    assert array.dim == 5
    assert array.axes({"image": context}) == (3, 4)
    with pytest.raises(ValueError, match="made of the input 'image', which this batch lacks"):
        array.axes({"sound": context})


def test_positions_alone_may_be_each_samples_own() -> None:
    table = torch.randn(2, 4, 3)
    array = InputQueries("seq", data=False).build({"seq": (1, 3)})
    context = Context(torch.randn(2, 4, 1), (table,))
    assert torch.equal(array(torch.tensor([3, 1]), {"seq": context}), table[:, [3, 1]])


def test_data_decides_the_dtype_of_queries() -> None:
    context = Context(torch.randn(2, 4, 1).double(), (torch.randn(4, 3),))
    assert InputQueries("seq").build({"seq": (1, 3)})(torch.arange(4), {"seq": context}).dtype == torch.float64


def test_given_queries_are_given() -> None:
    array = GivenQueries(3).build({})
    assert array.dim == 3
    with pytest.raises(ValueError, match="an output of GivenQueries needs queries="):
        array.axes({})


def test_joined_queries_need_the_same_grid() -> None:
    joined = CodedQueries([LearnedQueries(3, (4,)).build({}), FourierQueries((4,), 1).build({})], 6)
    assert joined.axes({}) == (4,)
    assert joined.dim == 6
    queries = torch.randn(2, 4, 6)
    assert joined(queries) is queries
    other = CodedQueries([LearnedQueries(3, (4,)).build({}), FourierQueries((2, 2), 1).build({})], 9)
    with pytest.raises(ValueError, match=r"must have the same axes, got \[\(4,\), \(2, 2\)\]"):
        other.axes({})


def test_joined_queries_take_the_batch_of_the_one_that_has_one() -> None:
    table = torch.randn(2, 4, 3)
    parts = [LearnedQueries(2, (4,)).build({}), InputQueries("seq", data=False).build({"seq": (1, 3)})]
    queries = CodedQueries(parts, 5).at(torch.tensor([2, 0]), {"seq": Context(torch.randn(2, 4, 1), (table,))})
    assert queries.shape == (2, 2, 5)
    assert torch.equal(queries[1, :, :2], parts[0].array[[2, 0]])
    assert torch.equal(queries[..., 2:], table[:, [2, 0]])


def test_a_code_starts_small() -> None:
    code = CodedQueries([LearnedQueries(2).build({})], 402).code
    assert code.shape == (400,)
    assert 0.015 < code.std() < 0.025


def test_queries_of_a_caller_are_checked() -> None:
    for shape in ((5, 3), (1, 5, 3), (2, 5, 3)):
        assert check_queries("out", torch.zeros(shape), 2, 3).shape == (shape[0] if len(shape) == 3 else 1, 5, 3)
    for shape in ((3,), (5, 4), (3, 5, 3), (2, 5, 4), (1, 2, 5, 3)):
        with pytest.raises(ValueError, match=r"queries\['out'\] must be \(batch=2, queries, dim=3\)"):
            check_queries("out", torch.zeros(shape), 2, 3)
    with pytest.raises(TypeError, match="must be of a floating-point dtype"):
        check_queries("out", torch.zeros(5, 3, dtype=torch.int64), 2, 3)


def test_places_of_a_caller_are_checked() -> None:
    for indices in (torch.tensor([0, 11]), torch.tensor([[0], [11]])):
        assert check_indices("out", indices, 2, 12) is indices
    with pytest.raises(TypeError, match="must be int64"):
        check_indices("out", torch.zeros(2, dtype=torch.int32), 2, 12)
    for shape in ((), (3, 1), (2, 1, 1)):
        with pytest.raises(ValueError, match=r"must be \(queries,\) or \(batch=2, queries\)"):
            check_indices("out", torch.zeros(shape, dtype=torch.int64), 2, 12)
    for wrong in (-1, 12):
        with pytest.raises(ValueError, match=rf"must lie in \[0, 12\), got {wrong}"):
            check_indices("out", torch.tensor([3, wrong]), 2, 12)
    nowhere = torch.zeros(2, dtype=torch.int64, device="meta")
    assert check_indices("out", nowhere, 2, 12) is nowhere
