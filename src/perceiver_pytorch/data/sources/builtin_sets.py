"""The built-in sets, by their names."""

from perceiver_pytorch.data.builtin import builtin_names, builtin_table
from perceiver_pytorch.data.sources.base import Place, ReadOptions, Source
from perceiver_pytorch.data.sources.parquet import whole_parquet
from perceiver_pytorch.data.table import Table


class BuiltInSets(Source):
    """A name of `builtin_names`; the set is built on first use."""

    def claims(self, place: Place) -> bool:
        return place.name in builtin_names()

    def load(self, place: Place, options: ReadOptions) -> Table:
        path = builtin_table(place.name)
        return whole_parquet(place.name, path.parent, [path])
