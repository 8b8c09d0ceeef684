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
    from perceiver_pytorch.data.labels import look_alikes
    from perceiver_pytorch.data.loading import BatchLoader, in_order
    from perceiver_pytorch.data.options import SpecOptions
    from perceiver_pytorch.data.readers import load_table
    from perceiver_pytorch.data.sources import ShardedTable
    from perceiver_pytorch.data.splits import Splits, split_column, split_rows
    from perceiver_pytorch.data.table import Table, TableLike
    from perceiver_pytorch.data.table_fingerprint import differences, fingerprint
    from perceiver_pytorch.data.target_specs import ClassTarget, LabelsTarget, NumberTarget, TargetSpec
    from perceiver_pytorch.data.targets import TARGET_KINDS, TargetKind, target_kinds, target_names

__all__ = [
    "CHANGES",
    "KINDS",
    "TARGET_KINDS",
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
    "ReadOptions",
    "Sample",
    "SeriesSpec",
    "ShardedTable",
    "SpecOptions",
    "Splits",
    "Table",
    "TableDataset",
    "TableLike",
    "TargetKind",
    "TargetSpec",
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
    "look_alikes",
    "recognise_columns",
    "split_column",
    "split_rows",
    "target_kinds",
    "target_names",
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
        "labels": "look_alikes",
        "loading": "BatchLoader in_order",
        "options": "SpecOptions",
        "readers": "load_table",
        "sources": "ShardedTable",
        "splits": "Splits split_column split_rows",
        "table": "Table TableLike",
        "table_fingerprint": "differences fingerprint",
        "target_specs": "ClassTarget LabelsTarget NumberTarget TargetSpec",
        "targets": "TARGET_KINDS TargetKind target_kinds target_names",
    },
)
