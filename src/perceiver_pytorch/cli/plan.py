"""``perceiver plan``."""

from typing import Annotated

import typer

from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.arguments import asked_settings
from perceiver_pytorch.cli.options import Config, Given, Preset, Set, TimeLimit, with_settings
from perceiver_pytorch.training.run.durations import seconds
from perceiver_pytorch.training.table.settings import FitConfig, preset


@with_settings(
    FitConfig,
    order="table target target_kind label_separator task_weight class_weights modality_dropout augment from_ freeze "
    "lora preset_name config column split val_fraction on_error steps epochs batch_size lr optimizer seed set_ "
    "allow_outside allow_web where encoding delimiter skip_lines header quoting stream table_mb cell_mb "
    "checkpoint_every workers devices nodes accelerator strategy precision time_limit as_json",
)
def plan(
    given: Given,
    preset_name: Preset = "auto",
    config: Config = None,
    set_: Set = None,
    time_limit: TimeLimit = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.", rich_help_panel="Run")] = False,
) -> int:
    """Say before training what `perceiver fit` will cost with the same options, and what is unwise about it."""
    from perceiver_pytorch.tables.plan_lines import plan_lines
    from perceiver_pytorch.training.table.forecast import forecast

    settings = asked_settings(preset(preset_name, given.get(("data", "table"))), config, set_, given)
    if not settings.data.table:
        raise ValueError("which table? perceiver plan TABLE --target COLUMN, or perceiver plan digits")
    limit = None if time_limit is None else seconds(time_limit)
    facts = forecast(settings, limit=limit, reporter=console.reporter())
    console.tell(facts, plan_lines, as_json=as_json)
    return 0
