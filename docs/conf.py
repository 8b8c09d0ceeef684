"""The documentation site: `make docs` has Sphinx read this, and treats every warning as an error."""

import importlib.metadata
import inspect
import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature

sys.path.insert(0, str(Path(__file__).parent / "site"))

project = "perceiver-multi-modality-pytorch"
author = "The perceiver-multi-modality-pytorch contributors"
copyright = f"2026, {author}"
version = release = importlib.metadata.version(project)

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "pages",
]
exclude_patterns = ["site/*.md"]
templates_path = ["site/templates"]
root_doc = "index"

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 6
suppress_warnings = ["myst.header"]  # pages may begin a part with a smaller heading

# Docstrings are read as they are written: `name` is code, and a link where it is one of ours.
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes are listed as well, where they have a docstring
napoleon_use_rtype = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 100

linkcheck_timeout = 20
linkcheck_anchors = False

html_theme = "furo"
html_title = project
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_js_files = ["versions.js"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/versions.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_copy_source = False
html_show_sphinx = False
copybutton_exclude = ".linenos, .gp, .go"


CODE = re.compile(r"(``.+?``|`.+?`)")
STAR = re.compile(r"(?<![*\w])\*(?=[A-Za-z])(?![\w\s-]+\*(?!\w))")  # not of *emphasis*


def keep_stars(_app: Sphinx, _what: str, _name: str, _value: object, _options: object, lines: list[str]) -> None:
    """A shape such as (batch, *axes) begins no emphasis."""
    for number, line in enumerate(lines):
        parts = CODE.split(line)
        parts[::2] = [STAR.sub(r"\*", part) for part in parts[::2]]
        lines[number] = "".join(parts)


def without_sklearns_own(
    _app: Sphinx, _what: str, name: str, _value: object, _skip: bool, _options: object
) -> bool | None:
    """What scikit-learn adds to every estimator is in its documentation, with links that lead nowhere here."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def constructor(_app: Sphinx, what: str, _name: str, value: Any, _options: object, said: str, returns: str) -> Any:
    """A class's arguments, where a metaclass takes (*args, **kwargs) in their place."""
    if what != "class" or not said or "*args" not in said:
        return None
    return stringify_signature(inspect.signature(value), unqualified_typehints=True), returns


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-signature", constructor)
    app.connect("autodoc-skip-member", without_sklearns_own)
    app.connect("autodoc-process-docstring", keep_stars)
