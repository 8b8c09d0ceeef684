import warnings

import pytest


@pytest.fixture(autouse=True)
def third_party_warnings():
    """Lightning and TensorBoard warn about libraries of their own."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(lightning|tensorboard|torchmetrics|google)\b.*")
        warnings.filterwarnings(
            "ignore", message=r".*(LeafSpec|does not have many workers|dataloader is not resumable).*"
        )
        yield
