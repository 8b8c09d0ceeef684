"""What installs the package elsewhere (workflow, container, README) keeps to what pyproject.toml says."""

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
NAME = "perceiver-multi-modality-pytorch"
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
WORKFLOW = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
EXTRAS = re.findall(
    r"^([a-z]+) = \[", PYPROJECT.split("[project.optional-dependencies]")[1].split("\n[")[0], re.MULTILINE
)
PYTHONS = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PYPROJECT)
SYSTEMS = ["ubuntu-latest", "macos-latest", "windows-latest"]


def jobs() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(WORKFLOW)["jobs"]


def steps(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_the_pythons_of_the_package_are_those_without_a_gap_from_the_lowest() -> None:
    lowest = re.search(r'requires-python = ">=(3\.\d+)"', PYPROJECT)
    assert lowest is not None
    minors = [int(version.split(".")[1]) for version in PYTHONS]
    assert PYTHONS[0] == lowest[1]
    assert minors == list(range(minors[0], minors[-1] + 1))


@pytest.mark.parametrize("job", ["test", "install"])
def test_every_system_and_python_is_tested(job: str) -> None:
    matrix = jobs()[job]["strategy"]["matrix"]
    assert matrix["os"] == SYSTEMS
    assert matrix["python"] == PYTHONS


def test_lowest_and_newest_versions_are_tested_on_every_system() -> None:
    matrix = jobs()["test"]["strategy"]["matrix"]
    assert matrix["dependencies"] == ["newest"]
    lowest = [entry for entry in matrix["include"] if entry["dependencies"] == "lowest"]
    assert [(entry["os"], entry["python"]) for entry in lowest] == [(system, PYTHONS[0]) for system in SYSTEMS]
    installs = "\n".join(steps(jobs()["test"]))
    assert "-c constraints-lowest.txt" in installs
    assert "--upgrade" in installs


def test_the_wheel_is_used_without_extras_and_with_all() -> None:
    job = jobs()["install"]
    assert job["strategy"]["matrix"]["extras"] == ["", "[all]"]
    assert "tests/installed.py" in steps(job)[-1]


@pytest.mark.parametrize("file", ["Dockerfile", "README.md", ".github/workflows/ci.yml", "Makefile", "CONTRIBUTING.md"])
def test_extras_that_are_named_exist(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    named = re.findall(rf'(?:{NAME}|["\' ]\.|WHEEL\))\[([a-z,]+)\]', text)
    assert named or file == "CONTRIBUTING.md"
    assert {extra for names in named for extra in names.split(",")} <= set(EXTRAS)


def test_what_the_workflow_runs_is_here() -> None:
    scripts = "\n".join(run for job in jobs().values() for run in steps(job))
    targets = re.findall(r"\bmake ([a-z]+)", scripts)
    assert {"test", "package", "docs"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target
    files = re.findall(r"[\w/.-]+\.(?:py|txt)\b", scripts)
    assert "tests/installed.py" in files
    for file in files:
        assert (ROOT / file).exists(), file


def test_the_core_names_files_of_tests() -> None:
    files = (ROOT / "tests/core.txt").read_text(encoding="utf-8").split()
    assert len(files) > 5
    for file in files:
        assert (ROOT / file).exists(), file


def test_actions_are_pinned_to_a_commit_and_say_which_version_it_is() -> None:
    used = re.findall(r"uses: (.*)", WORKFLOW)
    assert len(used) > 10
    for action in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
    assert len({action.split("@")[0] for action in used}) == len(set(used))  # one version of each


def test_a_tag_is_published_by_trust_once_all_else_has_passed() -> None:
    every = jobs()
    publish = every["publish"]
    assert set(publish["needs"]) == set(every) - {"publish", "site"}
    assert publish["if"] == "startsWith(github.ref, 'refs/tags/v')"
    assert publish["permissions"] == {"id-token": "write"}
    assert "secrets." not in WORKFLOW
    allowed = {name: job["permissions"] for name, job in every.items() if "permissions" in job}
    assert set(allowed) == {"publish", "site"}  # the others read
    assert "\npermissions:\n  contents: read\n" in WORKFLOW


def test_the_container_runs_as_somebody_and_without_cuda() -> None:
    bases = re.findall(r"^FROM python:(3\.\d+)-slim", DOCKERFILE, re.MULTILINE)
    assert len(bases) == len(re.findall("^FROM", DOCKERFILE, re.MULTILINE)) > 0
    assert set(bases) <= set(PYTHONS)
    assert "download.pytorch.org/whl/cpu" in DOCKERFILE
    last = DOCKERFILE[DOCKERFILE.rindex("FROM") :]
    user = re.search(r"^USER (\d+)$", last, re.MULTILINE)
    assert user is not None
    assert int(user[1]) > 0
    assert user.start() < last.index("ENTRYPOINT")


def test_the_container_s_command_is_one_of_ours() -> None:
    pytest.importorskip("typer")
    from perceiver_pytorch.cli.app import loaded

    command = re.search(r"^CMD \[(.*)\]$", DOCKERFILE, re.MULTILINE)
    assert command is not None
    words = re.findall(r'"([^"]*)"', command[1])
    options = {option for parameter in loaded(words[0]).params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options


def test_the_container_is_built_from_what_it_copies() -> None:
    """.dockerignore leaves everything out but what the wheel needs."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]
    }
    assert "*" in lines
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)


def test_the_readme_says_how_to_install_with_pip_and_uv() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f'pip install "{NAME}[all]"' in readme
    assert f'uv add "{NAME}[all]"' in readme
    assert f'uvx --from "{NAME}[all]" perceiver fit digits' in readme
