"""What of a rendering replaces nodes: Karpenter replaces those whose NodePool's template or EC2NodeClass has changed.

A release that changes any of it evicts every pod on every node.  After a wanted change ``pytest --update-stories``
writes the digests anew; say it in CHANGELOG.md under "Replaces nodes", and why no smaller change would do.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.rendering import documents_of
from tests.stories import FLEETS
from webhook.cli import files

HELD = Path(__file__).parent / "data" / "nodes.json"


def digests() -> dict[str, dict[str, str]]:
    """For each fleet of the tests, each NodePool's template and each EC2NodeClass' spec, in short."""
    found: dict[str, dict[str, str]] = {}
    for name, path in FLEETS.items():
        fleet = files.fleet_at(path)
        parts = {f"NodePool {each['metadata']['name']}": each["spec"]["template"]
                 for each in documents_of(fleet, "node-pools")}  # fmt: skip
        parts |= {f"EC2NodeClass {each['metadata']['name']}": each["spec"]
                  for each in documents_of(fleet, "node-classes")}  # fmt: skip
        found[name] = {key: hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:16]
                       for key, part in sorted(parts.items())}  # fmt: skip
    return found


def test_a_release_replaces_no_node_that_it_does_not_have_to(request: pytest.FixtureRequest) -> None:
    now = digests()
    if request.config.getoption("--update-stories"):
        HELD.write_text(json.dumps(now, indent=1) + "\n")
    before = json.loads(HELD.read_text())
    assert sum(map(len, now.values())) > 20
    for fleet in before:
        assert now.get(fleet) == before[fleet]
