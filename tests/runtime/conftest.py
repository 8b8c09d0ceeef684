"""A run on a table of numbers and words with a bundle of it, which all tests here may use and none may change."""

import random
from typing import Any

import pytest

from export_helpers import unchecked
from perceiver_pytorch import tables
from perceiver_pytorch.export import export
from perceiver_pytorch.runtime import Bundle


def rows_of(count: int) -> list[dict[str, Any]]:
    """Rows of a number and a category, which give two targets."""
    rng = random.Random(0)
    rows: list[dict[str, Any]] = []
    for i in range(count):
        size, place = rng.gauss(0, 1), None if i % 9 == 8 else rng.choice("abc")
        price = 2 * size + (0 if place is None else "abc".index(place))
        rows.append({"size": size, "place": place, "kind": "uv"[size > 0], "price": price})
    return rows


@pytest.fixture(scope="package")
def table() -> list[dict[str, Any]]:
    """Rows, of which one is far from all others, and one has an unknown place."""
    rows = rows_of(120)
    rows[5] |= {"size": 4.5, "place": "c"}
    rows[7] |= {"place": "zz"}
    return rows


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> tables.Run:
    """Trained on such rows, of which enough are for validation that it learns what is unusual."""
    sizes: dict[str, Any] = {"depth": 1, "num_latents": 4, "latent_dim": 8, "num_latent_blocks_per_layer": 1}
    folder = tmp_path_factory.mktemp("run") / "r"
    return tables.fit(
        rows_of(120), target=["kind", "price"], run=folder, steps=5, val_fraction=0.4, verbose=False, **sizes
    )


@pytest.fixture(scope="package")
def bundle(run: tables.Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The run exported."""
    with unchecked():
        return export(run, tmp_path_factory.mktemp("exported") / "b", measure=False)
