"""The set `easy-vqa`: coloured shapes and questions about them, by Victor Zhou (package easy-vqa, MIT licence).

Its own test questions are test; of its train questions, those about the last tenth of the images are val.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from perceiver_pytorch.data.errors import need

if TYPE_CHECKING:
    import pyarrow

_VAL_PART = 10  # one in ten images


def easy_vqa_table() -> "pyarrow.Table":
    """The set as a table with the columns image (PNG bytes), question, answer and split.

    Equal images are kept once (dictionary encoding).
    """
    arrow = need("pyarrow", "build the set easy-vqa")
    package = need("easy_vqa", "build the set easy-vqa", extra="sets")
    images: list[bytes] = []
    places: dict[bytes, int] = {}
    cells: dict[str, list] = {"image": [], "question": [], "answer": [], "split": []}
    parts = {
        "train": (package.get_train_questions(), package.get_train_image_paths()),
        "test": (package.get_test_questions(), package.get_test_image_paths()),
    }
    for split, (questions, paths) in parts.items():
        files = {number: Path(path).read_bytes() for number, path in sorted(paths.items())}
        val = set(list(files)[-(len(files) // _VAL_PART) :]) if split == "train" else set()
        for question, answer, number in zip(*questions, strict=True):
            data = files[number]
            if data not in places:
                places[data] = len(images)
                images.append(data)
            row = (places[data], question, answer, "val" if number in val else split)
            for column, value in zip(cells.values(), row, strict=True):
                column.append(value)
    indices = arrow.array(cells.pop("image"), arrow.int32())
    shared = arrow.DictionaryArray.from_arrays(indices, arrow.array(images, arrow.binary()))
    return arrow.table({"image": shared, **cells})
