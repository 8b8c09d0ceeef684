"""When latents go through compiled loops, and what happens where these are not there."""

import pytest
import torch
from torch import Tensor

from perceiver_pytorch.ops import latent_steps, threads
from perceiver_pytorch.ops.backends import compiled, compiling
from perceiver_pytorch.ops.backends.instead import NotCompiledError
from perceiver_pytorch.ops.latent_steps import LatentPart
from perceiver_pytorch.ops.latents import through

pytest.importorskip("numba")


def part(dim: int = 8, width: int = 16) -> LatentPart:
    return LatentPart(
        "gelu", torch.ones(dim), None, 1e-5, torch.randn(width, dim), torch.randn(width), torch.randn(dim, width), None
    )


def expected(x: Tensor, given: LatentPart) -> Tensor:
    normal = torch.nn.functional.layer_norm(x, x.shape[-1:], given.norm_weight, given.norm_bias, given.eps)
    wide = torch.nn.functional.gelu(normal @ given.first.mT + given.first_bias)
    return x + wide @ given.last.mT


def test_biases_may_be_missing() -> None:
    x, given = torch.randn(2, 5, 8), part()
    torch.testing.assert_close(through(x, [given]), expected(x, given))


def test_latents_of_any_strides() -> None:
    x, given = torch.randn(8, 5, 2).permute(2, 1, 0), part()
    torch.testing.assert_close(through(x, [given]), expected(x, given))
    row = torch.randn(1, 5, 8)
    torch.testing.assert_close(through(row.expand(3, -1, -1), [given]), expected(row, given).expand(3, -1, -1))


def test_large_products_are_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    x, given = torch.randn(2, 5, 8), part()
    monkeypatch.setattr(threads, "SMALL", 2 * 5 * 8 * 16)
    assert through(x, [given]) is not None
    monkeypatch.setattr(threads, "SMALL", 2 * 5 * 8 * 16 - 1)
    assert through(x, [given]) is None


def test_shapes_that_do_not_fit_are_left_to_pytorchs_error() -> None:
    assert through(torch.randn(2, 5, 9), [part()]) is None


def test_while_loops_are_compiled_pytorch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_yet(*arguments: object) -> None:
        raise NotCompiledError

    monkeypatch.setattr(compiling, "ensure", not_yet)
    assert through(torch.randn(2, 5, 8), [part()]) is None
    assert not latent_steps.failures


def test_a_compiler_that_fails_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise OSError("no such processor")

    monkeypatch.setattr(latent_steps, "failures", [])
    monkeypatch.setattr(compiling, "ensure", broken)
    with pytest.warns(UserWarning, match=r"no loop for latents \(no such processor\)"), torch.no_grad():
        assert through(torch.randn(2, 5, 8), [part()]) is None
    assert through(torch.randn(2, 5, 8), [part()]) is None  # a warning would be an error


def test_without_numba_pytorch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_INSTALLED", False)
    assert through(torch.randn(2, 5, 8), [part()]) is None
