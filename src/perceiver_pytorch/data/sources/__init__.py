"""Where tables come from besides table files: folders of media, hub data sets, shards."""

from .folders import folder_table
from .hub import hub_table, is_saved_dataset, saved_table
from .parquet import parquet_table, whole_parquet
from .sharded import ShardedTable
from .tars import tar_table

__all__ = [
    "ShardedTable",
    "folder_table",
    "hub_table",
    "is_saved_dataset",
    "parquet_table",
    "saved_table",
    "tar_table",
    "whole_parquet",
]
