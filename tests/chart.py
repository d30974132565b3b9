"""The Helm chart: what of it is made from something else, so that each thing is said once.

``values.schema.json`` and the table in ``docs/helm.md`` come from ``values.yaml``, its comments, and the schema of a
fleet file; ``fleet.yaml`` is a copy, as a chart can read no file outside of it.

    python -m tests.chart          writes all three
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from webhook.fleet.file import schema as fleet_schema

ROOT = Path(__file__).parents[1]
CHART = ROOT / "manifests" / "helm" / "gpu-slice"
PAGE = ROOT / "docs" / "helm.md"
BEGIN, END = "<!-- values -->", "<!-- end of values -->"
NAMES = {str: "string", bool: "boolean", int: "integer", list: "array", dict: "object"}


@dataclass(frozen=True)
class Value:
    """A documented value of the chart."""

    path: tuple[str, ...]
    default: Any
    text: str
    rule: dict[str, Any]
    """What its schema says beside the type of the default."""


def values() -> Iterator[Value]:
    """The documented values, in the order of the file."""
    text = (CHART / "values.yaml").read_text()
    defaults = yaml.safe_load(text)
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        if found := re.match(r" *# (.*)", line):
            comment.append(found[1])
        elif found := re.match(r"( *)([\w-]+):(?: |$)", line):
            path[len(found[1]) // 2 :] = [found[2]]
            if comment and comment[0].startswith("-- "):
                default: Any = defaults
                for key in path:
                    default = default[key]
                rules = [each for each in comment if each.startswith("@schema ")]
                words = " ".join(each for each in comment if each not in rules).removeprefix("-- ")
                yield Value(tuple(path), default, words, yaml.safe_load(rules[0][8:]) if rules else {})
            comment = []
        else:
            comment = []


def schema() -> dict[str, Any]:
    """The JSON Schema of the values."""
    fleet = fleet_schema()
    definitions = fleet.pop("$defs") | {"Fleet": {key: fleet[key] for key in fleet if key not in ("$schema", "title")}}
    made = _group() | {"$defs": definitions}
    # What a chart that has this one as a dependency may write into its values.
    made["properties"] = {"global": {"type": "object"}, "enabled": {"type": "boolean"}}
    for value in values():
        group = made
        for name in value.path[:-1]:
            group = group["properties"].setdefault(name, _group())
        rule = {"description": value.text, "type": NAMES.get(type(value.default), "null"), **value.rule}
        if value.path == ("fleet",):
            rule |= {"if": {"minProperties": 1}, "then": {"$ref": "#/$defs/Fleet"}}
        group["properties"][value.path[-1]] = rule
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _group() -> dict[str, Any]:
    return {"type": "object", "properties": {}, "additionalProperties": False}


def table() -> str:
    """The values as a table in Markdown."""
    rows = [f"| `{'.'.join(each.path)}` | `{_short(each.default)}` | {each.text} |" for each in values()]
    return "\n".join(["| value | default | meaning |", "| --- | --- | --- |", *rows])


def _short(default: Any) -> str:
    text = json.dumps(default)
    return text if len(text) <= 40 else "…"


def page(text: str) -> str:
    """*text*, of ``docs/helm.md``, with the table as it should be."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def made() -> dict[Path, str]:
    """What stands in each file that is made here."""
    return {
        CHART / "values.schema.json": json.dumps(schema(), indent=1) + "\n",
        CHART / "fleet.yaml": (ROOT / "manifests" / "webhook" / "fleet.yaml").read_text(),
        PAGE: page(PAGE.read_text()),
    }


if __name__ == "__main__":
    for path, content in made().items():
        path.write_text(content)
