"""Video columns whose sound is read too: two modalities of one column, on one time axis."""

from collections.abc import Sequence

from perceiver_pytorch._lazy import numpy as np
from perceiver_pytorch.data.cells import Where, media_source
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.data.kinds.audio import learn_sound
from perceiver_pytorch.data.kinds.base import Kind, ModalitySpec
from perceiver_pytorch.data.kinds.video import VideoKind
from perceiver_pytorch.data.media import decoding
from perceiver_pytorch.data.train_rows import TrainRows, spread

_LOOKED_AT = 4
"""Videos of a column that are looked at: their headers alone are read, but each takes a moment."""


class VideoAudioKind(Kind):
    """Files of videos, or paths of them: their pictures and their sound, with the options of both."""

    name = "video+audio"

    def recognises(self, column: Column) -> bool:
        return column.media == "video" and _have_sound(column)

    def learn(self, columns: Sequence[str], rows: TrainRows) -> list[ModalitySpec]:
        (name,) = columns
        return [*VideoKind().learn(columns, rows), learn_sound(rows.free_name(f"{name}.audio"), rows, track_of=name)]


def _have_sound(column: Column) -> bool:
    """Whether the videos looked at have sound tracks, as far as they can be read; False where none can."""
    where, found = Where(column.table.source, column.table.root, 0, hosts=column.table.hosts), []
    for place in spread(np.arange(len(column.sample)), _LOOKED_AT):
        try:
            source = media_source(column.sample[place], column.name, where)
            found.append(source is not None and decoding.video_facts(source, where.cell_bytes).has_sound)
        except (DataError, ValueError, ImportError):  # told when the column is read
            continue
    return bool(found) and all(found)
