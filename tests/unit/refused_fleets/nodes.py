"""Ways to launch nodes that are refused."""

from __future__ import annotations

import pytest

from tests.unit.fleet_text import pool_text, text

ROWS = [
    # nodes
    pytest.param(text(pool_text(nodes="eks")), "pools[0].nodes", "'eks' is not known", "'existing'", id="nodes of eks"),
    pytest.param(
        text(pool_text(capacityTypes="[sport]")),
        "pools[0].capacityTypes[0]",
        "'sport' is not known",
        "Write 'spot', 'on-demand' or 'reserved'",
        id="spot misspelt",
    ),
    pytest.param(
        text(pool_text(capacityTypes="[]")),
        "pools[0].capacityTypes",
        "is empty",
        "Add at least one entry",
        id="no capacity type",
    ),
    pytest.param(
        text(pool_text(capacityTypes="[reserved]")),
        "pools[0].capacityTypes",
        "'reserved' needs a capacity reservation",
        "capacityReservations: [{id: cr-…}]",
        id="reserved without reservations",
    ),
    pytest.param(
        text(pool_text(capacityReservations="[{id: cr-1}]")),
        "pools[0].capacityReservations",
        "the pool does not use them",
        "Add 'reserved'",
        id="reservations without reserved",
    ),
    pytest.param(
        text(pool_text(capacityTypes="[reserved]", capacityReservations="[{id: cr-1, tags: {a: b}}]")),
        "pools[0].capacityReservations[0]",
        "id and tags are given",
        "Give one of them",
        id="a reservation by id and tags",
    ),
    pytest.param(
        text(pool_text(capacityTypes="[reserved]", capacityReservations="[{id: cr-1}, {}]")),
        "pools[0].capacityReservations[1]",
        "nothing is given",
        "Give id or tags or instanceMatchCriteria",
        id="a reservation by nothing",
    ),
    *[
        pytest.param(
            text(pool_text(capacityTypes="[reserved]", capacityReservations=f"[{term}]")),
            f"pools[0].capacityReservations[0]{where}",
            problem,
            hint,
            id=f"a reservation by {term}",
        )
        for term, where, problem, hint in [
            ("{ownerID: '123456789012'}", "", "only ownerID is given", "Give id or tags or instanceMatchCriteria"),
            ("{id: cr-1, ownerID: '123456789012'}", "", "id and ownerID are given", "Give one of them"),
            (
                "{id: cr-1, instanceMatchCriteria: open}",
                "",
                "id and instanceMatchCriteria are given",
                "Give one of them",
            ),
            ("{tags: {a: b}, ownerID: 123456789012}", ".ownerID", "123456789012 is a number", "put it in quotes"),
            ("{tags: {a: b}, ownerID: '1'}", ".ownerID", "'1' is not well formed", "the twelve digits"),
            ("{tags: {a: b}, owner: '1'}", ".owner", "is not a known field", "Write 'ownerID'"),
            ("{instanceMatchCriteria: Open}", ".instanceMatchCriteria", "'Open' is not known", "'open' or 'targeted'"),
            ("{tags: {a: ''}}", ".tags.a", "is empty", "Write it, or remove it"),
            ("{tags: {'': a}}", ".tags[]", "is empty", "Write it, or remove it"),
        ]
    ],
    pytest.param(
        text(pool_text(capacityTypes="[reserved]", capacityReservations="[{id: i-1}]")),
        "pools[0].capacityReservations[0].id",
        "'i-1' is not well formed",
        "Write an id such as 'cr-0123456789abcdef0'",
        id="an id of something else",
    ),
    pytest.param(text(pool_text(limit="{}")), "pools[0].limit", "nothing is given", "slices or nodes", id="no limit"),
    pytest.param(
        text(pool_text(limit="{slices: 1, nodes: 1}")),
        "pools[0].limit",
        "slices and nodes",
        "slices or nodes",
        id="two limits",
    ),
    pytest.param(
        text(pool_text(limit="{nodes: -1}")),
        "pools[0].limit.nodes",
        "-1 is out of range",
        "Write at least 0",
        id="a limit below nothing",
    ),
    pytest.param(text(pool_text(limit="10")), "pools[0].limit", "10 is a number", "Write a mapping", id="of what"),
    pytest.param(
        text(pool_text(emptyFor="5 minutes")),
        "pools[0].emptyFor",
        "'5 minutes' is not well formed",
        "Write a duration such as '300s' or '720h', or 'Never'",
        id="minutes",
    ),
    pytest.param(
        text(pool_text(emptyFor="300")),
        "pools[0].emptyFor",
        "300 is a number, without a unit",
        "Write a duration such as '300s'",
        id="seconds or what",
    ),
    pytest.param(
        text(pool_text(expireAfter="30d")),
        "pools[0].expireAfter",
        "'30d' is not well formed",
        "Write a duration such as '300s' or '720h', or 'Never'",
        id="days",
    ),
    pytest.param(
        text(pool_text(consolidation="Never")),
        "pools[0].consolidation",
        "'Never' is not known",
        "Write 'WhenEmpty' or 'WhenEmptyOrUnderutilized'",
        id="consolidation",
    ),
    pytest.param(
        text(pool_text(weight="0")), "pools[0].weight", "0 is out of range", "Write at least 1", id="no weight"
    ),
    pytest.param(
        text(pool_text(weight="101")),
        "pools[0].weight",
        "101 is out of range",
        "Write at most 100",
        id="too much weight",
    ),
    pytest.param(
        text(pool_text(disk="200")),
        "pools[0].disk",
        "200 is a number, without a unit",
        "Write a size such as '200Gi'",
        id="a disk of what",
    ),
    pytest.param(
        text(pool_text(disk="200GB")),
        "pools[0].disk",
        "'200GB' is not well formed",
        "Write a size such as '200Gi'",
        id="a disk in GB",
    ),
    pytest.param(
        text(pool_text(name="a"), pool_text(name="b"), extra="defaults: {disk: 2}\n"),
        "defaults.disk",
        "2 is a number, without a unit",
        "Write a size such as '2Gi'",
        id="a default of a wrong type",
    ),
    pytest.param(
        text(extra="defaults: {taint: []}\n"),
        "defaults.taint",
        "is not a known field",
        "Write 'taints'",
        id="a default that is no field of a pool",
    ),
    pytest.param(
        text(extra="defaults: []\n"),
        "defaults",
        "is a list",
        "Write a mapping",
        id="a list of defaults",
    ),
]
