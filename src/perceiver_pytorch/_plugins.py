"""What other packages add: kinds of columns, targets, sources, stems and backends, found by their entry points."""

from importlib.metadata import entry_points
from typing import Any


def plugins(group: str) -> list[Any]:
    """The objects that installed packages register under an entry point group, by their names in order.

    Args:
        group: ``perceiver.kinds``, ``perceiver.targets``, ``perceiver.sources``, ``perceiver.stems`` or
            ``perceiver.backends``.

    Raises:
        ImportError: if one of them cannot be loaded; the message names it and its package.
    """
    return [_loaded(point) for point in sorted(entry_points(group=group), key=lambda point: point.name)]


def _loaded(point: Any) -> Any:
    try:
        return point.load()
    except Exception as error:
        package = point.dist.name if point.dist else "a package"
        raise ImportError(
            f"{package} registers {point.name!r} ({point.value}) in {point.group}, which cannot be loaded: {error}. "
            "Repair or uninstall that package"
        ) from error
