import os
import subprocess
import sys
from importlib import metadata

import pytest

from cli_helpers import perceiver
from perceiver_pytorch.cli.app import COMMANDS, loaded
from plugin_helpers import install


def test_without_a_command_there_is_help(tmp_path):
    done = perceiver(cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "evaluate" in done.stdout + done.stderr


def test_version(tmp_path):
    assert perceiver("--version", cwd=tmp_path).stdout.strip() == metadata.version("perceiver-multi-modality-pytorch")


def test_help_is_there_for_every_command(folder):
    for command in ([], ["fit"], ["evaluate"], ["predict"], ["config"]):
        assert "Usage" in perceiver(*command, "--help", cwd=folder).stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_their_own_help_says(name):
    assert loaded(name).help.startswith(COMMANDS[name][1])


def test_an_unknown_command_is_refused(tmp_path):
    done = perceiver("predit", cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "No such command 'predit'" in done.stderr


@pytest.mark.parametrize(
    ("module", "message"),
    [("", "broken registers 'thing' (broken:KIND) in perceiver.kinds"), ("KIND = 3", "must name an instance of Kind")],
)
def test_a_package_that_cannot_be_used_is_an_error_without_a_traceback(module, message, tmp_path, monkeypatch):
    install(tmp_path, "broken", "perceiver.kinds", "thing = broken:KIND", module)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    code = "import sys; sys.argv = ['perceiver', 'config']; from perceiver_pytorch.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def packages(*calls, cwd):
    """What a process has imported after each of these calls of the command: packages, without their modules."""
    code = f"""
import contextlib, sys
from perceiver_pytorch.cli import main
with open("modules", "w") as file:
    for arguments in {[list(map(str, call)) for call in calls]}:
        sys.argv = ["perceiver", *arguments]
        with contextlib.suppress(SystemExit):
            main()
        print(*sys.modules, file=file)
"""
    subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True)
    lines = (cwd / "modules").read_text().splitlines()
    assert len(lines) == len(calls)
    return [{name.split(".")[0] for name in line.split()} for line in lines]


@pytest.mark.parametrize("argument", ["--help", "--version", "--versoin", "predit"])
def test_what_is_no_command_needs_no_library_of_numbers(argument, tmp_path):
    (found,) = packages([argument], cwd=tmp_path)
    assert found & {"torch", "numpy", "pyarrow", "yaml"} == set()


@pytest.mark.parametrize(("option", "refused"), [("--help", ""), ("--no-such-option", "rich")])
def test_help_and_misspelt_options_need_no_library_of_numbers(option, refused, tmp_path):
    """One command after the other, in one process: the first that imports something is named."""
    code = f"""
import sys
from perceiver_pytorch.cli import main
for name in {list(COMMANDS)}:
    sys.argv = ["perceiver", name, {option!r}]
    try:
        main()
    except SystemExit:
        found = {{"torch", "numpy", "pyarrow", "datasets", {refused!r}}} & sys.modules.keys()
        assert not found, (name, found)
    else:
        raise AssertionError(name)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


TRAINING = {"lightning", "pytorch_lightning", "tensorboard", "datasets", "sklearn"}
METRICS = {"torchmetrics", "pandas", "scipy", "sympy", "matplotlib", "jinja2"}  # torchmetrics and what it imports


def test_predicting_and_measuring_import_nothing_that_only_training_needs(folder, run):
    calls = ["predict", "first", "mixed.csv", "-o", "lean.csv"], ["evaluate", "first", "mixed.csv"]
    predicting, then_measuring = packages(*calls, cwd=folder)
    assert (folder / "lean.csv").is_file()
    assert predicting & (TRAINING | METRICS) == set()
    assert then_measuring & TRAINING == set()


def test_output_of_another_encoding_takes_every_name(tmp_path):
    """As in a file or pipe on Windows."""
    (tmp_path / "t.csv").write_text("a,класс\n1,u\n2,v\n", encoding="utf-8")
    command = [sys.executable, "-c", "from perceiver_pytorch.cli import main; main()", "fit", "t.csv", "--target=y"]
    env = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(command, capture_output=True, encoding="cp1252", cwd=tmp_path, env=env, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "\\u043a\\u043b\\u0430\\u0441\\u0441" in done.stderr
