import platform
from importlib import metadata

from perceiver_pytorch.training.run import versions


def test_the_versions_are_those_that_run(monkeypatch):
    monkeypatch.setattr(versions, "PACKAGES", ("torch", "a-package-that-is-not-here"))
    assert versions.versions() == {"python": platform.python_version(), "torch": metadata.version("torch")}
