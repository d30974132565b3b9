"""`explain`: a pod on its node that does not start, or has to leave it; and one that is being deleted there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.explain_world import NOW, Document, World, running
from webhook.cluster.events import Said
from webhook.cluster.objects import NODES

LONG_AGO = "2026-11-25T11:50:00Z"
CSI = (
    'MountVolume.MountDevice failed for volume "pvc-1" : kubernetes.io/csi: attacher.MountDevice failed to create '
    "newCsiDriverClient: driver name ebs.csi.aws.com not found in the list of registered CSI drivers"
)
NO_ADDRESS = (
    "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox: plugin "
    'type="aws-cni" name="aws-cni" failed (add): add cmd: failed to assign an IP address to container'
)


def starting(since: str = LONG_AGO) -> World:
    """The pod was bound at a time, and its containers are not made yet."""
    world = World()
    running(world)
    state = {"waiting": {"reason": "ContainerCreating"}}
    bound = {"type": "PodScheduled", "status": "True", "lastTransitionTime": since}
    world.pod["status"] = {
        "phase": "Pending",
        "conditions": [bound],
        "containerStatuses": [{"name": "main", "state": state}],
    }
    return world


def says(world: World, reason: str, message: str, seconds: int = 0, source: str = "kubelet") -> None:
    world.said.append(Said(source, "Pod/notebook", reason, message, NOW - timedelta(seconds=seconds)))
    world.said.sort(key=lambda said: said.when, reverse=True)


@pytest.mark.parametrize(
    ("reason", "message", "id", "words", "cure"),
    [
        ("FailedMount", CSI, "volume", "a volume cannot be mounted", "needs a toleration of the pool's taint"),
        ("FailedMapVolume", "MapVolume failed", "volume", "a volume cannot be mounted", "describe pvc"),
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "settings" : configmap "settings" not found',
            "volume",
            "a volume cannot be mounted",
            "Create what the message names",
        ),
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "x" : references non-existent secret key: token',
            "volume",
            "a volume cannot be mounted",
            "Create what the message names",
        ),
        (
            "FailedAttachVolume",
            'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) other',
            "volume",
            "a volume cannot be attached",
            "the pod on the other node",
        ),
        ("FailedAttachVolume", "AttachVolume.Attach failed: 403", "volume", "a volume cannot be attached", "pvc"),
        ("FailedCreatePodSandBox", NO_ADDRESS, "not-started", "its network or sandbox", "aws-node"),
        (
            "FailedCreatePodSandBox",
            'Failed to create pod sandbox: no runtime for "nvidia" is configured',
            "not-started",
            "its network or sandbox",
            "runtimeClassName",
        ),
        ("FailedPodSandBoxStatus", "Unable to get pod sandbox status", "not-started", "its network", "have logs"),
        ("NetworkNotReady", "network is not ready: cni plugin", "not-started", "network is not ready", "aws-node"),
        ("FailedPrepareDynamicResources", "Failed to prepare", "not-started", "a resource claim", "have logs"),
        ("FailedCreatePodContainer", "unable to ensure pod container exists", "not-started", "cannot start", "logs"),
        ("FailedSync", "error determining status", "not-started", "cannot start", "logs"),
        ("Failed", "error making pod data directories: no space left", "not-started", "cannot start", "logs"),
    ],
)
def test_what_the_kubelet_says_is_told_before_that_one_waits(
    reason: str, message: str, id: str, words: str, cure: str
) -> None:
    world = starting()
    says(world, reason, message, source="attachdetach-controller" if "Attach" in reason else "kubelet")

    cause = world.explain().cause

    assert (cause.id, cause.quotes) == (id, (message,))
    assert words in cause.sentence
    assert cure in cause.cure


def test_on_a_node_that_has_just_started_it_is_told_as_what_passes() -> None:
    world = starting("2026-11-25T11:59:20Z")
    says(world, "FailedMount", CSI)

    cause = world.explain().cause

    assert (cause.id, cause.quotes) == ("starting", (CSI,))
    assert cause.sentence.endswith("and its kubelet says so far that a volume cannot be mounted.")
    assert "DaemonSet of the CSI driver" in cause.cure


@pytest.mark.parametrize("progress", ["Pulling", "Pulled", "Created", "Started"])
def test_a_trouble_that_is_over_is_not_told(progress: str) -> None:
    world = starting()
    says(world, "FailedMount", CSI, seconds=60)
    says(world, progress, "", seconds=20)
    assert world.explain().cause.id == "starting"
    says(world, "FailedCreatePodSandBox", NO_ADDRESS, seconds=10)
    assert world.explain().cause.id == "not-started"


def test_a_volume_that_was_attached_is_not_called_unattached() -> None:
    world = starting()
    says(world, "FailedAttachVolume", "Multi-Attach error", seconds=60, source="attachdetach-controller")
    says(world, "SuccessfulAttachVolume", "", seconds=20, source="attachdetach-controller")
    assert world.explain().cause.id == "starting"


def test_nor_is_one_where_the_network_is_there() -> None:
    world = starting()
    says(world, "FailedCreatePodSandBox", NO_ADDRESS, seconds=60)
    world.pod["status"]["conditions"].append({"type": "PodReadyToStartContainers", "status": "True"})
    assert world.explain().cause.id == "starting"


def test_the_event_that_says_more_is_told_before_a_newer_one() -> None:
    world = starting()
    says(world, "FailedMount", CSI, seconds=30)
    says(world, "FailedMount", "Unable to attach or mount volumes: timed out waiting for the condition", seconds=10)
    assert world.explain().cause.quotes == (CSI,)


def test_a_pod_that_runs_has_no_such_trouble() -> None:
    world = World()
    running(world)
    says(world, "FailedMount", CSI)
    assert world.explain().cause.id == "running"


def test_that_a_secret_is_missing_is_told_with_what_to_do() -> None:
    world = starting()
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "token" not found'}
    world.pod["status"]["containerStatuses"][0]["state"] = {"waiting": waiting}
    cause = world.explain().cause
    assert (cause.id, cause.quotes) == ("container", ('secret "token" not found',))
    assert cause.cure.startswith("Create what the message names")


@pytest.mark.parametrize("reason", ["ImageInspectError", "SignatureValidationFailed", "RegistryUnavailable"])
def test_all_that_keeps_an_image_from_being_pulled_is_called_so(reason: str) -> None:
    world = starting()
    world.pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": reason}}
    assert world.explain().cause.id == "image"


START_ERROR = {"reason": "StartError", "exitCode": 128, "message": 'exec: "trian.py": executable file not found'}


BACK_OFF = {
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}},
    "lastState": {"terminated": START_ERROR},
}


@pytest.mark.parametrize(
    ("phase", "status"),
    [
        ("Running", BACK_OFF),
        ("Running", {"state": {"terminated": START_ERROR}}),
        ("Failed", {"state": {"terminated": START_ERROR}}),
    ],
)
def test_what_a_container_said_when_it_ended_is_quoted(phase: str, status: Document) -> None:
    world = World()
    running(world)
    world.pod["status"] = {"phase": phase, "containerStatuses": [{"name": "main", **status}]}
    cause = world.explain().cause
    assert "StartError (exit code 128)" in cause.sentence
    assert cause.quotes == (START_ERROR["message"],)


def test_a_container_that_says_nothing_leaves_the_kubelets_words() -> None:
    world = World()
    running(world)
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}
    ended = {"terminated": {"reason": "Error", "exitCode": 1}}
    world.pod["status"]["containerStatuses"] = [{"name": "main", "state": state, "lastState": ended}]
    assert world.explain().cause.quotes == ("back-off 5m0s",)


class TestNodesThatGo:
    """A pod runs, or starts, on a node that is being removed."""

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"taint": "karpenter.sh/disrupted"}, "Karpenter is replacing it"),
            ({"taint": "aws-node-termination-handler/spot-itn"}, "AWS takes it back"),
            ({"taint": "ToBeDeletedByClusterAutoscaler"}, "the Cluster Autoscaler is removing it"),
            ({"deleted": LONG_AGO}, "it is being deleted."),
        ],
    )
    @pytest.mark.parametrize("phase", ["Running", "Pending"])
    def test_it_is_said(self, change: dict[str, str], words: str, phase: str) -> None:
        world = World()
        running(world)
        world.pod["status"] = {"phase": phase}
        node = world.nodes["a100"]
        if "taint" in change:
            node["spec"]["taints"].append({"key": change["taint"], "effect": "NoSchedule"})
        else:
            node["metadata"]["deletionTimestamp"] = change["deleted"]
        cause = world.explain().cause
        assert cause.id == ("running" if phase == "Running" else "starting")
        assert f"The pod has to leave that node: {words}" in cause.sentence
        assert cause.fine == (phase == "Running")

    def test_of_another_node_it_is_not(self) -> None:
        world = World()
        running(world)
        assert "leave" not in world.explain().cause.sentence


def deleted(until: str, grace: int, **metadata: Any) -> World:
    world = World()
    running(world)
    world.pod["metadata"] |= {"deletionTimestamp": until, "deletionGracePeriodSeconds": grace, **metadata}
    return world


class TestPodsThatAreDeleted:
    """Their ``deletionTimestamp`` is the end of the grace period, and not when somebody deleted them."""

    def test_a_long_grace_period_is_told_with_its_beginning_and_end(self) -> None:
        cause = deleted("2026-11-25T12:55:00Z", 3600).explain().cause
        assert (cause.id, cause.sentence) == (
            "leaving",
            "The pod is being deleted since 2026-11-25T11:55:00Z, and its grace period of 3600 s ends at "
            "2026-11-25T12:55:00Z.",
        )
        assert cause.cure == (
            "Wait until then. If it need not end in order: kubectl -n team-a delete pod notebook --grace-period=1."
        )

    def test_a_node_whose_kubelet_is_gone_is_the_cause(self) -> None:
        world = deleted("2026-11-25T11:30:00Z", 30)
        ready = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped"}
        world.nodes["a100"]["status"]["conditions"] = [ready]
        cause = world.explain().cause
        assert cause.id == "leaving"
        assert "its node a100-1 is not ready, so no kubelet ends it: NodeStatusUnknown" in cause.sentence
        assert cause.quotes == ("Kubelet stopped",)
        assert "kubectl delete node a100-1" in cause.cure
        assert "--grace-period=0 --force" in cause.cure

    def test_so_is_a_node_that_is_not_there(self) -> None:
        world = deleted("2026-11-25T11:30:00Z", 30)
        del world.nodes["a100"]
        assert "its node a100-1 does not exist any more" in world.explain().cause.sentence

    def test_of_a_node_that_may_not_be_read_nothing_is_said(self) -> None:
        world = deleted("2026-11-25T11:30:00Z", 30)
        world.nodes = {}
        world.problems[NODES] = "you may not list nodes"
        assert "does not exist" not in world.explain().cause.sentence

    def test_a_pod_that_stays_on_a_node_that_is_well_is_the_kubelets(self) -> None:
        cause = deleted("2026-11-25T11:30:00Z", 30).explain().cause
        assert "has not ended on node a100-1, although its grace period of 30 s is over" in cause.sentence
        assert "describe pod" in cause.cure

    def test_finalizers_are_named_beside(self) -> None:
        cause = deleted("2026-11-25T11:30:00Z", 30, finalizers=["a/b"]).explain().cause
        assert cause.sentence.endswith("since 2026-11-25T11:29:30Z; finalizers hold it: a/b.")
        assert "finalizers" in cause.cure

    @pytest.mark.parametrize("grace", ["many", -1, 10**18, None])
    def test_a_grace_period_that_no_api_server_writes_is_passed_over(self, grace: Any) -> None:
        assert deleted("2026-11-25T11:30:00Z", grace).explain().cause.id == "leaving"


class TestPreemption:
    """The scheduler ends other pods to make room for this one."""

    def preempts(self, nominated: str = "a100-1", ends: bool = True) -> World:
        world = World()
        world.full()
        world.pod["status"]["nominatedNodeName"] = nominated
        if ends:
            world.others[0]["metadata"]["deletionTimestamp"] = "2026-11-25T12:55:00Z"
        return world

    def test_that_it_waits_for_them_is_told(self) -> None:
        cause = self.preempts().explain().cause
        assert (cause.id, cause.waits) == ("preempting", True)
        assert cause.sentence == (
            "The scheduler has chosen node a100-1 for the pod, and waits until team-b/busy has ended, which it "
            "preempted."
        )

    def test_a_node_that_is_not_ready_is_told_first(self) -> None:
        world = self.preempts()
        world.nodes["a100"]["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
        assert world.explain().cause.id == "node-not-ready"

    @pytest.mark.parametrize("world", [("other-1", True), ("a100-1", False), ("", True)])
    def test_where_none_ends_on_the_chosen_node_it_is_not(self, world: tuple[str, bool]) -> None:
        here = self.preempts(*world)
        here.node_pools.clear()
        found = here.explain()
        assert "preempting" not in {each.id for each in (found.cause, *found.also)}

    def test_a_holder_that_ends_is_named_so(self) -> None:
        (node,) = self.preempts("").explain().nodes
        assert node.causes[0].sentence.endswith("team-b/busy is being deleted and holds 56.")
