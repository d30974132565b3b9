"""The pages as a site: ``make docs``.  Each page is plain Markdown, and its links work on a Git host too.

The navigation is said once, by the headings and links of ``docs/README.md``.  Sphinx and not MkDocs, whose last release
is of August 2024.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from webhook import __version__  # noqa: E402

PAGES = "docs/README"
SECTION = re.compile(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"^- \[[^]]+\]\(([\w./-]+)\.md\)", re.MULTILINE)

project = "gpu-slice"
release = __version__
copyright = ""
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "bench/README.md"]
exclude_patterns = [
    ".*",
    "build",
    "dist",
    "tests",
    "webhook",
    "certs",
    "manifests",
]  # which are not even walked through
myst_heading_anchors = 4  # as a Git host makes them

html_theme = "furo"
html_title = f"gpu-slice {release}"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_use_index = False
html_additional_pages = {"index": "redirect.html"}
templates_path = ["site"]


def navigation(index: str) -> str:
    """The tables of contents for the sidebar, in MyST, of the text of ``docs/README.md``."""
    trees = [f"```{{toctree}}\n:hidden:\n\n{PAGES}\n```"]
    for caption, text in SECTION.findall(index):
        names = [(Path("/docs") / name).as_posix().replace("/docs/../", "/") for name in LINK.findall(text)]
        trees.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *names, "```"]))
    return "\n\n".join(trees)


def _add_navigation(app: Sphinx, page: str, source: list[str]) -> None:
    if page == root_doc:
        source[0] += f"\n{navigation((ROOT / f'{PAGES}.md').read_text())}\n"


def setup(app: Sphinx) -> None:
    """Have the first page carry the navigation."""
    app.connect("source-read", _add_navigation)
