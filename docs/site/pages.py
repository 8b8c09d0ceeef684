"""What pages need on the site beyond what they say on GitHub.

There ``../CHANGELOG.md`` leads to the file; here it has to lead to the page that shows the same text. And a folder of
pages beside one of its name (``extending/`` beside ``extending.md``) stands below it in the list of contents.
"""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "README.md": "index.md"}
LINK = re.compile(rf"\]\((?:\.\./)+({'|'.join(map(re.escape, PAGES))})(#[^)]*)?\)")


def complete(app: Sphinx, docname: str, source: list[str]) -> None:
    up = "../" * docname.count("/")
    source[0] = LINK.sub(lambda found: f"]({up}{PAGES[found[1]]}{found[2] or ''})", source[0])
    if (Path(app.srcdir) / docname).is_dir():
        source[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n\n{docname}/*\n```\n"


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", complete)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
