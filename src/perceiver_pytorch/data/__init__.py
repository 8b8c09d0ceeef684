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
    from perceiver_pytorch.data.columns import (
        identifiers,
        leaks,
        outlying,
        pandas_indices,
        proportional,
        recognise_columns,
        unnamed_splits,
        unopened,
    )
    from perceiver_pytorch.data.dataset import BadRow, Sample, TableDataset
    from perceiver_pytorch.data.errors import DataError
    from perceiver_pytorch.data.input_spec import InputSpec
    from perceiver_pytorch.data.kinds import kind_names
    from perceiver_pytorch.data.kinds.audio import AudioSpec
    from perceiver_pytorch.data.kinds.base import Encoded, Kind, ModalitySpec
    from perceiver_pytorch.data.kinds.category import CategoriesSpec
    from perceiver_pytorch.data.kinds.date import DatesSpec
    from perceiver_pytorch.data.kinds.image import ImageSpec
    from perceiver_pytorch.data.kinds.number import NumbersSpec
    from perceiver_pytorch.data.kinds.points import PointsSpec
    from perceiver_pytorch.data.kinds.series import SeriesSpec
    from perceiver_pytorch.data.kinds.text import TextSpec
    from perceiver_pytorch.data.kinds.video import VideoSpec
    from perceiver_pytorch.data.learning import unread_parts
    from perceiver_pytorch.data.loading import BatchLoader, in_order
    from perceiver_pytorch.data.predictions import Predictions
    from perceiver_pytorch.data.readers import load_table
    from perceiver_pytorch.data.sources.base import Place, ReadOptions, Source
    from perceiver_pytorch.data.sources.sharded import ShardedTable
    from perceiver_pytorch.data.spec_options import SpecOptions
    from perceiver_pytorch.data.splits import Splits, split_column, split_rows
    from perceiver_pytorch.data.table import Table, TableLike
    from perceiver_pytorch.data.table_fingerprint import differences, fingerprint
    from perceiver_pytorch.data.targets import ClassTarget, LabelsTarget, NumberTarget, Target, target_types
    from perceiver_pytorch.data.targets.target_columns import target_kinds, target_names

__all__ = [
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
    "Place",
    "PointsSpec",
    "Predictions",
    "ReadOptions",
    "Sample",
    "SeriesSpec",
    "ShardedTable",
    "Source",
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
    "identifiers",
    "in_order",
    "kind_names",
    "leaks",
    "load_table",
    "outlying",
    "pandas_indices",
    "proportional",
    "recognise_columns",
    "split_column",
    "split_rows",
    "target_kinds",
    "target_names",
    "target_types",
    "unnamed_splits",
    "unopened",
    "unread_parts",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "builtin": "builtin_names builtin_table",
        "cells": "Where",
        "batch": "Batch collate",
        "columns": "identifiers leaks outlying pandas_indices proportional recognise_columns unnamed_splits unopened",
        "dataset": "BadRow Sample TableDataset",
        "kinds": "kind_names",
        "kinds.audio": "AudioSpec",
        "kinds.base": "Encoded Kind ModalitySpec",
        "kinds.category": "CategoriesSpec",
        "kinds.date": "DatesSpec",
        "kinds.image": "ImageSpec",
        "kinds.number": "NumbersSpec",
        "kinds.points": "PointsSpec",
        "kinds.series": "SeriesSpec",
        "kinds.text": "TextSpec",
        "kinds.video": "VideoSpec",
        "errors": "DataError",
        "input_spec": "InputSpec",
        "loading": "BatchLoader in_order",
        "learning": "unread_parts",
        "predictions": "Predictions",
        "spec_options": "SpecOptions",
        "readers": "load_table",
        "sources.base": "Place ReadOptions Source",
        "sources.sharded": "ShardedTable",
        "splits": "Splits split_column split_rows",
        "table": "Table TableLike",
        "table_fingerprint": "differences fingerprint",
        "targets": "ClassTarget LabelsTarget NumberTarget Target target_types",
        "targets.target_columns": "target_kinds target_names",
    },
)
