"""`explain`: what the scheduler says, in the words of Kubernetes 1.30 to 1.37.

Source: ``pkg/scheduler/framework/plugins`` of k8s.io/kubernetes, v1.36.3 and v1.37.2, and the older words.
"""

from __future__ import annotations

import pytest

from tests.unit.explain_world import World, condition
from webhook.cluster.events import in_words

SELECTOR = "node(s) didn't match Pod's node affinity/selector"
NOT_HELPFUL = "preemption: 0/5 nodes are available: 5 Preemption is not helpful for scheduling."


def message(*reasons: str) -> str:
    return f"0/5 nodes are available: {', '.join(reasons)}. {NOT_HELPFUL}"


@pytest.mark.parametrize(
    ("reason", "id", "words"),
    [
        ("node(s) had volume node affinity conflict", "volume", "in another zone"),
        ("node(s) didn't match PersistentVolume's node affinity", "volume", "in another zone"),
        ("node(s) had no available volume zone", "volume", "in another zone"),
        ("node(s) exceed max volume count", "volume", "as many volumes attached as they may"),
        ("node(s) didn't find available persistent volumes to bind", "volume", "no volume"),
        ("node(s) did not have enough free storage", "volume", "no volume"),
        ("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)", "volume", "no volume"),
        ("node(s) had no available disk", "volume", "Another pod uses"),
        (
            "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by "
            "another pod",
            "volume",
            "Another pod uses",
        ),
        ("node(s) didn't match pod topology spread constraints", "spread", "topology spread"),
        ("node(s) didn't match pod topology spread constraints (missing required label)", "spread", "topology spread"),
        ("node(s) didn't match pod affinity rules", "spread", "affinity"),
        ("node(s) didn't match pod anti-affinity rules", "spread", "affinity"),
        ("node(s) didn't satisfy existing pods anti-affinity rules", "spread", "affinity"),
        ("node(s) didn't have free ports for the requested pod ports", "scheduler", "a port"),
        ("node(s) didn't match Pod's required features", "scheduler", "a feature"),
        ("cannot allocate all claims", "scheduler", "resource claim"),
        ("node(s) of a kind that no release has yet", "scheduler", "node(s) of a kind that no release has yet"),
    ],
)
def test_what_keeps_a_pod_off_a_node_with_room_is_not_that_others_lack_its_labels(
    reason: str, id: str, words: str
) -> None:
    for reasons in ((f"1 {reason}", f"4 {SELECTOR}"), (f"4 {SELECTOR}", f"1 {reason}"), (f"5 {reason}",)):
        world = World()
        condition(message(*reasons))(world)

        explanation = world.explain()

        assert (explanation.cause.id, explanation.also) == (id, ())
        assert words.lower() in explanation.cause.sentence.lower()
        assert "no node has the labels" not in explanation.cause.sentence


def test_that_no_node_has_the_labels_is_said_where_it_is_all_that_is_known() -> None:
    assert in_words(message(f"5 {SELECTOR}")) == "no node has the labels that the pod selects"
    assert in_words(message(f"4 {SELECTOR}", "1 node(s) were unschedulable")) == (
        "other nodes lack the labels that the pod selects; nodes are cordoned"
    )


def test_what_is_known_to_matter_stands_before_what_is_not_understood() -> None:
    text = message("1 Insufficient nvidia.com/mig-1g.5gb", "2 node(s) of a new kind", f"2 {SELECTOR}")
    assert in_words(text) == "no node has a free nvidia.com/mig-1g.5gb; 2 node(s) of a new kind"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pod has unbound immediate PersistentVolumeClaims", "unbound immediate"),
        ('persistentvolumeclaim "data" not found', 'persistentvolumeclaim "data" not found'),
        ('persistentvolumeclaim "data" is being deleted', "is being deleted"),
        ('persistentvolumeclaim "data" bound to non-existent persistentvolume "pv"', "non-existent"),
        ('waiting for ephemeral volume controller to create the persistentvolumeclaim "data"', "ephemeral"),
    ],
)
def test_a_claim_that_is_not_there_yet_is_told_before_nodes_are_looked_at(text: str, words: str) -> None:
    world = World()
    world.full()
    condition(message(text))(world)
    cause = world.explain().cause
    assert cause.id == "volume"
    assert words in cause.sentence


def test_the_cure_is_about_what_the_volume_lacks() -> None:
    def cure(reason: str) -> str:
        world = World()
        condition(message(f"1 {reason}", f"4 {SELECTOR}"))(world)
        return world.explain().cause.cure

    assert "in the volume's zone" in cure("node(s) didn't match PersistentVolume's node affinity")
    assert "fewer volumes" in cure("node(s) exceed max volume count")
    assert cure("node(s) did not have enough free storage").startswith("kubectl -n NAMESPACE describe pvc")
