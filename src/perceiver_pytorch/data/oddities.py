"""What about a row's cells is unlike the train rows': each kind says it in its own file, in `Encoded.unusual`."""

import math
from typing import NamedTuple


class Oddity(NamedTuple):
    """Something unlike the train rows.

    Attributes:
        what: a word that is the same for all of its kind, as ``beyond``; rows are compared by it.
        reason: for people, with the column and the cell.
        strength: how much of it, above 0: validation rows say from where on it is unusual. Infinite: it always is.
    """

    what: str
    reason: str
    strength: float = math.inf
