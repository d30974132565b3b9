"""What is read of an API server: page by page, and as far as the user may."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.check_facts import FLEET, RENDERED
from webhook.cluster.check.look import look
from webhook.cluster.objects import BUDGETS, NODE_CLAIMS, NODE_POOLS, NODES, PODS, ROLES, WEBHOOKS, Document, Kind
from webhook.cluster.reader import PAGE, Reader, Refused
from webhook.cluster.snapshot import Listing

PODS_OF = "/api/v1/namespaces/{}/pods"


class Server(Reader):
    """One that has what a test gives it: bodies and refusals by path, or lists of them for one answer after another."""

    def __init__(self, answers: Mapping[str, Any], namespace: str = "team") -> None:
        self.answers = {path: list(found) if isinstance(found, list) else [found] for path, found in answers.items()}
        self.namespace = namespace
        self.asked: list[tuple[str, str, Mapping[str, str]]] = []
        self.posted: list[Document | None] = []

    def _ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Document | None = None, **_: Any
    ) -> bytes:
        self.asked.append((method, path, query or {}))
        self.posted.append(body)
        answers = self.answers.get(path) or [Refused(404, "not found")]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Refused):
            raise answer
        return json.dumps(answer).encode()


def page(*names: str, follow: str | None = None) -> Document:
    items = [{"metadata": {"name": name}, "spec": {}} for name in names]
    return {"metadata": {"continue": follow} if follow is not None else {}, "items": items}


def names(listing: Listing[Any]) -> list[str]:
    return [each["metadata"]["name"] if isinstance(each, dict) else each.metadata.name for each in listing.items]


@pytest.mark.parametrize("kind", [PODS, NODE_POOLS], ids=["typed", "whole"])
def test_all_pages_are_read_in_order(kind: Kind[Any]) -> None:
    path = kind.path()
    server = Server({path: [page("a", "b", follow="x"), page("c", follow="y"), page("d", follow="")]})
    assert names(server.list(kind, labelSelector="l")) == ["a", "b", "c", "d"]
    queries = [query for _, _, query in server.asked]
    own = {"limit": str(PAGE), "labelSelector": "l"}
    assert queries == [own, own | {"continue": "x"}, own | {"continue": "y"}]


def test_items_of_a_list_are_told_their_kind() -> None:
    (found,) = Server({NODE_POOLS.path(): page("a")}).list(NODE_POOLS).items
    assert (found["kind"], found["apiVersion"]) == ("NodePool", "karpenter.sh/v1")


def test_where_all_namespaces_may_not_be_read_the_own_one_is() -> None:
    listing = Server({PODS.path(): Refused(403, "no"), PODS_OF.format("team"): page("a")}).list(PODS)
    assert (names(listing), listing.namespace) == (["a"], "team")
    assert listing.problem == "you may not list pods in all namespaces"


def test_where_nothing_may_be_read_nothing_is_known() -> None:
    refused = Refused(403, "no")
    server = Server({PODS.path(): refused, PODS_OF.format("team"): refused, NODES.path(): refused})
    assert server.list(PODS) == Listing(problem="you may not list pods in namespace team")
    assert server.list(NODES) == Listing(problem="you may not list nodes")
    assert len(server.asked) == 3  # nodes have no namespace in which they could be read


def test_one_namespace_that_may_not_be_read_is_not_replaced_by_another() -> None:
    server = Server({PODS_OF.format("other"): Refused(403, "no"), PODS_OF.format("team"): page("a")})
    assert server.list(PODS, "other") == Listing(problem="you may not list pods in namespace other")


def test_a_kind_that_the_api_server_does_not_know_has_no_objects() -> None:
    assert Server({}).list(NODE_POOLS) == Listing(installed=False)


def test_another_refusal_is_quoted() -> None:
    listing = Server({NODES.path(): Refused(500, "etcd is away")}).list(NODES)
    assert listing == Listing(problem="nodes cannot be listed: etcd is away")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        pytest.param({"metadata": {"name": "a"}}, {"metadata": {"name": "a"}}, id="there"),
        pytest.param(Refused(404, "no such pod"), None, id="not there"),
        pytest.param(Refused(403, "no"), "you may not get Pod a in namespace team", id="not for you"),
        pytest.param(Refused(500, "etcd is away"), "Pod a in namespace team cannot be read: etcd is away", id="broken"),
    ],
)
def test_one_object_is_found_or_why_not_is_told(answer: Any, found: Any) -> None:
    server = Server({PODS.path("team", "a"): answer})
    assert server.find(PODS, "a", "team") == found


@pytest.mark.parametrize(
    ("status", "message", "no_pods"),
    [
        (403, 'User "u" cannot create resource "pods" in API group ""', True),
        (403, 'User "u" cannot create resource "pods/eviction" in API group ""', False),
        (403, "exceeded quota: q", False),
        (400, 'admission webhook "x" denied: you cannot create resource "pods"', False),
    ],
)
def test_a_right_that_is_missing_is_told_from_other_refusals(status: int, message: str, no_pods: bool) -> None:
    assert Refused(status, message).no_pods is no_pods


@pytest.mark.parametrize("allowed", [True, False])
def test_whether_somebody_may_is_asked_by_group_and_resource(allowed: bool) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    server = Server({path: {"status": {"allowed": allowed}}})
    assert server.may("create", WEBHOOKS) is allowed
    assert server.posted[0] is not None
    assert server.posted[0]["spec"]["resourceAttributes"] == {
        "verb": "create", "group": "admissionregistration.k8s.io", "resource": "mutatingwebhookconfigurations",
        "namespace": "",
    }  # fmt: skip


class TestLook:
    """What `check` reads."""

    @staticmethod
    def looked(answers: Mapping[str, Any], before: bool = False) -> tuple[Any, list[str]]:
        server = Server({"/version": {"gitVersion": "v1.36.3"}, **answers})
        found = look(server, FLEET, RENDERED, "gpu-slice", timedelta(minutes=10), before=before)
        return found, [path for method, path, _ in server.asked if method == "GET"]

    def test_before_an_installation_no_pods_are_read(self) -> None:
        found, asked = self.looked({"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": {}}, before=True)
        assert PODS.path() not in asked
        assert ROLES.path("gpu-slice") not in asked
        assert "create namespaces" in found.refused

    def test_afterwards_all_pods_are_read_and_the_roles_of_our_namespace(self) -> None:
        _, asked = self.looked({})
        assert {PODS.path(), ROLES.path("gpu-slice"), BUDGETS.path("gpu-slice")} <= {*asked}
        assert BUDGETS.path() not in asked

    @pytest.mark.parametrize(
        ("every", "expected"),
        [
            pytest.param(page("of-a-team"), ["of-a-team"], id="as it may"),
            pytest.param(Refused(403, "no"), ["ours"], id="or as far as it may"),
        ],
    )
    def test_while_karpenter_removes_a_node_all_budgets_are_read(self, every: Any, expected: list[str]) -> None:
        leaving = page("c")
        leaving["items"][0]["metadata"]["deletionTimestamp"] = "2026-11-25T10:00:00Z"
        found, _ = self.looked(
            {NODE_CLAIMS.path(): leaving, BUDGETS.path(): every, BUDGETS.path("gpu-slice"): page("ours")}
        )
        assert names(found.snapshot.of(BUDGETS)) == expected
