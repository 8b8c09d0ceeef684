"""The documentation's examples run, and its links lead somewhere."""

import importlib.util
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
OTHER_TOOLS = [ROOT / "docs/with_other_tools.md", ROOT / "docs/exporting.md"]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def python_examples(page):
    """Each with those before it that it continues: a block that begins with ```python continues."""
    examples = []
    text = page.read_text(encoding="utf-8")
    for continues, code in re.findall(r"^```python( continues)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if continues:
            examples[-1] += code
        else:
            examples.append(code)
    return examples


@pytest.mark.parametrize("page", [page for page in PAGES if page not in OTHER_TOOLS], ids=lambda page: page.name)
def test_python_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for code in python_examples(page):
        exec(compile(code, str(page), "exec"), {})


@pytest.mark.nightly
@pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="FSDP on a CPU and ONNX need PyTorch 2.7")
def test_examples_with_other_tools_run(tmp_path):
    """In an interpreter of their own: annotations are unchecked there, as export needs, and these tools may warn."""
    pages = [code for page in OTHER_TOOLS for code in blocks(page, "python")]
    codes = [f"exec({code!r}, {{'__name__': 'example'}})" for code in pages]
    missing = [code for code in codes if "onnxruntime" in code and find_spec("onnxruntime") is None]
    script = "\n".join(code for code in codes if code not in missing)
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(codes) - len(missing) >= 9


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def anchors(page):
    """The places within a page that a link may name, as GitHub and the site make them of its headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_headings(page):
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        there = page.parent / target if target else page
        assert there.exists(), target
        assert anchor in anchors(there), f"{target}#{anchor}"


def test_commands_and_options_in_the_documentation_exist():
    pytest.importorskip("typer")
    from perceiver_pytorch.cli.app import loaded

    for page in PAGES:
        for line in re.findall(r"^(?:PERCEIVER_\S+ )?perceiver .*$", "\n".join(blocks(page, "bash")), re.MULTILINE):
            words = line.split("#")[0].split()
            command = loaded(words[1])
            known = {option for parameter in command.params for option in parameter.opts}
            for word in words[2:]:
                if word.startswith("-"):
                    assert word.split("=")[0] in known, line


def test_the_page_of_settings_is_what_the_settings_say():
    path = ROOT / "docs/write_settings.py"
    spec = importlib.util.spec_from_file_location("write_settings", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), f"run python {path}"
