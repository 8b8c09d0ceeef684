"""Chunks of queries: the same results, and when they are made."""

import pytest
import torch
from torch import Tensor

from perceiver_pytorch.nn import AttentionBlock
from perceiver_pytorch.nn.decoder import QueryDecoder, in_chunks


@pytest.mark.parametrize(("count", "size"), [(10, 3), (9, 3), (2, 3), (0, 3), (7, None)])
@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("recompute", [False, True])
def test_chunks_come_together_in_order(count: int, size: int | None, grad: bool, recompute: bool) -> None:
    values = torch.randn(2, count, 3, requires_grad=True)
    seen: list[int] = []

    def decode(start: int, stop: int) -> Tensor:
        seen.append(stop - start)
        return values[:, start:stop].square()

    with torch.set_grad_enabled(grad):
        got = in_chunks(decode, count, size, recompute=recompute)
    assert torch.equal(got, values.square())
    bounded = not grad or recompute
    assert max(seen) == (min(size or count, count) if bounded else count)
    times = len(seen)
    assert times == (1 if not bounded or size is None else max(1, -(-count // size)))
    if grad:
        got.sum().backward()
        assert len(seen) == (2 * times if recompute else times)  # nothing is kept, hence decoded once more
        assert torch.equal(values.grad, 2 * values)


def test_outputs_have_projections_of_their_own() -> None:
    decoder = QueryDecoder(AttentionBlock(4, 6, output_dim=5, query_residual=False), 5, {"type": 2, "raw": None}, 3)
    queries, latents = torch.randn(1, 8, 4), torch.randn(2, 7, 6)
    block = decoder.block(queries.expand(2, -1, -1), latents)
    for name, expected in (("type", decoder.heads["type"](block)), ("raw", block)):
        with torch.no_grad():
            got = decoder(name, lambda start, stop: queries[:, start:stop], 8, latents)
        torch.testing.assert_close(got, expected)
