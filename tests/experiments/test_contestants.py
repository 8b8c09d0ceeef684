"""Models that no setting makes."""

from pathlib import Path

import pytest
import torch

from experiment_helpers import experiment, write_table
from perceiver_pytorch.data import InputSpec
from perceiver_pytorch.experiments import contestants
from perceiver_pytorch.experiments.cells import all_cells
from perceiver_pytorch.models.style import Style
from perceiver_pytorch.nn.feed_forward import FEED_FORWARD
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table.prepare import prepare_table
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import ModelConfig

SILENT = Reporter(say=lambda text: None, warn=lambda text: None)
SIZES = ModelConfig(depth=1, num_latents=8, latent_dim=8, num_latent_blocks_per_layer=1, latent_heads=1)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> InputSpec:
    folder: Path = tmp_path_factory.mktemp("table")
    write_table(folder)
    (cell, *_) = all_cells(experiment(), data=folder)
    return prepare_table(cell.config, TableRun(folder / "run"), SILENT, given=None, resume=False).spec


@pytest.mark.parametrize(
    ("build", "field", "value"),
    [
        (contestants.gelu, "activation", "gelu"),
        (contestants.geglu, "activation", "geglu"),
        (contestants.log_bands, "freq_scale", "log"),
        (contestants.linear_bands, "freq_scale", "linear"),
    ],
)
def test_a_style_differs_in_one_field(spec: InputSpec, build, field: str, value: str) -> None:
    assert value in (*FEED_FORWARD, "log", "linear")
    style, plain = build(spec, SIZES).style, Style.of("paper", widening_factor=4)
    assert style == Style.of(plain, **{field: value})


def test_ways_of_pooling(spec: InputSpec) -> None:
    x = torch.randn(3, 8, 8)
    first, group, attention = (
        build(spec, SIZES).pool(x)
        for build in (contestants.first_latent, contestants.group_of_latents, contestants.attention_pooling)
    )
    torch.testing.assert_close(first, x[:, 0])
    torch.testing.assert_close(group, x[:, :2].mean(dim=1))
    torch.testing.assert_close(attention, x.mean(dim=1))


def test_attention_learns_which_latent_to_read(spec: InputSpec) -> None:
    model = contestants.attention_pooling(spec, SIZES)
    x = torch.randn(1, 8, 8)
    with torch.no_grad():
        model.query.copy_(1000 * x[0, 5])
    torch.testing.assert_close(model.pool(x), x[:, 5])
