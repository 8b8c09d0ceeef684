"""The documentation site: every page and every public module is in it, and versions lie beside one another."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from test_contracts import PUBLIC

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
# 1.4.0's import paths, which say the same as perceiver_pytorch.
OLD_PATHS = {"modalities", "perceiver", "outputs", "perceiver_io", "style"}


def versions() -> ModuleType:
    spec = importlib.util.spec_from_file_location("versions", DOCS / "site/versions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def site(folder: Path, version: str, text: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(f'<div data-version="{version}"></div>{text}')
    return folder


def listed(page: Path) -> set[Path]:
    """The pages that a page's tables of contents name."""
    text = page.read_text(encoding="utf-8")
    found: set[Path] = set()
    for block in re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        names = [line for line in block.splitlines() if line and not line.startswith(":")]
        found |= {page.parent / f"{name}.md" for name in names}
    return found


def test_every_page_is_in_the_contents() -> None:
    reached, waiting = set(), [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            assert page.is_file(), page
            reached.add(page)
            waiting += listed(page)
            if page.name != "index.md":
                waiting += sorted(page.with_suffix("").glob("*.md"))  # docs/site/pages.py lists these
    assert reached == set(DOCS.rglob("*.md"))


def test_every_public_module_has_a_reference() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md"))
    documented = set(re.findall(r"^\.\. automodule:: (\S+)$", text, re.MULTILINE))
    for module in PUBLIC:
        name = module.removeprefix("perceiver_pytorch.")
        if name not in OLD_PATHS and not name.endswith("_perceiver"):
            assert module in documented
    for module in documented:
        assert importlib.util.find_spec(module) is not None, module


def test_there_is_a_guide_for_each_kind_of_user() -> None:
    front = (DOCS / "index.md").read_text(encoding="utf-8")
    for who in ("model_builder", "data_person", "researcher"):
        assert f"](guides/{who}.md)" in front


def test_the_gallery_shows_every_figure() -> None:
    gallery = (DOCS / "gallery.md").read_text(encoding="utf-8")
    figures = [path for path in (DOCS / "figures").iterdir() if path.suffix in (".png", ".svg")]
    assert len(figures) > 4
    for figure in figures:
        assert f"](figures/{figure.name})" in gallery


def test_a_warning_fails_the_build_and_what_is_built_is_not_committed() -> None:
    build = re.search(r"^docs:.*\n\t(.*sphinx-build.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert build is not None
    assert "--fail-on-warning" in build[1]
    assert build[1].endswith(" docs site")
    assert "site/" in (ROOT / ".gitignore").read_text().splitlines()


def test_versions_lie_beside_one_another(tmp_path: Path) -> None:
    add, pages = versions().add, tmp_path / "pages"
    add(site(tmp_path / "a", "2.9.0"), pages)
    add(site(tmp_path / "b", "2.10.0"), pages)
    assert add(site(tmp_path / "c", "2.11.0.dev0"), pages) == ["2.10.0", "2.9.0", "dev"]
    assert json.loads((pages / "versions.json").read_text()) == ["2.10.0", "2.9.0", "dev"]
    assert "url=2.10.0/" in (pages / "index.html").read_text()
    add(site(tmp_path / "d", "2.9.0", "mended"), pages)
    assert "mended" in (pages / "2.9.0/index.html").read_text()
    assert "mended" not in (pages / "2.10.0/index.html").read_text()


def test_without_a_release_the_development_version_comes_first(tmp_path: Path) -> None:
    assert versions().add(site(tmp_path / "a", "3.0.0.dev0"), tmp_path / "pages") == ["dev"]
    assert "url=dev/" in (tmp_path / "pages/index.html").read_text()


def test_what_is_no_site_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("hello")
    with pytest.raises(SystemExit, match="names no version"):
        versions().add(tmp_path, tmp_path / "pages")
