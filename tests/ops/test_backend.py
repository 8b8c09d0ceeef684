"""What a backend must have."""

from dataclasses import replace

import pytest

from perceiver_pytorch.ops.backends import chunked, reference


@pytest.mark.parametrize("part", ["counts", "forward", "unsupported"])
def test_a_missing_part_is_refused_when_the_backend_is_made(part: str) -> None:
    with pytest.raises(TypeError, match=f"{part} of backend 'mine' must be a function, got None"):
        replace(reference.BACKEND, name="mine", **{part: None})


def test_a_name_that_no_operator_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="must be an identifier such as 'chunked', got 'my-way'"):
        replace(chunked.BACKEND, name="my-way")
