"""Video columns whose sound is read too: two modalities of one column, on one time axis."""

from collections.abc import Sequence

from perceiver_pytorch.data.kinds.audio import learn_sound
from perceiver_pytorch.data.kinds.base import Kind, ModalitySpec
from perceiver_pytorch.data.kinds.video import VideoKind
from perceiver_pytorch.data.train_rows import TrainRows


class VideoAudioKind(Kind):
    """Files of videos, or paths of them: their pictures and their sound, with the options of both."""

    name = "video+audio"

    def learn(self, columns: Sequence[str], rows: TrainRows) -> list[ModalitySpec]:
        (name,) = columns
        return [*VideoKind().learn(columns, rows), learn_sound(rows.free_name(f"{name}.audio"), rows, track_of=name)]
