"""Numbers as people read them."""

_DIGITS = 4
_LONGEST = 1e15


def amount(value: float, smallest: float = 0.0) -> str:
    """Four digits; no power of ten where a number is large, but not beyond reading.

    Args:
        value: any number.
        smallest: what is smaller is rounding error, and 0.

    >>> amount(8621034.2), amount(0.0123456), amount(-1.5e-7, smallest=1e-6)
    ('8,621,000', '0.01235', '0')
    """
    if abs(value) < smallest:
        return "0"
    short = f"{value:.{_DIGITS}g}"
    return f"{float(short):,.0f}" if 10**_DIGITS <= abs(float(short)) < _LONGEST else short
