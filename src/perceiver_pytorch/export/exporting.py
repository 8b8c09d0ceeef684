"""`export`: whatever it is that is to run without this package's models."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from perceiver_pytorch import _checks
from perceiver_pytorch._saved_files import MissingFileError
from perceiver_pytorch.export import models, tables
from perceiver_pytorch.export.card import language_sections
from perceiver_pytorch.export.folder import check_free
from perceiver_pytorch.export.precision import PRECISIONS, check_precision
from perceiver_pytorch.export.programs import FORMATS, TILE
from perceiver_pytorch.interop import any_checkpoint
from perceiver_pytorch.models.card import Section, model_sections
from perceiver_pytorch.runtime.bundle import RUN, Bundle
from perceiver_pytorch.runtime.graph import Graph
from perceiver_pytorch.tables.describe_model import is_model
from perceiver_pytorch.tables.predictor import QUIET
from perceiver_pytorch.tables.run import Run
from perceiver_pytorch.training.language.run import LanguageRun
from perceiver_pytorch.training.run.reporter import Reporter


def export(
    what: Run | nn.Module | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    format: str = "onnx",
    precision: str = "float32",
    table: Any = None,
    measure: bool = True,
    tile: int = TILE,
    sizes: Mapping[str, Sequence[int]] | None = None,
    reporter: Reporter = QUIET,
) -> Bundle | Graph:
    """Writes a trained model as a graph, with all that is needed to use it, into a folder.

    The graph takes batches of any size and rows of any length up to what the model reads. All modalities are inputs;
    one that a row lacks is masked. Of a run of tables, outputs are its predictions: probabilities, or numbers in their
    unit; of other models, what the model gives.

    Args:
        what: a run, or its folder; a run of a language model; a model, or the folder of its ``save_pretrained``.
        output: folder to write; one that an earlier export wrote is replaced.
        format: ``"onnx"``, or ``"pt2"`` for `torch.export`.
        precision: of the weights: ``"float32"``, ``"float16"`` or ``"int8"``; the last two for ONNX.
        table: the run's table, where it is not found under the name that the run has for it.
        measure: compare the scores of the exported model with the run's, on its test rows, or on the validation rows
            where it has none. Models without a table are compared on drawn inputs alone.
        tile: tokens that the graph attends to at a time.
        sizes: of a model without a table, {modality: lengths of its axes}, where these are to be fixed.
        reporter: how to tell what happens.

    Returns:
        A `perceiver_pytorch.runtime.Bundle` of a run of tables, else a `perceiver_pytorch.runtime.Graph`.

    Raises:
        ValueError: for an unknown format or precision, a folder with other files, or a model that cannot be exported.
        MissingFileError: where there is no model.
        ImportError: if a library that is needed is not installed.
    """
    _checks.choice("format", format, FORMATS)
    _checks.choice("precision", precision, PRECISIONS)
    check_precision(precision, format)
    target = Path(output)
    check_free(target)
    common: dict[str, Any] = {"format": format, "precision": precision, "tile": tile, "reporter": reporter}
    run = what if isinstance(what, Run | nn.Module) else _run_at(Path(what))
    if isinstance(run, Run):
        if sizes:
            raise ValueError("sizes are for models without a table; a run knows how long its rows are")
        return tables.export_run(run, target, table=table, measure=measure, **common)
    if table is not None:
        raise ValueError("table is for runs of tables; this model knows none")
    model, about = _model(run)
    return models.export_model(model, target, sizes=sizes or {}, about=about, **common)


def _run_at(path: Path) -> Run | LanguageRun | Path:
    """What a folder holds; a path of a saved model.

    Raises:
        MissingFileError: if it holds nothing of the kind.
    """
    if LanguageRun.is_at(path):
        return LanguageRun.open_language(path)
    if (path / RUN).is_file():
        return Run.open(path)
    if path.is_dir() and is_model(path):
        return path
    raise MissingFileError(
        f"{path} is neither a run folder (it has no {RUN}) nor a saved model (it has no config.json); weights alone "
        "become one by perceiver convert"
    )


def _model(what: LanguageRun | nn.Module | Path) -> tuple[nn.Module, list[Section]]:
    """A model, and what is known of it."""
    if isinstance(what, LanguageRun):
        metrics = what.metrics() if what.metrics_file.is_file() else {}
        trained = what.language_model()
        return trained, [*model_sections(trained)[:1], *language_sections(metrics)]
    model = what if isinstance(what, nn.Module) else any_checkpoint.load(what)
    return model, model_sections(model)[:2]
