"""The command in this process, as a user has it: its exit code and output."""

import io
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace

import pytest

from perceiver_pytorch.cli import main
from training_helpers import TINY

SETTINGS = [f"--set=model.{key}={value}" for key, value in TINY.items()] + ["--batch-size=8"]


def perceiver(*arguments, cwd, check=True):
    """Runs the command; gives its exit code and output."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        warnings.simplefilter("ignore")  # as for a user: none of them is an error
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["perceiver", *map(str, arguments)])
        patch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as exit_:
            main()
    done = SimpleNamespace(returncode=exit_.value.code, stdout=out.getvalue(), stderr=err.getvalue())
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done
