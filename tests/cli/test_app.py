from importlib import metadata

from cli_helpers import perceiver


def test_without_a_command_there_is_help(tmp_path):
    done = perceiver(cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "evaluate" in done.stdout + done.stderr


def test_version(tmp_path):
    assert perceiver("--version", cwd=tmp_path).stdout.strip() == metadata.version("perceiver-multi-modality-pytorch")


def test_help_is_there_for_every_command(folder):
    for command in ([], ["fit"], ["evaluate"], ["predict"], ["config"]):
        assert "Usage" in perceiver(*command, "--help", cwd=folder).stdout
