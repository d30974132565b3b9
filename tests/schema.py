"""JSON Schema, as far as the pinned schemas of ``tests/unit/data`` use it: draft 4 and 7."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_URI = re.compile(r"([A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*\Z")  # RFC 3986
_IGNORED = {"$schema", "$comment", "id", "definitions", "default", "properties"}


def problems(value: Any, schema: Path) -> list[str]:
    """What is wrong with *value*, each with its path."""
    root = json.loads(schema.read_text())
    return list(_problems(value, root, root, "$"))


def _problems(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str) -> Iterator[str]:
    if "$ref" in schema:
        schema = root["definitions"][schema["$ref"].removeprefix("#/definitions/")]
    known = schema.get("properties", {})
    for keyword, rule in schema.items():
        if keyword not in _IGNORED and not _holds(value, keyword, rule, schema, root):
            yield f"{path}: {keyword} {rule}"
    if isinstance(value, dict):
        for key, inner in value.items():
            rest = schema.get("additionalProperties", True)
            if key in known or isinstance(rest, dict):
                yield from _problems(inner, known.get(key, rest), root, f"{path}.{key}")
    if isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _problems(inner, schema.get("items", {}), root, f"{path}[{place}]")


def _holds(value: Any, keyword: str, rule: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    match keyword:
        case "type":
            kinds = [rule] if isinstance(rule, str) else rule
            return any(type(value) in _TYPES[kind] for kind in kinds)
        case "enum":
            return value in rule
        case "anyOf":
            return any(not list(_problems(value, option, root, "")) for option in rule)
        case "required":
            return not isinstance(value, dict) or all(key in value for key in rule)
        case "additionalProperties":
            return rule is not False or not isinstance(value, dict) or value.keys() <= schema["properties"].keys()
        case "items":
            return True  # each of them is looked at by itself
        case "minItems":
            return not isinstance(value, list) or len(value) >= rule
        case "uniqueItems":
            shown = [json.dumps(item, sort_keys=True) for item in value] if isinstance(value, list) else []
            return not rule or len(set(shown)) == len(shown)
        case "minimum":
            return not isinstance(value, int | float) or value >= rule
        case "maximum":
            return not isinstance(value, int | float) or value <= rule
        case "pattern":
            return not isinstance(value, str) or re.search(rule, value) is not None
        case "format":
            assert rule in ("uri", "uri-reference")
            good = not isinstance(value, str) or _URI.match(value) is not None
            return good and (rule == "uri-reference" or bool(urlsplit(value).scheme))
        case _:
            raise NotImplementedError(keyword)
