"""From a table of files, text and numbers to batches: load, recognise, split, learn the preprocessing, decode, collate.

pyarrow, Pillow, soundfile and soxr (extra `data`) and scikit-learn and easy-vqa (extra `sets`) are imported when they
are first needed.
"""

from typing import TYPE_CHECKING

from perceiver_pytorch._lazy import lazily

if TYPE_CHECKING:
    from perceiver_pytorch.data.batch import Batch, collate
    from perceiver_pytorch.data.builtin import builtin_names, builtin_table
    from perceiver_pytorch.data.cells import Where
    from perceiver_pytorch.data.columns import KINDS, Kind, leaks, recognise_columns, unheard, unnamed_splits, unopened
    from perceiver_pytorch.data.dataset import BadRow, Sample, TableDataset
    from perceiver_pytorch.data.decoders import (
        CHANGES,
        AudioSpec,
        CategoriesSpec,
        DatesSpec,
        Encoded,
        ImageSpec,
        ModalitySpec,
        NumbersSpec,
        PointsSpec,
        SeriesSpec,
        TextSpec,
        VideoSpec,
    )
    from perceiver_pytorch.data.delimited import ReadOptions
    from perceiver_pytorch.data.errors import DataError
    from perceiver_pytorch.data.input_spec import InputSpec
    from perceiver_pytorch.data.loading import BatchLoader, in_order
    from perceiver_pytorch.data.options import SpecOptions
    from perceiver_pytorch.data.predictions import Predictions
    from perceiver_pytorch.data.readers import load_table
    from perceiver_pytorch.data.sources import ShardedTable
    from perceiver_pytorch.data.splits import Splits, split_column, split_rows
    from perceiver_pytorch.data.table import Table, TableLike
    from perceiver_pytorch.data.table_fingerprint import differences, fingerprint
    from perceiver_pytorch.data.targets import ClassTarget, LabelsTarget, NumberTarget, Target, target_types
    from perceiver_pytorch.data.targets.columns import target_kinds, target_names

__all__ = [
    "CHANGES",
    "KINDS",
    "AudioSpec",
    "BadRow",
    "Batch",
    "BatchLoader",
    "CategoriesSpec",
    "ClassTarget",
    "DataError",
    "DatesSpec",
    "Encoded",
    "ImageSpec",
    "InputSpec",
    "Kind",
    "LabelsTarget",
    "ModalitySpec",
    "NumberTarget",
    "NumbersSpec",
    "PointsSpec",
    "Predictions",
    "ReadOptions",
    "Sample",
    "SeriesSpec",
    "ShardedTable",
    "SpecOptions",
    "Splits",
    "Table",
    "TableDataset",
    "TableLike",
    "Target",
    "TextSpec",
    "VideoSpec",
    "Where",
    "builtin_names",
    "builtin_table",
    "collate",
    "differences",
    "fingerprint",
    "in_order",
    "leaks",
    "load_table",
    "recognise_columns",
    "split_column",
    "split_rows",
    "target_kinds",
    "target_names",
    "target_types",
    "unheard",
    "unnamed_splits",
    "unopened",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "builtin": "builtin_names builtin_table",
        "cells": "Where",
        "batch": "Batch collate",
        "columns": "KINDS Kind leaks recognise_columns unheard unnamed_splits unopened",
        "dataset": "BadRow Sample TableDataset",
        "decoders": "CHANGES AudioSpec CategoriesSpec DatesSpec Encoded ImageSpec "
        "ModalitySpec NumbersSpec PointsSpec SeriesSpec TextSpec VideoSpec",
        "delimited": "ReadOptions",
        "errors": "DataError",
        "input_spec": "InputSpec",
        "loading": "BatchLoader in_order",
        "options": "SpecOptions",
        "predictions": "Predictions",
        "readers": "load_table",
        "sources": "ShardedTable",
        "splits": "Splits split_column split_rows",
        "table": "Table TableLike",
        "table_fingerprint": "differences fingerprint",
        "targets": "ClassTarget LabelsTarget NumberTarget Target target_types",
        "targets.columns": "target_kinds target_names",
    },
)
