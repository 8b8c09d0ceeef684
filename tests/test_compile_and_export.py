"""Runs `compile_and_export.py` in an interpreter of its own, without the checks of annotations."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(*options: str) -> None:
    file = Path(__file__).with_name("compile_and_export.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(file)]
    environment = {**os.environ, "PERCEIVER_SHAPE_CHECKS": "0"}
    environment = {name: value for name, value in environment.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_compile_and_export() -> None:
    run()


@pytest.mark.nightly
def test_compile_and_export_in_full() -> None:
    run("-m", "nightly")
