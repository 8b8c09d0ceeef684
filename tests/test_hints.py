"""Advice is followed to its end: what an error says to do is done word by word, and then there is no error.

Every option that a message names is one of the command's, and stands below: it is obeyed here, or there is a reason.
"""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_helpers import perceiver
from perceiver_pytorch._settings import all_settings
from perceiver_pytorch.training.language.settings import LanguageConfig
from perceiver_pytorch.training.table.settings import FitConfig
from test_imports import MODULES, SOURCE

HINT = re.compile(r"(--[a-z-]+) ([\w.=/-]*[\w/-])")
SHORT = ("--epochs=1", "--set=model.depth=1", "--set=model.latent_dim=16")
ROWS = [f"{i},{i % 7},{'uv'[i % 2]}" for i in range(40)]
HEADER = "a,b,y"


def table(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


PICTURES = [f"{i % 2}.png,{i},{'uv'[i % 2]}" for i in range(40)]
TABLES = {
    "a title": (table("My table", "made in May", HEADER, *ROWS), "", ["--skip-lines"]),
    "another encoding": (table(HEADER, *ROWS).replace("u", "\u00fc"), "", ["--encoding"]),
    "a long line": (table(HEADER, *ROWS, "1,2,u,4,5"), "", ["--on-error"]),
    "a quote that is not closed": (table(HEADER, *ROWS[:5], '5,"5,v', *ROWS[6:]), "", ["--quoting", "--on-error"]),
    "a missing file": (table("p,b,y", *PICTURES, "2.png,3,u"), "", ["--on-error"]),
    "a picture beyond the limit": (table("p,b,y", *PICTURES), "--cell-mb=1", ["--cell-mb"]),
    "a rate at which training diverges": (table(HEADER, *ROWS), "--lr=1e6", ["--lr"]),
}
"""{what is wrong: (a table, an option given, the options that the error advises)}."""


def fit(folder: Path, *options: str) -> tuple[int, str]:
    done = perceiver("fit", "t.csv", "--target=y", *SHORT, *options, cwd=folder, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("wrong", TABLES)
def test_what_an_error_advises_helps(wrong: str, tmp_path: Path) -> None:
    from PIL import Image

    content, given, advised = TABLES[wrong]
    (tmp_path / "t.csv").write_bytes(content.encode("latin-1"))
    for i in range(2):
        Image.new("L", (1200, 1200), 99 * i).save(tmp_path / f"{i}.png")
    code, error = fit(tmp_path, "--run=first", *filter(None, [given]), "--set=data.image_size=4")
    assert code != 0
    hints = HINT.findall(error.replace(", such as", ""))
    assert [option for option, _ in hints] == advised, error
    for option, value in hints:
        code, error = fit(tmp_path, f"--run=after{option}", option, value, "--set=data.image_size=4")
        assert code == 0, error


def test_a_folder_that_is_not_empty_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(table(HEADER, *ROWS))
    assert fit(tmp_path, "--run=r")[0] == 0
    code, error = fit(tmp_path, "--run=r")
    assert code == 2
    (hint,) = HINT.findall(error)
    assert hint == ("--resume", "r")
    assert perceiver("fit", *hint, cwd=tmp_path).returncode == 0


OBEYED = {option for _, _, options in TABLES.values() for option in options} | {"--resume"}
ELSEWHERE = {
    **dict.fromkeys(("--column", "--split"), "tests/training/table: a warning; the run goes on without it"),
    **dict.fromkeys(("--target-kind", "--target"), "the message asks what the column is; only the user knows"),
    **dict.fromkeys(
        ("--from", "--freeze", "--lora"), "tests/training/start: the message names a folder or part, or says 'must'"
    ),
    **dict.fromkeys(
        ("--batch-size", "--preset", "--workers", "--table-mb", "--stream"),
        "too little memory, which a test does not bring about; tests/training/run and tests/data set such limits",
    ),
    "--table": "tests/export/test_tables.py: a table that has moved",
    "--no-deps": "pip's, in a model card; make runtime obeys it",
    "--context": "tests/training/language: a text that is too short",
    "--run": "another folder; tests/training/run/test_lock.py",
    "--no-header": "tests/data/sources/test_delimited.py: a table without a header",
    **dict.fromkeys(("--config",), "tests/training/table/test_verdict.py: part of the commands that a verdict advises"),
    **dict.fromkeys(("--list", "--retry"), "tests/cli/test_experiment.py and tests/experiments/test_store.py"),
    **dict.fromkeys(
        ("--trials", "--trial-time", "--storage", "--search", "--processes"),
        "tests/cli/test_tune.py: options of a search, which the messages name themselves",
    ),
    **dict.fromkeys(
        ("--devices", "--nodes", "--accelerator", "--nproc-per-node"),
        "tests/training/run/test_launching.py and test_ranks.py: machines and GPUs that there are not",
    ),
    **dict.fromkeys(
        ("--strategy", "--precision", "--state-dict-type"), "training/run/test_ranks.py: what goes together"
    ),
    "--allow-host": "tests/serve/test_guard.py: a name that is refused, and one that is allowed",
    **dict.fromkeys(
        ("--allow-outside", "--allow-web"), "tests/data/remote: cells that lead out of a folder, and to the web"
    ),
    "--where": "no advice: names the option itself",
    "--port": "tests/serve/test_server.py: a port that is taken",
    "--max-mb": "no advice: says which limit it was",
    "--host": "no advice: names the option itself",
    "--coverage": "no advice: the note below a figure",
    "--size": "no advice: names the option itself",
    "--set": "its settings are looked up below",
    **dict.fromkeys(("--objective", "--stop", "--sparse", "--worth"), "no advice: names the option itself"),
}
"""{an option that messages name: why it is not obeyed here}."""


@functools.cache
def messages() -> list[str]:
    return list(every_message())


def every_message() -> Iterator[str]:
    """Every text of the package with more than a word in it, docstrings left out; ``{}`` where values come in."""
    for path in MODULES.values():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (docs | inner):
                text = node.value
            else:
                continue
            if " " in text.strip():
                yield text


def test_every_option_that_a_message_names_is_obeyed_or_has_a_reason() -> None:
    named = {option for text in messages() for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)}
    assert named - OBEYED - set(ELSEWHERE) == set(), "obey them in a test, or say above why not"
    assert set(ELSEWHERE) - named == set(), "no message names these any more"


def test_every_setting_that_a_message_names_is_there() -> None:
    known = {setting.path for config in (FitConfig, LanguageConfig) for setting in all_settings(config)}
    groups = {path.partition(".")[0] for path in known}
    named = {key for text in messages() for key in re.findall(r"--set ([a-z]+\.[a-z_]+)", text)}
    assert named
    assert {key for key in named if key.partition(".")[0] in groups} - known == set()


def test_every_extra_that_a_message_names_is_there() -> None:
    project = (SOURCE.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    named = {extra for text in messages() for extra in re.findall(r"pytorch\[([a-z]+)\]", text)}
    assert named
    assert named <= set(re.findall(r"^(\w+) = \[", project, flags=re.MULTILINE))
