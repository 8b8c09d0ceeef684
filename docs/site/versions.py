"""Adds a built site to a folder that keeps one of each version.

    python docs/site/versions.py site pages

``pages`` then has the site in a folder named by its version ("2.1.0"; "dev" for what is not released), the list of
versions in ``versions.json``, newest first, and a page that leads to the newest release. What it had stays.
"""

import argparse
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

NUMBER = re.compile(r'data-version="([^"]+)"')
RELEASE = re.compile(r"\d+(\.\d+)*")
DEVELOPMENT = "dev"
FORWARD = """<!doctype html>
<meta charset="utf-8">
<title>Documentation</title>
<meta http-equiv="refresh" content="0; url={version}/">
<link rel="canonical" href="{version}/">
<a href="{version}/">Documentation of {version}</a>
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path, help="folder that `make docs` built")
    parser.add_argument("pages", type=Path, help="folder of all versions; made if it is not there")
    arguments = parser.parse_args()
    print("\n".join(add(arguments.site, arguments.pages)))


def add(site: Path, pages: Path) -> list[str]:
    """Adds ``site`` to ``pages`` in place of its version there, and returns all versions, newest first."""
    found = NUMBER.search((site / "index.html").read_text(encoding="utf-8"))
    if found is None:
        raise SystemExit(f"{site / 'index.html'} names no version: is it a site that `make docs` built?")
    version = found[1] if RELEASE.fullmatch(found[1]) else DEVELOPMENT
    pages.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(pages / version, ignore_errors=True)
    shutil.copytree(site, pages / version)
    versions = in_order(folder.name for folder in pages.iterdir() if (folder / "index.html").is_file())
    (pages / "versions.json").write_text(json.dumps(versions) + "\n", encoding="utf-8")
    newest = next((name for name in versions if name != DEVELOPMENT), DEVELOPMENT)
    (pages / "index.html").write_text(FORWARD.format(version=newest), encoding="utf-8")
    (pages / ".nojekyll").touch()  # GitHub leaves out folders such as _static otherwise
    return versions


def in_order(names: Iterable[str]) -> list[str]:
    known = [name for name in names if name == DEVELOPMENT or RELEASE.fullmatch(name)]
    return sorted(known, key=lambda name: [*map(int, name.split("."))] if name != DEVELOPMENT else [-1], reverse=True)


if __name__ == "__main__":
    main()
