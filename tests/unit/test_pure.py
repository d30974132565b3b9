"""The core knows no clock, network, environment or file: what it imports and calls is on a short list."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = (
    "webhook.slices", "webhook.fleet", "webhook.render", "webhook.admission", "webhook.fit", "webhook.draw",
    "webhook.documents", "webhook.budget", "webhook.errors", "webhook.codes",
)  # fmt: skip
STANDARD = {
    "__future__", "base64", "collections", "collections.abc", "contextlib", "dataclasses", "decimal", "difflib", "enum",
    "fractions", "functools", "html", "itertools", "json", "math", "operator", "re", "textwrap", "tomllib", "typing",
    "zlib",
}  # fmt: skip
LIBRARIES = {
    "webhook.slices": {"msgspec", "pydantic", "pydantic.alias_generators"},
    "webhook.fleet": {"pydantic", "pydantic.alias_generators"},
    "webhook.render": {"pydantic"},
    "webhook.admission": {"jsonpatch", "msgspec", "msgspec.structs"},
    "webhook.fit": {"highspy", "jsonpatch", "msgspec", "msgspec.structs", "numpy"},
    "webhook.documents": {"msgspec", "yaml"},
}
"""What may be imported beside `STANDARD` and `PURE`, by package."""
REACHING = {
    "open", "__import__", "__builtins__", "__loader__", "__spec__", "eval", "exec", "compile", "input", "print",
    "breakpoint", "globals", "locals", "vars",
}  # fmt: skip
"""Names that are there without an import, and lead out."""
TAKES_FILES = {"np": {"load", "loadtxt", "save", "savetxt", "fromfile", "genfromtxt", "memmap", "random"}}


def packages() -> Iterator[tuple[str, Path]]:
    """The files of the core, each with its package."""
    for package in PURE:
        path = ROOT / package.replace(".", "/")
        yield from ((package, file) for file in (path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]))


def reaching(text: str, package: str) -> list[str]:
    """What *text*, a module of *package*, uses that it may not."""
    allowed = STANDARD | LIBRARIES.get(package, set())
    found = []

    def look(module: str) -> None:
        if module not in allowed and not any(module == pure or module.startswith(f"{pure}.") for pure in PURE):
            found.append(module)

    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                for each in names:
                    look(each.name)
            case ast.ImportFrom(module="webhook", level=0, names=names):
                for each in names:
                    look(f"webhook.{each.name}")
            case ast.ImportFrom(module=module, level=level):
                look("." * level + (module or ""))
            case ast.Name(id=name) if name in REACHING:
                found.append(name)
            case ast.Attribute(value=ast.Name(id=library), attr=name) if name in TAKES_FILES.get(library, ()):
                found.append(f"{library}.{name}")
            case ast.Attribute(attr=name) if name in REACHING - {"compile"}:  # as in re.compile
                found.append(name)
            case _:
                pass
    return found


@pytest.mark.parametrize(
    ("package", "path"), [pytest.param(*each, id=str(each[1].relative_to(ROOT))) for each in packages()]
)
def test_the_core_imports_and_calls_only_what_is_listed(package: str, path: Path) -> None:
    assert reaching(path.read_text(), package) == []


def test_the_core_is_all_there() -> None:
    assert {package for package, _ in packages()} == set(PURE)


@pytest.mark.parametrize("package", LIBRARIES)
def test_every_library_on_the_list_is_used(package: str) -> None:
    texts = [path.read_text() for owner, path in packages() if owner == package]
    nodes = [node for text in texts for node in ast.walk(ast.parse(text))]
    used = {each.name for node in nodes if isinstance(node, ast.Import) for each in node.names}
    used |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert LIBRARIES[package] <= used


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "import time, re",
        "from random import choice",
        "import urllib3",
        "from importlib import import_module",
        "import importlib.resources",
        "def f():\n    import subprocess",
        "if True:\n    from pathlib import Path",
        "from datetime import datetime",
        "from webhook import cluster",
        "from webhook.server import settings",
        "import webhook.cli",
        "from ..server import settings",
        "import yaml",
        "open('x')",
        "f = open",
        "__import__('os')",
        "__builtins__['open']",
        "eval('1')",
        "exec('1')",
        "print('x')",
        "re.__loader__.get_data('x')",
        "import numpy as np",
        "np.fromfile('x')",
    ],
)
def test_what_leads_out_is_seen(text: str) -> None:
    assert reaching(text, "webhook.render")


@pytest.mark.parametrize(
    "text", ["import re", "from webhook.fleet import pool", "from webhook import errors", "import math", "opened(1)"]
)
def test_what_does_not_is_not(text: str) -> None:
    assert reaching(text, "webhook.render") == []
