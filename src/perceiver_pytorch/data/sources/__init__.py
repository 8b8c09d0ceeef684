"""Where tables come from besides table files: folders of media, hub data sets, shards."""

from perceiver_pytorch.data.sources.folders import folder_table
from perceiver_pytorch.data.sources.hub import hub_table, is_saved_dataset, saved_table
from perceiver_pytorch.data.sources.parquet import parquet_table, whole_parquet
from perceiver_pytorch.data.sources.sharded import ShardedTable
from perceiver_pytorch.data.sources.tars import tar_table

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
