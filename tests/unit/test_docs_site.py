"""The pages as a site: built as ``make docs`` does, then every file, link and anchor of what was built is looked at."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
INDEX = (ROOT / "docs" / "README.md").read_text()
KINDS = ("Getting started", "Guides", "Concepts", "Reference", "The project")
NAMED = re.compile(r"\bdocs/([\w-]+)\.md#([\w-]+)")
LOADING = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "dns-prefetch", "preconnect", "manifest"}
"""The relations of ``<link>`` for which a browser asks somebody."""


class Page(HTMLParser):
    """What a page loads, where its links lead, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.loads, self.links, self.anchors = path, list[str](), list[str](), {""}
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.loads += [given[name] for name in ("src", "srcset", "poster", "data") if name in given]
        self.loads += re.findall(r"url\(([^)]*)\)", given.get("style", ""))
        if tag == "link" and LOADING & set(given.get("rel", "").split()):
            self.loads.append(given["href"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])


def loaded_by(style: str) -> list[str]:
    """What a style sheet loads."""
    return re.findall(r"""(?:url\(\s*|@import\s+)["']?([^"')\s;]+)""", style)


def foreign(addresses: Iterable[str]) -> list[str]:
    """Those that lead to another host."""
    return [each for each in addresses if urlsplit(each.strip("\"' ")).netloc]


def dead(pages: dict[Path, Page]) -> Iterator[str]:
    """The links within a site that lead nowhere."""
    for page in pages.values():
        for link in page.links:
            parts = urlsplit(link)
            target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
            if parts.scheme or parts.netloc:
                continue
            if not target.is_file() or (target in pages and unquote(parts.fragment) not in pages[target].anchors):
                yield f"{page.path.name}: {link}"


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Do what the Makefile says, for *source*."""
    (recipe,) = re.findall(r"^docs:.*\n\t@\$\(BIN\)/python (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    command = recipe.replace("build/doctrees", f"{target}-trees").replace("build/site", str(target)).split()
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *command], cwd=source, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module", name="site")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("docs") / "site"
    done = build(ROOT, target)
    assert (done.returncode, done.stderr) == (0, "")
    return target


@pytest.fixture(scope="module", name="pages")
def _pages(site: Path) -> dict[Path, Page]:
    return {path.resolve(): Page(path.resolve()) for path in site.rglob("*.html")}


@pytest.mark.slow
def test_the_site_has_every_page_and_begins_with_the_first(site: Path, pages: dict[Path, Page]) -> None:
    built = {path.relative_to(site.resolve()).with_suffix("").as_posix() for path in pages}

    assert built >= {f"docs/{path.stem}" for path in (ROOT / "docs").glob("*.md")} | {"README", "SECURITY"}
    assert Page((site / "index.html").resolve()).links == ["README.html"]
    assert 'url=README.html"' in (site / "index.html").read_text()


@pytest.mark.slow
def test_nothing_of_the_site_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    assert sum(len(page.loads) for page in pages.values()) > len(pages)
    assert {page.path.name: found for page in pages.values() if (found := foreign(page.loads))} == {}
    styles = list(site.rglob("*.css"))
    assert styles
    assert {path.name: found for path in styles if (found := foreign(loaded_by(path.read_text())))} == {}


@pytest.mark.slow
def test_every_link_and_anchor_of_the_site_leads_somewhere(pages: dict[Path, Page]) -> None:
    assert list(dead(pages)) == []


@pytest.mark.slow
def test_every_anchor_that_a_message_or_a_manifest_names_is_there(site: Path, pages: dict[Path, Page]) -> None:
    files = [path for name in ("webhook", "certs", "manifests") for path in (ROOT / name).rglob("*") if path.is_file()]
    texts = [path.read_text() for path in files if path.suffix in (".py", ".yaml", ".json", ".txt", ".tpl")]
    named = {found for text in texts for found in NAMED.findall(text)}

    assert len(named) > 20
    assert {
        f"{page}#{anchor}"
        for page, anchor in named
        if anchor not in pages[(site / "docs" / f"{page}.html").resolve()].anchors
    } == set()


@pytest.mark.parametrize(
    ("link", "says"),
    [
        pytest.param("[a](nowhere.md)", "nowhere.md", id="a page"),
        pytest.param("[a](README.md#nowhere)", "nowhere", id="an anchor of another page"),
        pytest.param("[a](#nowhere)", "nowhere", id="an anchor of this page"),
        pytest.param("![a](nowhere.svg)", "nowhere.svg", id="a picture"),
    ],
)
@pytest.mark.slow
def test_what_leads_nowhere_ends_the_build(link: str, says: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT / "docs" / "site", source / "docs" / "site")
    shutil.copy(ROOT / "docs" / "conf.py", source / "docs")
    (source / "README.md").write_text("# First\n")
    (source / "docs" / "README.md").write_text("# All\n\n## Guides\n\n- [A guide](guide.md): it guides.\n")
    (source / "docs" / "guide.md").write_text("# A guide\n")
    assert build(source, tmp_path / "good").returncode == 0

    (source / "docs" / "guide.md").write_text(f"# A guide\n\n{link}\n")
    done = build(source, tmp_path / "bad")

    assert done.returncode == 1
    assert says in done.stderr


def test_what_is_foreign_or_dead_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text(
        '<link rel="stylesheet" href="//a.example/a.css"><script src="https://b.example/b.js"></script>'
        '<link rel="canonical" href="https://c.example/"><img src="d.png" style="background: url(https://d.example/d)">'
        '<h2 id="here"></h2><a href="#here"></a><a href="#there"></a><a href="b.html"></a><a href="https://e.example">'
    )
    page = Page(path)

    assert foreign(page.loads) == ["//a.example/a.css", "https://b.example/b.js", "https://d.example/d"]
    assert foreign(loaded_by('@import "https://a/a.css"; a {b: url(c.woff2); d: url("//e/f.woff2")}')) == [
        "https://a/a.css",
        "//e/f.woff2",
    ]
    assert list(dead({path: page})) == ["a.html: #there", "a.html: b.html"]


def test_every_page_is_in_the_index_once_under_one_of_its_kinds() -> None:
    listed = Counter(re.findall(r"^- \[[^]]+\]\(([\w./-]+)\)", INDEX, re.MULTILINE))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}

    assert tuple(re.findall(r"^## (.+)$", INDEX, re.MULTILINE)) == KINDS
    assert {name for name in listed if "/" not in name} == pages
    assert set(listed.values()) == {1}


def test_every_link_of_a_page_leads_to_a_file() -> None:
    """Not to a folder: the site has none.  A Git host shows both."""
    links = [
        (path, link.partition("#")[0])
        for path in (*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md"))
        for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text())
        if not urlsplit(link).scheme and not link.startswith("#")
    ]

    assert len(links) > 100
    assert [f"{path.name}: {link}" for path, link in links if not (path.parent / unquote(link)).is_file()] == []
