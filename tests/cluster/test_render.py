"""What is rendered, held to the schemas and rules of those who will read it: Karpenter's, AWS's and Kubernetes' own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.cluster import programs
from tests.cluster.cluster import Cluster
from tests.rendering import documents_of
from tests.stories import FLEETS
from webhook.cli import files, render
from webhook.render import SUBJECTS

DRA = ("dra",) if programs.kubernetes() >= "1.36" else ()
"""Older ones take extendedResourceName out of a DeviceClass, as it is behind a gate there."""
EVERYTHING = (*(each.name for each in SUBJECTS if each.applied), "fleet", "mig-parted", *DRA)
"""Not what is for Helm, nor for Kueue, whose API is not here."""
NAMESPACES = ("gpu-slice", "gpu-operator", "notebooks", "research", "team-a", "nobody", "few")

BOTTLEROCKET = """\
apiVersion: gpu-slice/v1
pools:
- name: brocket
  gpu: a100-40gb
  partition: {mig: {1g.5gb: 7}}
  strategy: single
  instanceTypes: [p4d.24xlarge]
  ami: bottlerocket@v1.57.0
- name: brocket-turns
  gpu: a10g
  partition: {timeSlicing: {replicas: 4}}
  instanceTypes: [g5.xlarge]
  ami: bottlerocket@v1.57.0
- name: reserved
  gpu: h100-80gb
  partition: {mig: {1g.10gb: 7}}
  instanceTypes: [p5.48xlarge]
  capacityTypes: [reserved, on-demand]
  capacityReservations: [{id: cr-0123456789abcdef0}, {tags: {team: research}, ownerID: "123456789012"}]
  expireAfter: Never
  consolidation: WhenEmptyOrUnderutilized
  limit: {nodes: 2}
"""


@pytest.fixture(name="rendered", params=[*FLEETS, "every field"])
def _rendered(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[tuple[str, str]]:
    """A fleet's companions, for one cluster and for another."""
    name = request.param
    fleet = files.load_fleet(BOTTLEROCKET.encode()) if name == "every field" else files.fleet_at(FLEETS[name])
    before = render.text(render.rendered(fleet, EVERYTHING))
    for each in NAMESPACES:
        if not cluster.get("Namespace", each):
            cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": each}})
    yield before, before.replace("my-cluster", "another")
    cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=before)


def test_every_document_is_created_changed_and_deleted(rendered, cluster) -> None:
    before, after = rendered

    created = cluster.kubectl("apply", "--validate=strict", "-f", "-", stdin=before)
    assert created.returncode == 0, created.stderr
    assert all(line.endswith(" created") for line in created.stdout.splitlines())
    assert created.stderr == ""

    again = cluster.kubectl("apply", "-f", "-", stdin=before)
    assert all(line.endswith(" unchanged") for line in again.stdout.splitlines()), again.stdout

    changed = cluster.kubectl("apply", "--validate=strict", "-f", "-", stdin=after)
    assert changed.returncode == 0, changed.stderr
    configured = [line for line in changed.stdout.splitlines() if not line.endswith(" unchanged")]
    assert all(line.startswith(("ec2nodeclass", "configmap/fleet ")) for line in configured)

    deleted = cluster.kubectl("delete", "-f", "-", stdin=after)
    assert deleted.returncode == 0, deleted.stderr
    assert len(deleted.stdout.splitlines()) == len(created.stdout.splitlines())


def test_the_schemas_refuse_what_is_wrong(cluster) -> None:
    """That the documents above pass says something only if others do not."""
    text = render.text(render.rendered(files.fleet_at(None), ("node-classes", "node-overlays")))
    for right, wrong, message in [
        ("role: KarpenterNodeRole-my-cluster", 'role: ""', "role"),
        ("key: karpenter.sh/nodepool", "key: karpenter.sh/unknown", "restricted"),
        ("volumeType: gp3", "volumeTyp: gp3", "unknown field"),
    ]:
        assert right in text
        refused = cluster.kubectl(
            "create", "--validate=strict", "--dry-run=server", "-f", "-", stdin=text.replace(right, wrong, 1)
        )
        assert refused.returncode == 1
        assert message in refused.stderr


@pytest.mark.parametrize(
    ("field", "term", "message"),
    [
        ("capacityReservationSelectorTerms", {"ownerID": "123456789012"}, "expected at least one"),
        ("capacityReservationSelectorTerms", {"id": "cr-1", "ownerID": "123456789012"}, "mutually exclusive"),
        ("capacityReservationSelectorTerms", {"id": "cr-1", "tags": {"a": "b"}}, "mutually exclusive"),
        ("capacityReservationSelectorTerms", {"tags": {"a": "b"}, "ownerID": "1"}, "should match"),
        ("capacityReservationSelectorTerms", {"instanceMatchCriteria": "Open"}, "supported values"),
        ("capacityReservationSelectorTerms", {"tags": {"a": ""}}, "empty tag keys or values"),
        ("amiSelectorTerms", {"owner": "self"}, "expected at least one"),
        ("amiSelectorTerms", {"id": "ami-1", "owner": "self"}, "mutually exclusive"),
        ("subnetSelectorTerms", {"tags": {"": "b"}}, "empty tag keys or values"),
        ("subnetSelectorTerms", {"tags": {f"t{number}": "b" for number in range(21)}}, "must have at most 20"),
        ("securityGroupSelectorTerms", {"id": "sg-1", "name": "a"}, "mutually exclusive"),
    ],
)
def test_karpenter_refuses_the_selector_terms_that_a_fleet_may_not_have(field, term, message, cluster) -> None:
    """Rows of ``tests/unit/refused_fleets/rendered.py``."""
    document = {**documents_of(files.fleet_at(None), "node-classes")[0], "metadata": {"name": "refused"}}
    document["spec"] = {**document["spec"], "amiFamily": "AL2023", field: [term]}
    refused = cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(document))
    assert refused.returncode == 1
    assert message in refused.stderr
