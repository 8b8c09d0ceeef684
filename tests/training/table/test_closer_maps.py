"""Rows that the report looks at more closely have maps, as far as there is time."""

import numpy as np

from explain_helpers import rich
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.table import evaluation
from perceiver_pytorch.training.table.closer_maps import with_maps


def test_rows_have_maps_and_without_time_they_have_none(tmp_path):
    subject, rows = rich(tmp_path, left_out={"clip", "sound", "cloud"})
    predictions = evaluation.predict(subject.model, rows)
    (closer,) = with_maps(subject.model, rows, predictions)
    places = {*closer.worst, *closer.least_sure}
    assert closer.maps.keys() == places
    for place in places:
        assert {part["kind"] for part in closer.maps[place]} <= {"image", "drawing"}
        lacks = int(predictions.rows[place]) == 3  # its picture
        assert any(part["name"] == "picture" for part in closer.maps[place]) != lacks
    (hurried,) = with_maps(subject.model, rows, predictions, Deadline(-1.0))
    assert hurried.maps == {}
    assert hurried.worst == closer.worst
    assert np.all(np.array(hurried.least_sure) == np.array(closer.least_sure))
