"""The kinds of columns, each in a file of its own that says all there is to know of it.

Other packages add kinds by entry points of the group `perceiver.kinds`, see docs/extending/kind.md.
"""

from functools import cache

from perceiver_pytorch._plugins import plugins
from perceiver_pytorch.data.column import Column
from perceiver_pytorch.data.kinds.audio import AudioKind
from perceiver_pytorch.data.kinds.base import Kind, ModalitySpec
from perceiver_pytorch.data.kinds.category import CategoryKind
from perceiver_pytorch.data.kinds.date import DateKind
from perceiver_pytorch.data.kinds.image import ImageKind
from perceiver_pytorch.data.kinds.number import NumberKind
from perceiver_pytorch.data.kinds.points import PointsKind
from perceiver_pytorch.data.kinds.series import SeriesKind
from perceiver_pytorch.data.kinds.set import SetKind
from perceiver_pytorch.data.kinds.text import TextKind
from perceiver_pytorch.data.kinds.video import VideoKind
from perceiver_pytorch.data.kinds.video_audio import VideoAudioKind

BUILT_IN: tuple[Kind, ...] = (
    ImageKind(),
    AudioKind(),
    VideoAudioKind(),
    VideoKind(),
    TextKind(),
    SeriesKind(),
    PointsKind(),
    SetKind(),
    NumberKind(),
    CategoryKind(),
    DateKind(),
)
"""In the order in which they are asked, and in which their options are listed."""

IGNORE = "ignore"
"""What a column is called that no kind recognises, or that is not to be read."""


@cache
def kinds() -> dict[str, Kind]:
    """All kinds by their names: those listed here, then those of other packages.

    Raises:
        ImportError: one of another package cannot be loaded.
        TypeError, ValueError: it is no `Kind`, or its name is taken.
    """
    return {kind.name: kind for kind in (*BUILT_IN, *_added())}


def kind_names() -> tuple[str, ...]:
    """What a column can be called: the names of all kinds, and `ignore`."""
    return (*kinds(), IGNORE)


def recognised(column: Column) -> str:
    """The name of the first kind that recognises a column, `ignore` if none does.

    Kinds of other packages are asked first: they are more special than those that everybody has.
    """
    return next((kind.name for kind in (*_added(), *BUILT_IN) if kind.recognises(column)), IGNORE)


def specs() -> dict[str, type[ModalitySpec]]:
    """The classes of what kinds learn, by the names that run folders have for them."""
    return {
        spec.kind: spec
        for kind in kinds().values()
        for spec in ((kind.spec, *kind.other_specs) if kind.spec is not None else kind.other_specs)
    }


@cache
def _added() -> tuple[Kind, ...]:
    taken = {kind.name for kind in BUILT_IN} | {IGNORE}
    for kind in (added := plugins("perceiver.kinds")):
        if not isinstance(kind, Kind):
            raise TypeError(f"an entry point of perceiver.kinds must name an instance of Kind, got {kind!r}")
        if kind.name in taken:
            raise ValueError(f"a kind of another package is called {kind.name!r}, as another kind is; rename it")
        taken.add(kind.name)
    return tuple(added)
