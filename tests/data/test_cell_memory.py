"""The memory that a cell may take."""

import pytest

from perceiver_pytorch.data.cell_memory import claim, exhausted


def test_what_is_too_large_says_its_size_the_limit_and_the_setting():
    claim("the image", "3x3 pixels", 10 << 20, 10 << 20)
    with pytest.raises(ValueError, match="MB") as told:
        claim("the image", "3x3 pixels", (2000 << 20) + 1, 10 << 20)
    assert str(told.value) == (
        "the image takes 2,001 MB of memory to decode (3x3 pixels), and a cell may take 10 MB; --cell-mb 2001 allows it"
    )


def test_a_setting_that_was_not_enough_is_doubled():
    assert str(exhausted("the image", 512 << 20)).endswith(
        "than the 512 MB that a cell may take; --cell-mb 1024 allows twice as much"
    )
