"""The document and its first fields, refused: the text, the path, the problem, the hint or its telling part."""

from __future__ import annotations

import pytest

from tests.unit.fleet_text import pool_text, text

ROWS = [
    # the text, the path of the problem, the problem and the hint or the telling part of each
    pytest.param("", "fleet", "has 0 documents", "one fleet", id="an empty file"),
    pytest.param("# nothing\n", "fleet", "has 0 documents", "one fleet", id="a comment"),
    pytest.param(text() + "---\n" + text(), "fleet", "has 2 documents", "one fleet", id="two documents"),
    pytest.param("- name: p\n", "fleet", "[…] is not a fleet", "Begin with 'apiVersion: gpu-slice/v1'", id="a list"),
    pytest.param("fleet\n", "fleet", "'fleet' is not a fleet", "apiVersion: gpu-slice/v1", id="a text"),
    pytest.param("pools: [\n", "fleet", "cannot be read", "fleet:", id="no YAML"),
    pytest.param(
        "apiVersion: a\napiVersion: b\n",
        "fleet",
        "cannot be read",
        "fleet:2: duplicate key 'apiVersion'. Keep one of them; the first is on line 1",
        id="a key twice",
    ),
    pytest.param(
        text(pool_text(labels="{a: x, a: y}")),
        "fleet",
        "cannot be read",
        "fleet:3: duplicate key 'a'. Keep one of them; the first is on line 3",
        id="a key twice, further down",
    ),
    pytest.param(
        text().replace("/v1", "/v2"), "apiVersion", "not 'gpu-slice/v2'", "gpu-slice/v1', or upgrade", id="a newer one"
    ),
    pytest.param(
        "pools: []\napiVersion: 1\n",
        "apiVersion",
        "this version of gpu-slice reads gpu-slice/v1, not 1",
        "Write 'apiVersion: gpu-slice/v1', or upgrade",
        id="a number for the version",
    ),
    pytest.param(text().split("\n", 1)[1], "apiVersion", "is missing", "Add it", id="no version"),
    pytest.param("apiVersion: gpu-slice/v1\n", "pools", "is missing", "Add it", id="no pools"),
    pytest.param(
        "apiVersion: gpu-slice/v1\npools: []\n",
        "pools",
        "is empty",
        "Add at least one entry",
        id="an empty list of pools",
    ),
    pytest.param(
        "apiVersion: gpu-slice/v1\npools: {p: {}}\n", "pools", "{…} is a mapping", "Write a list", id="a map of pools"
    ),
    pytest.param(
        "apiVersion: gpu-slice/v1\npools: [p]\n",
        "pools[0]",
        "'p' is a string",
        "Write a mapping",
        id="a pool by name only",
    ),
    pytest.param(
        text(extra="cluster: my cluster\n"),
        "cluster",
        "'my cluster' is not well formed",
        "Use letters, digits, '-' and '_', at most 100 characters",
        id="a cluster with a space",
    ),
]
