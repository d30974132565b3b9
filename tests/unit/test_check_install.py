"""The checks of the webhook's installation: certificate, replicas, keeper, rights, configurations."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import yaml

from tests.unit.check_facts import NOW, ROOT, Document, deployment, done, facts, told
from webhook.cluster.check import (
    Leaf,
    Probe,
    Status,
    access,
)
from webhook.cluster.objects import (
    CLUSTER_BINDINGS,
    CLUSTER_ROLES,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    WEBHOOKS,
    Kind,
)


@pytest.mark.parametrize(
    ("left", "status"),
    [
        pytest.param(timedelta(days=300), Status.GOOD, id="long"),
        pytest.param(timedelta(days=20), Status.WARNING, id="three weeks"),
        pytest.param(timedelta(days=5), Status.FAILED, id="days"),
        pytest.param(timedelta(days=-1), Status.FAILED, id="over"),
    ],
)
def test_a_certificate_is_good_for_a_month_at_least(left: timedelta, status: Status) -> None:
    assert done("leaf", facts(leaf=Leaf(NOW + left))).status is status


@pytest.mark.parametrize(
    ("probe", "status"),
    [
        pytest.param(Probe("1g.5gb -> main=nvidia.com/mig-1g.5gb:1"), Status.GOOD, id="sliced"),
        pytest.param(Probe(), Status.FAILED, id="not sliced"),
        pytest.param(
            Probe(refusal='admission webhook "pods.gpu-slice.io" denied the request: x'), Status.FAILED, id="denied"
        ),
        pytest.param(
            Probe(refusal="pods \"x\" is forbidden: ValidatingAdmissionPolicy 'gpu-slice' with"),
            Status.FAILED,
            id="guarded",
        ),
        pytest.param(Probe(refusal='pods "x" is forbidden: exceeded quota: q'), Status.UNKNOWN, id="a quota"),
        pytest.param(
            Probe(refusal='admission webhook "policy.example.com" denied the request'), Status.UNKNOWN, id="others"
        ),
        pytest.param("you may not create pods", Status.UNKNOWN, id="no right"),
    ],
)
def test_what_refuses_the_pod_that_is_tried(probe: Probe | str, status: Status) -> None:
    assert done("webhook-answers", facts(probe=probe)).status is status


@pytest.mark.parametrize(("replicas", "status"), [(3, Status.GOOD), (2, Status.WARNING), (1, Status.FAILED)])
def test_how_many_replicas_are_enough(replicas: int, status: Status) -> None:
    single = {("Deployment", "gpu-slice", "webhook"): deployment("webhook", "gpu-slice", replicas)}
    assert done("replicas", facts(single=single)).status is status


PATCH = "may not get and patch mutatingwebhookconfigurations gpu-slice"
KEEPER = {("Deployment", "gpu-slice", "keeper"): {
    **deployment("keeper", "gpu-slice", 1),
    "spec": {"replicas": 1, "template": {"metadata": {}, "spec": {"serviceAccountName": "keeper", "containers": []}}},
}}  # fmt: skip


def rights(*without: tuple[str, str]) -> dict[Kind[Any], list[Document]]:
    """What ``manifests`` gives, but for some objects, each by kind and name."""
    files = ("keeper/rbac.yaml", "webhook/fleet-reader.yaml")
    shipped = [each for file in files for each in yaml.safe_load_all((ROOT / "manifests" / file).read_text())]
    kinds = (ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_BINDINGS)
    return {
        kind: [
            each
            for each in shipped
            if each["kind"] == kind.name and (kind.name, each["metadata"]["name"]) not in without
        ]
        for kind in kinds
    }


@pytest.mark.parametrize(
    ("without", "keepers", "readers"),
    [
        pytest.param([], "", "", id="nothing"),
        pytest.param([("ClusterRoleBinding", "gpu-slice-keeper")],
                     PATCH, "", id="its cluster-wide binding"),
        pytest.param([("ClusterRole", "gpu-slice-keeper")],
                     PATCH, "", id="its cluster-wide role"),
        pytest.param([("RoleBinding", "keeper")],
                     "may not get and update secrets webhook-tls",
                     "", id="its binding"),
        pytest.param([("Role", "keeper")], "may not get and update secrets webhook-ca", "", id="its role"),
        pytest.param([("RoleBinding", "fleet-reader")], "", "users may not get configmaps fleet", id="the readers'"),
        pytest.param([("Role", "fleet-reader")], "", "users may not get configmaps fleet", id="the readers' role"),
    ],
)  # fmt: skip
def test_a_right_that_is_missing_is_told_before_the_certificate_expires(
    without: list[tuple[str, str]], keepers: str, readers: str
) -> None:
    about = facts(rights(*without), single=KEEPER)
    keeper, reader = done("keeper-access", about), done("fleet-reader", about)
    assert (keeper.status, reader.status) == (
        Status.FAILED if keepers else Status.GOOD,
        Status.WARNING if readers else Status.GOOD,
    )
    assert keepers in told(keeper)
    assert readers in told(reader)


def test_the_rights_that_are_looked_for_are_those_that_the_manifests_give() -> None:
    def given(file: str) -> set[tuple[str, str, tuple[str, ...]]]:
        return {
            (resource, name, tuple(rule["verbs"]))
            for document in yaml.safe_load_all((ROOT / "manifests" / file).read_text())
            for rule in document.get("rules", ())
            for resource in rule["resources"]
            for name in rule["resourceNames"]
        }

    assert given("keeper/rbac.yaml") == set(access.KEEPERS)
    assert given("webhook/fleet-reader.yaml") == {access.READERS}


def test_a_keeper_that_may_not_touch_the_advice_is_told() -> None:
    granted = rights()
    granted[CLUSTER_ROLES][0]["rules"].pop()
    line = done("keeper-access", facts(granted, single=KEEPER))
    assert told(line) == "the keeper may not get and patch validatingwebhookconfigurations gpu-slice-advice"


def test_a_right_may_be_given_in_another_way() -> None:
    admin = {"metadata": {"name": "admin"}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}
    account = {"kind": "ServiceAccount", "name": "keeper", "namespace": "gpu-slice"}
    binding = {"metadata": {"name": "x"}, "roleRef": {"kind": "ClusterRole", "name": "admin"}, "subjects": [account]}
    assert (
        done("keeper-access", facts({CLUSTER_ROLES: [admin], CLUSTER_BINDINGS: [binding]}, single=KEEPER)).problems
        == ()
    )
    here = {**binding, "metadata": {"name": "x", "namespace": "gpu-slice"}}
    line = done("keeper-access", facts({CLUSTER_ROLES: [admin], ROLE_BINDINGS: [here]}, single=KEEPER))
    assert told(line).startswith(f"the keeper {PATCH} | ")  # what is of the whole cluster


def test_a_verb_less_is_told() -> None:
    given = rights()
    given[ROLES][0]["rules"][0]["verbs"] = ["get"]
    assert "may not update secrets webhook-ca" in told(done("keeper-access", facts(given, single=KEEPER)))


@pytest.mark.parametrize("check", ["replicas", "keeper"])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param({"replicas": 3, "updatedReplicas": 3}, Status.GOOD, id="done"),
        pytest.param({"replicas": 4, "updatedReplicas": 1, "unavailableReplicas": 1}, Status.WARNING, id="goes on"),
        pytest.param(
            {"replicas": 4, "updatedReplicas": 1, "unavailableReplicas": 1,
             "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]},
            Status.FAILED, id="is stuck",
        ),
        pytest.param(
            {"replicas": 3, "updatedReplicas": 0,
             "conditions": [{"type": "Progressing", "status": "False"},
                            {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]},
            Status.FAILED, id="no new pod is created",
        ),
    ],
)  # fmt: skip
def test_a_rollout_that_does_not_end(check: str, status: Document, expected: Status) -> None:
    name = "webhook" if check == "replicas" else "keeper"
    live = deployment(name, "gpu-slice", 3)
    live["status"] |= status
    owner = {"kind": "ReplicaSet", "name": f"{name}-5d9f"}
    unscheduled = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    pod = {"metadata": {"name": "new", "namespace": "gpu-slice", "ownerReferences": [owner]},
           "status": {"phase": "Pending", "conditions": [unscheduled]}}  # fmt: skip
    waits = status.get("unavailableReplicas")
    line = done(check, facts({PODS: [pod] if waits else []}, single={("Deployment", "gpu-slice", name): live}))
    assert line.status is expected
    assert ("Pod new is not scheduled: 0/3 nodes are available" in told(line)) == bool(waits)
    assert ("exceeded quota" in told(line)) == ("quota" in str(status))


def copied(called: str = "copy", **service: str) -> Document:
    calls = {"namespace": "elsewhere", "name": "none"} | service
    entry = {"name": "pods.gpu-slice.io", "clientConfig": {"service": calls}}
    return {"kind": "MutatingWebhookConfiguration", "metadata": {"name": called}, "webhooks": [entry]}


def test_a_second_configuration_is_named() -> None:
    manifest = yaml.safe_load((ROOT / "manifests/webhook/webhook.yaml").read_text())
    assert done("webhook-alone", facts({WEBHOOKS: [manifest]})).status is Status.GOOD
    (problem,) = done("webhook-alone", facts({WEBHOOKS: [manifest, copied()]})).problems
    assert problem.reason == "MutatingWebhookConfiguration copy has an entry pods.gpu-slice.io, as ours has"
    assert problem.cure == "If nobody needs it: kubectl delete mutatingwebhookconfiguration copy"
    renamed = copied(namespace="gpu-slice", name="webhook")
    renamed["webhooks"][0]["name"] = "other.io"
    assert told(done("webhook-alone", facts({WEBHOOKS: [manifest, renamed]}))).endswith("copy calls our Service")


def test_another_webhook_that_fails_is_named_with_its_configuration() -> None:
    other = copied("policies")
    other["webhooks"][0]["name"] = "validate.policies.io"
    refusal = 'Internal error occurred: failed calling webhook "validate.policies.io": no endpoints'
    line = done("webhook-answers", facts({WEBHOOKS: [other]}, probe=Probe("", refusal)))
    assert line.status is Status.UNKNOWN
    assert line.unknown.endswith("no endpoints (of MutatingWebhookConfiguration policies)")


@pytest.mark.parametrize("check", ["replicas", "keeper"])
def test_what_is_scaled_to_nothing_is_scaled_up_again(check: str) -> None:
    name = "webhook" if check == "replicas" else "keeper"
    single = {("Deployment", "gpu-slice", name): deployment(name, "gpu-slice", 0)}
    (problem,) = done(check, facts(single=single)).problems
    assert problem.reason == "it is scaled to 0 replicas"
    assert problem.cure.startswith(f"Run kubectl -n gpu-slice scale deployment {name} --replicas=")
