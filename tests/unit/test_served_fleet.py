"""The ConfigMap with the fleet that the webhook serves, when it cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.check_facts import done, facts, told
from webhook.cli import cluster
from webhook.cli.check import _served
from webhook.cli.files import default_fleet_text
from webhook.cluster.objects import CONFIG_MAPS

FLEET = default_fleet_text().decode()
WHERE = "ConfigMap fleet in namespace gpu-slice"


class Reader:
    """A cluster with one ConfigMap."""

    def __init__(self, **content: Any) -> None:
        self.found = {"metadata": {"name": "fleet"}, **content}

    def get(self, *_: object) -> dict[str, Any]:
        return self.found


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (
            {"data": {"fleet.yml": FLEET}},
            "fleet.yaml: there is no such key (keys: fleet.yml). Give the file that name.",
        ),
        ({"data": {"a": "", "b": ""}}, "fleet.yaml: there is no such key (keys: a, b). Give the file that name."),
        ({"data": None}, "fleet.yaml: there is no such key (keys: none)."),
        ({}, "fleet.yaml: there is no such key (keys: none)."),
        ({"data": {"fleet.yaml": ""}}, "fleet.yaml: has 0 documents."),
        ({"data": {"fleet.yaml": "a: ["}}, "fleet.yaml: cannot be read. fleet.yaml:1: not YAML"),
        ({"data": {"fleet.yaml": "apiVersion: gpu-slice/v1\npools: []"}}, "pools: is empty."),
    ],
    ids=["another key", "other keys", "null", "no data", "empty", "no YAML", "no pools"],
)
def test_it_is_said_what_is_wrong_and_where_once(content: dict[str, Any], wrong: str) -> None:
    reader = Reader(**content)
    with pytest.raises(cluster.BadServed) as bad:
        cluster.fleet_of(reader, None, "gpu-slice")  # type: ignore[arg-type]
    assert bad.value.message.startswith(f"{WHERE}: {wrong}")
    assert bad.value.message.count(WHERE) == 1

    about = facts(single={(CONFIG_MAPS.name, "gpu-slice", "fleet"): reader.found})
    served = _served(about)
    assert isinstance(served, str)
    assert told(done("fleet", facts(single=about.single, served=served))).startswith(
        f"the webhook would refuse it: {wrong}"
    )
