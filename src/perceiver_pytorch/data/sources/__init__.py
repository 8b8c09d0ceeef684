"""The sources of tables, each in a file of its own.

Other packages add sources by entry points of the group `perceiver.sources`, see docs/extending/source.md.
"""

from functools import cache

from perceiver_pytorch._plugins import plugins
from perceiver_pytorch.data.sources.base import Source
from perceiver_pytorch.data.sources.builtin_sets import BuiltInSets
from perceiver_pytorch.data.sources.delimited import DelimitedText
from perceiver_pytorch.data.sources.folders import MediaFolder
from perceiver_pytorch.data.sources.hub import Hub, SavedDataset
from perceiver_pytorch.data.sources.json_objects import JsonObjects
from perceiver_pytorch.data.sources.parquet import ParquetFiles
from perceiver_pytorch.data.sources.remote import RemoteTables
from perceiver_pytorch.data.sources.tars import TarFiles


def _readers() -> "tuple[Source, ...]":
    """All sources, for one that leaves files to others."""
    return sources()


BUILT_IN: tuple[Source, ...] = (
    BuiltInSets(),
    Hub(),
    RemoteTables(_readers),
    SavedDataset(),
    DelimitedText(),
    JsonObjects(),
    TarFiles(),
    ParquetFiles(),
    MediaFolder(),
)
"""In the order in which they are asked."""


@cache
def sources() -> tuple[Source, ...]:
    """All sources in the order in which they are asked: those of other packages first.

    Raises:
        ImportError: one of another package cannot be loaded.
        TypeError: it is no `Source`.
    """
    for source in (added := plugins("perceiver.sources")):
        if not isinstance(source, Source):
            raise TypeError(f"an entry point of perceiver.sources must name an instance of Source, got {source!r}")
    return (*added, *BUILT_IN)
