"""Category columns."""

from pathlib import Path

from perceiver_pytorch.data import (
    CategoriesSpec,
    Where,
)
from perceiver_pytorch.data.losses import Change

WHERE = Where("here.csv", Path("/nowhere"), 17)


class TestCategories:
    spec = CategoriesSpec.fit("categories", {"color": ["red", "blue", None], "flag": [True, False, True]})

    def test_each_column_has_its_own_ids(self):
        assert self.spec.values == (("blue", "red"), ("false", "true"))
        assert self.spec.vocab_size == 6
        assert self.spec.encode({"color": "red", "flag": False}, WHERE).values.tolist() == [1, 3]

    def test_unknown_values_share_an_id_and_missing_ones_are_masked(self):
        encoded = self.spec.encode({"color": "green", "flag": None}, WHERE)
        assert encoded.values.tolist() == [2, 5]
        assert encoded.mask.tolist() == [True, False]
        assert encoded.changes == (Change("unseen", "color", "green"),)
        assert self.spec.encode({"color": "red", "flag": None}, WHERE).changes == ()
        assert self.spec.encode({"color": None, "flag": None}, WHERE) is None
