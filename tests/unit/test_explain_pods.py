"""`explain`: how a pod failed, or is about to run, and what its own fields exclude."""

from __future__ import annotations

import pytest

from tests.pods import expression, required
from tests.unit.explain_world import BEFORE, SLICE, Document, World, limit, running


@pytest.mark.parametrize(
    ("status", "sentence", "cure"),
    [
        ({"reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."}, "Evicted", "requests"),
        ({"reason": "Preempting", "message": "Preempted in order to admit critical pod"}, "Preempting", "priority"),
        ({"reason": "DeadlineExceeded"}, "DeadlineExceeded", "activeDeadlineSeconds"),
        ({"reason": "Terminated", "message": "imminent node shutdown"}, "Terminated", "shut down"),
        (
            {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]},
            "PreemptionByScheduler",
            "priority",
        ),
        (
            {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}]},
            "DeletionByTaintManager",
            "lost or drained",
        ),
        (
            {
                "containerStatuses": [
                    {"name": "main", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
                ]
            },
            "container main has ended with OOMKilled (exit code 137)",
            "memory limit",
        ),
        (
            {"containerStatuses": [{"name": "main", "state": {"terminated": {"reason": "Error", "exitCode": 3}}}]},
            "container main has ended with Error (exit code 3)",
            "kubectl logs POD",
        ),
        ({"reason": "Later"}, "Later", "kubectl logs POD"),
    ],
)
def test_the_first_sentence_names_how_a_pod_has_failed(status: Document, sentence: str, cure: str) -> None:
    world = World()
    running(world)
    world.pod["status"] = {"phase": "Failed", **status}

    cause = world.explain().cause

    assert (cause.id, cause.sentence) == (
        "failed",
        f"The pod has failed on node a100-1: {sentence}. It holds no slice any more.",
    )
    assert cure in cause.cure


@pytest.mark.parametrize(
    ("reason", "message", "sentence", "cure"),
    [
        (
            "UnexpectedAdmissionError",
            f"Allocate failed due to no healthy devices present; cannot allocate unhealthy devices {SLICE}, which is "
            "unexpected",
            "its slice is not healthy",
            "kubectl drain a100-1",
        ),
        (
            "UnexpectedAdmissionError",
            f"Allocate failed due to requested number of devices unavailable for {SLICE}. Requested: 1, Available: 0",
            "it had nothing free for it",
            "Delete the pod",
        ),
        (
            "UnexpectedAdmissionError",
            "Allocate failed due to rpc error: code = Unknown desc = invalid allocation request, which is unexpected",
            "its device plugin gave no slice",
            "the device plugin's log on node a100-1",
        ),
        ("UnexpectedAdmissionError", "cannot mount", "it could not admit it (the message says why)", "Delete the pod"),
        ("NodeShutdown", "Pod was rejected as the node is shutting down.", "it is being shut down", "Delete the pod"),
        ("NodeAffinity", "Predicate NodeAffinity failed", "it does not match the node any more", "Delete the pod"),
    ],
)
def test_a_kubelets_refusal_is_told_apart(reason: str, message: str, sentence: str, cure: str) -> None:
    world = World()
    running(world)
    world.pod["status"] = {"phase": "Failed", "reason": reason, "message": f"Pod {message}"}

    cause = world.explain().cause

    assert (cause.id, cause.sentence) == ("node-refused", f"The kubelet of node a100-1 refused the pod: {sentence}.")
    assert cure in cause.cure


@pytest.mark.parametrize(
    ("last", "words", "cure"),
    [
        ({"reason": "OOMKilled", "exitCode": 137}, "after it has ended with OOMKilled (exit code 137)", "memory limit"),
        ({"reason": "Error", "exitCode": 2}, "after it has ended with Error (exit code 2)", "kubectl describe pod"),
        ({"reason": "Completed", "exitCode": 0}, "does not run: CrashLoopBackOff.", "kubectl describe pod"),
    ],
)
def test_a_container_that_is_started_again_and_again_tells_how_it_ended(last: Document, words: str, cure: str) -> None:
    world = World()
    running(world)
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}
    world.pod["status"]["containerStatuses"] = [{"name": "main", "state": state, "lastState": {"terminated": last}}]

    cause = world.explain().cause

    assert cause.id == "container"
    assert words in cause.sentence
    assert cure in cause.cure


def test_a_container_that_has_just_ended_is_not_called_starting() -> None:
    world = World()
    running(world)
    ended = {"name": "prepare", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
    world.pod["status"] = {"phase": "Pending", "initContainerStatuses": [ended]}

    cause = world.explain().cause

    assert cause.id == "container"
    assert "container prepare has ended with OOMKilled (exit code 137)." in cause.sentence
    assert "memory limit" in cause.cure


def test_a_pod_that_is_preempted_is_told_so_while_it_goes() -> None:
    world = World()
    running(world)
    world.pod["metadata"]["deletionTimestamp"] = BEFORE
    target = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    world.pod["status"]["conditions"] = [target]

    assert f"The pod is being deleted since {BEFORE} (PreemptionByScheduler)" in world.explain().cause.sentence


def test_a_pods_own_selection_is_not_taken_for_the_cause_of_a_limit() -> None:
    world = World(nodeSelector={"topology.kubernetes.io/zone": "us-east-1b"})
    limit(world)

    explanation = world.explain()

    assert explanation.cause.id == "limit-reached"
    assert [cause.id for cause in explanation.also] == ["node-selector"]


def test_affinity_is_matched_with_the_labels_that_a_node_really_has() -> None:
    for operator, values, holds in (
        ("In", ["us-east-1a"], True),
        ("In", ["us-east-1b"], False),
        ("NotIn", ["us-east-1b"], True),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
    ):
        term = {"matchExpressions": [expression("topology.kubernetes.io/zone", operator, *values)]}
        world = World(affinity=required(term))
        (candidate,) = world.explain().nodes
        assert (not candidate.causes) == holds, operator


def test_what_a_rescue_changed_is_told() -> None:
    world = World()
    world.around["changed"] = ("'main': nvidia.com/gpu: 1 was replaced by nvidia.com/mig-1g.5gb: 1",)
    running(world)

    assert world.explain().changed == world.around["changed"]
