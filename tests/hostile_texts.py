"""Texts that are made to be expensive to read: files for previews, as large as the second port takes them.

Source of most: they held a running replica for seconds to minutes.
"""

from __future__ import annotations

import json

SPARK = "spark.kubernetes.driver.annotation.gpu-slice"
EVIL = "1g5gb@" + " " * 32_000


def config(text: str) -> bytes:
    """A ConfigMap that holds *text*."""
    return json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": text}}
    ).encode()


def deployment(value: str, *prefixes: str) -> bytes:
    """A Deployment with *value* under the annotation, and under keys that look like it."""
    metadata = {"annotations": {f"{prefix}gpu-slice": value for prefix in ("", *prefixes)}}
    template = {"metadata": metadata, "spec": {"containers": [{"name": "main"}]}}
    made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", **metadata}}
    return json.dumps(made | {"spec": {"replicas": 3, "template": template}}).encode()


HOSTILE_TEXTS: dict[str, bytes] = {
    "a value of spaces after a misspelt slice, under 14 keys": deployment(EVIL, *(f"a{n}/" for n in range(6))),
    "a value of spaces under 100 keys": deployment("1g5gb@" + " " * 2_000, *(f"a{n}/" for n in range(99))),
    "a Spark property, and spaces": config(SPARK + " " * 60_000 + "\n"),
    "a Spark property, spaces, an equals sign, and spaces": config(SPARK + " " * 60_000 + "=" + " " * 60_000),
    "spaces before a Spark property": config((" " * 60_000 + "\n" + SPARK) * 4),
    "Spark properties without an end": config(SPARK * 2_000),
    "an object, and closing braces": b"{}" + b"}" * 500_000,
    "objects, and closing braces on lines of their own": b"{}\n" + b"}\n" * 20_000,
    "closing brackets": b"{]" + b"]" * 500_000,
    "objects between letters": b"{}x" * 45_000,
    "lists between commas": b"[]," * 20_000,
    "objects that are cut off": b'{"a' * 40_000,
    "strings that do not end": b'{}"' * 40_000,
    "numbers between braces": b"{}" + b"1}" * 200_000,
    "the annotation's name, and spaces": config("gpu-slice" + " " * 120_000 + "x"),
    "the annotation's name, and line breaks": config("gpu-slice" + "\n" * 120_000 + "x"),
    "the annotation's name, again and again": config("gpu-slice\n" * 12_000),
}
