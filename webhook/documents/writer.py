"""Values as YAML that every reader takes for the same."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_STRING = "tag:yaml.org,2002:str"


def write(value: Any) -> str:
    """*value* as YAML: block style, keys in their order, no string that some reader takes for something else.

    Raises `ValueError` for a float that JSON does not have.

    >>> print(write({"gpus": "1e3", "on": ["a b", 1]}), end="")
    gpus: "1e3"
    "on":
    - a b
    - 1
    """
    written: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, sort_keys=False, allow_unicode=True, width=2**31 - 1
    )
    return written


_MISREAD_WORDS = frozenset(
    ["", "~", "=", "<<", "null", "y", "n", "yes", "no", "on", "off", "true", "false"]
    + [sign + word for sign in ("", "+", "-") for word in (".inf", ".nan")]
)
_MISREAD = re.compile("[-+]?[.0-9_][-+0-9A-Fa-fxXoO_.,:TtZz ]*")
"""Numbers, times and dates of all readers, and a few strings beside them, such as 1.2.3."""
_SEPARATOR = re.compile("[\\u2028\\u2029]")
"""Line breaks in YAML 1.1, letters in YAML 1.2."""


class _Dumper(DUMPER):  # type: ignore[misc, valid-type]
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_string(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None
    if text.lower() in _MISREAD_WORDS or _MISREAD.fullmatch(text) or _SEPARATOR.search(text):
        style = '"'
    elif "\n" in text:
        # The emitter falls back to quotes where a block cannot hold the text, but ends the document behind a "|+".
        style = '"' if text.startswith("\n") or text.endswith("\n\n") else "|"
    node: yaml.ScalarNode = dumper.represent_scalar(_STRING, text, style=style)
    return node


def _represent_float(dumper: _Dumper, number: float) -> yaml.ScalarNode:
    if not math.isfinite(number):
        raise ValueError(f"JSON has no {number}")
    node: yaml.ScalarNode = dumper.represent_float(number)
    return node


_Dumper.add_representer(str, _represent_string)
_Dumper.add_representer(float, _represent_float)
