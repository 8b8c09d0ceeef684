"""What a result was made by."""

import platform
from importlib import metadata

PACKAGES = ("perceiver-multi-modality-pytorch", "torch", "lightning", "numpy", "pyarrow")
"""Whose versions a result may depend on."""


def versions() -> dict[str, str]:
    """{package, or Python: its version}, of those that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
