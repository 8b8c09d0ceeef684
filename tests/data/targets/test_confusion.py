"""Confusion matrices of few classes and of a thousand."""

import numpy as np
import pytest

from perceiver_pytorch.data.targets.confusion import confusion_sections
from perceiver_pytorch.report import figures


@pytest.mark.parametrize("size", [2, 40, 1000])
def test_a_matrix_of_any_size_is_drawn(size):
    counts = np.eye(size, dtype=int) * 5
    counts[1, 0] = 4
    matrix, *rest = confusion_sections([f"class {i}" for i in range(size)], counts, "")
    svg = figures.drawn(matrix.drawing)
    assert "could not be drawn" not in svg
    assert len(svg) < 1_500_000
    assert (">class 1<" in svg) == (size < 1000)
    if size > 30:
        (commonest,) = rest
        assert commonest.rows == [["class 1 taken for class 0", "4", "44 %"]]
    else:
        assert not rest


def test_a_single_confusion_among_a_thousand_classes_can_be_seen():
    from matplotlib.figure import Figure

    counts = np.eye(1000, dtype=int) * 10
    counts[500, 20] = 10
    drawing = confusion_sections([str(i) for i in range(1000)], counts, "")[0].drawing
    axes = Figure().subplots()
    drawing.draw(axes)
    shown = axes.images[0].get_array()
    assert shown[500, 20] > 0.6
    assert shown[498:503, 18:23].min() > 0.6
    assert shown[500, 200] == 0


def test_the_commonest_confusions_come_first():
    counts = np.eye(50, dtype=int)
    counts[3, 4], counts[5, 6] = 2, 7
    rows = confusion_sections([str(i) for i in range(50)], counts, " of kind")[1].rows
    assert [row[0] for row in rows] == ["5 taken for 6", "3 taken for 4"]
