"""Fields that do not exist."""

from __future__ import annotations

import pytest

from tests.unit.fleet_text import pool_text, text

ROWS = [
    # fields that do not exist
    pytest.param(
        text(extra="namespace: {}\n"),
        "namespace",
        "is not a known field",
        "Write 'namespaces'",
        id="a field misspelt",
    ),
    pytest.param(
        text(extra="xyz: {}\n"),
        "xyz",
        "is not a known field",
        "The known fields are apiVersion, cluster, defaults, pools, namespaces, devicePlugin, prices, catalogue",
        id="a field like no other",
    ),
    pytest.param(
        text(pool_text(instanceType="[a]")),
        "pools[0].instanceType",
        "is not a known field",
        "Write 'instanceTypes'",
        id="in a pool",
    ),
    pytest.param(
        text(pool_text(instance_types="[a]")),
        "pools[0].instance_types",
        "is not a known field",
        "Write 'instanceTypes'",
        id="as Python spells it",
    ),
    pytest.param(
        text(pool_text(partition="{migs: {1g.5gb: 7}}")),
        "pools[0].partition.migs",
        "is not a known field",
        "Write 'mig'",
        id="in a partition",
    ),
    pytest.param(
        text(pool_text(partition="{timeSlicing: {replicas: 4, renameByDefalt: true}}")),
        "pools[0].partition.timeSlicing.renameByDefalt",
        "is not a known field",
        "The known fields are replicas",
        id="in time-slicing, where the plugin would ignore it",
    ),
    pytest.param(
        text(pool_text(taints="[{key: a, efect: NoSchedule}]")),
        "pools[0].taints[0].efect",
        "is not a known field",
        "Write 'effect'",
        id="in a taint",
    ),
    pytest.param(
        text(pool_text(limit="{node: 1}")),
        "pools[0].limit.node",
        "is not a known field",
        "Write 'nodes'",
        id="in a limit",
    ),
    pytest.param(
        text(pool_text(capacityTypes="[reserved]", capacityReservations="[{tag: {a: b}}]")),
        "pools[0].capacityReservations[0].tag",
        "is not a known field",
        "Write 'tags'",
        id="in a reservation",
    ),
    pytest.param(
        text(extra="namespaces: {a: {pool: [p]}}\n"),
        "namespaces.a.pool",
        "is not a known field",
        "Write 'pools'",
        id="in a namespace",
    ),
    pytest.param(
        text(extra="namespaces: {mps: {pool: [p]}}\n"),
        "namespaces.mps.pool",
        "is not a known field",
        "Write 'pools'",
        id="in a namespace that is called like a field",
    ),
    pytest.param(
        text(extra="catalogue: {gpu: {}}\n"),
        "catalogue.gpu",
        "is not a known field",
        "Write 'gpus'",
        id="in the catalogue",
    ),
    pytest.param(
        text(extra="catalogue: {gpus: {x: {source: a, aliasses: {}}}}\n"),
        "catalogue.gpus.x.aliasses",
        "is not a known field",
        "Write 'aliases'",
        id="in a GPU of its own",
    ),
    pytest.param(
        text(extra="catalogue: {instanceTypes: {x: {gpu: h200, gpus: 1, gpuNam: a}}}\n"),
        "catalogue.instanceTypes.x.gpuNam",
        "is not a known field",
        "Write 'gpuName'",
        id="in an instance type of its own",
    ),
]
