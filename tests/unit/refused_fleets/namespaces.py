"""Namespaces, and GPUs of the fleet's own catalogue, that are refused."""

from __future__ import annotations

import pytest

from tests.unit.fleet_text import A10G, pool_text, text

ROWS = [
    # namespaces
    pytest.param(
        text(extra="namespaces: {Team_A: {}}\n"),
        "namespaces.Team_A",
        "'Team_A' is not well formed",
        "Write a namespace's name, in lower-case letters, digits and '-', or '*' for all others",
        id="no namespace's name",
    ),
    pytest.param(
        text(pool_text(name="a100-small"), extra="namespaces: {a: {pools: [a100-smal]}}\n"),
        "namespaces.a.pools[0]",
        "'a100-smal' is not a pool of this fleet",
        "'a100-small'",
        id="a pool misspelt",
    ),
    pytest.param(
        text(extra="namespaces: {a: {pools: [p, other]}}\n"),
        "namespaces.a.pools[1]",
        "'other' is not a pool of this fleet",
        "The pools are p",
        id="a pool like no other",
    ),
    pytest.param(
        text(extra='namespaces: {"*": {slices: [1g.5gb, 2g.10gb]}}\n'),
        "namespaces[*].slices[1]",
        "'2g.10gb' is not a slice of this fleet",
        "The slices are 1g.5gb",
        id="a slice that is not offered",
    ),
    pytest.param(
        text(extra="namespaces: {a: {slices: [shared]}}\n"),
        "namespaces.a.slices[0]",
        "'shared' is not a slice",
        "The slices are 1g.5gb",
        id="shared where nothing is",
    ),
    pytest.param(
        text(pool_text(**A10G), extra="namespaces: {a: {slices: [share]}}\n"),
        "namespaces.a.slices[0]",
        "'share' is not a slice",
        "The slices are shared",
        id="shared misspelt",
    ),
    pytest.param(
        text(extra="namespaces: {a: {slices: [1/7]}}\n"),
        "namespaces.a.slices[0]",
        "'1/7' is not a slice of this fleet",
        "The slices are 1g.5gb",
        id="a fraction",
    ),
    pytest.param(
        text(extra="namespaces: {a: {default: 1g5gb}}\n"),
        "namespaces.a.default",
        "'1g5gb' is not a MIG profile: expected a dot",
        "Write '1g.5gb'",
        id="a default that is misspelt",
    ),
    pytest.param(
        text(extra="namespaces: {a: {default: 2g.10gb}}\n"),
        "namespaces.a.default",
        "no pool gives '2g.10gb' to pods of this namespace",
        "Write one of 1g.5gb",
        id="a default that the fleet does not offer",
    ),
    pytest.param(
        text(pool_text(), pool_text(name="q", **A10G), extra="namespaces: {a: {slices: [shared], default: 1g.5gb}}\n"),
        "namespaces.a.default",
        "no pool gives '1g.5gb'",
        "Write one of shared",
        id="a default that the namespace may not use",
    ),
    pytest.param(
        text(extra="namespaces: {a: {default: 57x1g.5gb}}\n"),
        "namespaces.a.default",
        "no pool gives '57x1g.5gb'",
        "Write one of 1g.5gb",
        id="a default that no node has",
    ),
    pytest.param(
        text(extra="namespaces: {a: {default: main=1g.5gb}}\n"),
        "namespaces.a.default",
        "'main=1g.5gb' names a container",
        "Write the slice alone",
        id="a default for a container",
    ),
    # the catalogue of its own
    pytest.param(
        text(extra="catalogue: {gpus: {x: {family: f}}}\n"),
        "catalogue.gpus.x.source",
        "is missing",
        "Add it",
        id="no source",
    ),
    pytest.param(
        text(extra="catalogue: {gpus: {x: {like: h201, source: s}}}\n"),
        "catalogue.gpus.x.like",
        "'h201' is not a GPU",
        "no 'like'",
        id="a GPU like none",
    ),
    pytest.param(
        text(extra="catalogue: {instanceTypes: {x1: {gpu: h201, gpus: 1}}}\n"),
        "catalogue.instanceTypes.x1.gpu",
        "'h201' is not a GPU",
        "correct it",
        id="an instance type with none",
    ),
    pytest.param(
        text(extra="catalogue: {instanceTypes: {x1: {gpu: h200, gpus: -1}}}\n"),
        "catalogue.instanceTypes.x1.gpus",
        "-1 is out of range",
        "Write at least 0",
        id="an instance type with less than none",
    ),
    pytest.param(
        text(extra="catalogue: {instanceTypes: {x1: {gpu: h200, gpus: 1, architecture: x86}}}\n"),
        "catalogue.instanceTypes.x1.architecture",
        "'x86' is not known",
        "'amd64'",
        id="an architecture by another name",
    ),
]
