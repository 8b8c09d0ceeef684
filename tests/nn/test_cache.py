"""Caching functions and builders of release 1.4.0."""

from itertools import count

import torch
from torch import nn

from perceiver_pytorch.nn.cache import build_perceiver_layers, cache_by_name_fn, cache_fn
from release import release_names


def test_a_name_keeps_its_first_result() -> None:
    numbers = count()
    cached = cache_by_name_fn(lambda: next(numbers))
    assert cached(name="a") == 0
    assert cached(name="b") == 1
    assert cached(name="a") == 0
    assert cached(name="a", _cache=False) == 2
    assert cached(name="a") == 0


def test_what_is_made_uncached_is_not_kept() -> None:
    numbers = count()
    cached = cache_by_name_fn(lambda: next(numbers))
    assert [cached(name="a", _cache=False), cached(name="a"), cached(name="a")] == [0, 1, 1]
    cached = cache_fn(lambda: next(numbers))
    assert [cached(_cache=False), cached(), cached(), cached(_cache=False)] == [2, 3, 3, 4]


def test_arguments_and_names_pass_through() -> None:
    def power(base: int, *, exponent: int) -> int:
        """Docs."""
        return base**exponent

    for cached in (cache_by_name_fn(power), cache_fn(power)):
        assert cached.__doc__ == "Docs."
        assert cached.__name__ == "power"
    assert cache_by_name_fn(power)(2, name="a", exponent=3) == 8
    assert cache_fn(power)(2, exponent=3) == 8


def test_layers_are_tied_as_in_the_release() -> None:
    def tied(library: object) -> dict[str, str]:
        parts = [library.cache_by_name_fn(lambda: nn.Linear(2, 2)) for _ in range(4)]
        layers = nn.ModuleList()
        library.build_perceiver_layers(layers, 3, *parts, weight_tie_layers=True, num_latent_blocks_per_layer=3)
        first: dict[int, str] = {}
        return {
            path: first.setdefault(id(module), path)
            for path, module in layers.named_modules(remove_duplicate=False)
            if isinstance(module, nn.Linear)
        }

    ours = type("Ours", (), {"cache_by_name_fn": staticmethod(cache_by_name_fn)})
    ours.build_perceiver_layers = staticmethod(build_perceiver_layers)
    assert tied(ours) == tied(release_names())
    assert len(tied(ours)) == 3 * (2 + 2 * 3)


def test_layers_are_appended_to_a_plain_list_too() -> None:
    layers: list[nn.Module] = []
    parts = [cache_by_name_fn(lambda: nn.Linear(2, 2)) for _ in range(4)]
    build_perceiver_layers(layers, 2, *parts, weight_tie_layers=False)
    assert [len(layer) for layer in layers] == [3, 3]
    assert torch.equal(layers[0][2](torch.zeros(1, 3, 2)), layers[0].latent_transformer(torch.zeros(1, 3, 2)))
