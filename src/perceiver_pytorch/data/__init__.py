"""From a table of files, text and numbers to batches: load, recognise, split, learn the preprocessing, decode, collate.

pyarrow, Pillow, soundfile and soxr (extra `data`) and scikit-learn and easy-vqa (extra `sets`) are imported when they
are first needed.
"""

from .builtin import builtin_names, builtin_table
from .cells import Where
from .collate import Batch, collate
from .columns import KINDS, Kind, leaks, recognise_columns, unheard, unnamed_splits, unopened
from .dataset import BadRow, Sample, TableDataset
from .decoders import (
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
from .delimited import ReadOptions
from .errors import DataError
from .input_spec import InputSpec
from .labels import look_alikes
from .loading import BatchLoader, in_order
from .options import SpecOptions
from .readers import load_table
from .sources import ShardedTable
from .splits import Splits, split_column, split_rows
from .table import Table, TableLike
from .table_fingerprint import differences, fingerprint
from .target_specs import ClassTarget, LabelsTarget, NumberTarget, TargetSpec
from .targets import TARGET_KINDS, TargetKind, target_kinds, target_names

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
