"""How much memory a cell may take, and the error for one that takes more."""

CELL_BYTES = 512 << 20
"""What a cell may take where nobody says how much."""


class TooLargeError(ValueError):
    """A cell takes more memory than it may."""


def claim(what: str, size: str, num_bytes: float, most: int) -> None:
    """Raise `TooLargeError` if decoding takes more memory than a cell may; called before it is taken.

    Args:
        what: is decoded, e.g. "the image".
        size: how large it is, for the message.
        num_bytes: that it takes.
        most: bytes that a cell may take.
    """
    if num_bytes > most:
        needed = -(-int(num_bytes) >> 20)
        raise TooLargeError(
            f"{what} takes {needed:,} MB of memory to decode ({size}), and a cell may take {most >> 20:,} MB; "
            f"--cell-mb {needed} allows it"
        )


def exhausted(what: str, most: int) -> TooLargeError:
    """For what took more memory than a cell may, although its header did not say so."""
    allowed = most >> 20
    return TooLargeError(
        f"{what} takes more memory to decode than the {allowed:,} MB that a cell may take; "
        f"--cell-mb {2 * max(1, allowed)} allows twice as much"
    )
