"""`gpu-slice explain` and `check` while Karpenter launches nodes: for the pod, for another, and the last allowed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster import programs
from tests.cluster.conftest import skip, told
from tests.cluster.world import ASKED, FLEET, World, pod, world
from tests.waiting import wait_for

Document = dict[str, Any]
LAST = """\
- name: late
  gpu: a100-80gb
  partition: {mig: {2g.20gb: 3}}
  instanceTypes: [p4de.24xlarge]
  limit: {nodes: 1}
"""
"""A pool that may have one node, and has none."""
RULES = [{"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["get", "list"]}]


@pytest.fixture(scope="module", name="here")
def _here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    try:
        with world(tmp_path_factory.mktemp("launching"), FLEET + LAST) as made:
            told.logs = made.cluster.plane.logs
            yield made
    except programs.BuildError as error:
        skip(error)


@contextmanager
def launched(here: World, pool: str, *documents: Document) -> Iterator[None]:
    """Within the block pods are there, and a node of *pool* is launched for the first that never boots."""
    names = {each["metadata"]["name"] for each in here.list("NodeClaim")}

    def claims() -> list[str]:
        found = here.list("NodeClaim", label_selector=f"karpenter.sh/nodepool={pool}")
        return [each["metadata"]["name"] for each in found if each["metadata"]["name"] not in names]

    with ExitStack() as stack:
        for document in documents:
            here.cluster.create(document)
            stack.callback(here.cluster.delete, "Pod", document["metadata"]["name"], "default")
            wait_for("Karpenter launches a node", lambda: len(claims()) == 1)
        yield
    for name in claims():
        with suppress(DynamicApiError):  # not waiting until Karpenter has ended its instance
            here.cluster.patch("NodeClaim", name, {"metadata": {"finalizers": None}}, api="karpenter.sh/v1")
            here.cluster.delete("NodeClaim", name, None, "karpenter.sh/v1")


def explained(here: World, *arguments: str, **more: Any) -> tuple[Document, int]:
    result = here.gpu_slice("explain", *arguments, "-o", "json", **more)
    assert result.stdout, result.output
    (explanation,) = json.loads(result.stdout)
    return explanation, result.exit_code


def cause_is(here: World, id: str, *arguments: str, **more: Any) -> Document:
    """The cause of an explanation, once it is *id*."""
    found: Document = {}

    def is_told() -> bool:
        found.update(explained(here, *arguments, **more)[0])
        return bool(found["cause"]["id"] == id)

    with suppress(TimeoutError):
        wait_for(f"{id} is told", is_told)
    assert found["cause"]["id"] == id, json.dumps(found, indent=1)
    cause: Document = found["cause"]
    return cause


def test_a_pod_that_fits_on_no_node_does_not_wait_for_the_node_of_another(here: World) -> None:
    large = {"containers": [{"name": "main", "image": "a/b:1", "resources": {"requests": {"cpu": "30"}}}]}
    fillers = [pod(f"filler-{number}", "shared") for number in range(3)]
    with here.with_also(*fillers), ExitStack() as stack:
        for each in fillers:
            here.cluster.scheduled(each["metadata"]["name"], "default")
        stack.enter_context(launched(here, "shared", pod("first", "shared"), pod("second", "shared", **large)))
        assert "NodeClaim shared-" in cause_is(here, "launching", "first")["sentence"]
        assert "no type of node" in cause_is(here, "karpenter", "second")["sentence"]


def test_the_last_node_that_a_limit_allows_is_launched_without_alarm(here: World) -> None:
    user = here.user("default", RULES)
    with launched(here, "late", pod("only", "2g.20gb")):
        assert "NodeClaim late-" in cause_is(here, "launching", "only")["sentence"]
        cause = cause_is(here, "launching", "only", kubeconfig=user)
        assert "nominated the pod for NodeClaim late-" in cause["sentence"]

        def limit() -> Document:
            lines = json.loads(here.gpu_slice("check", "-o", "json").stdout)["checks"]
            return next(line for line in lines if line["id"] == "node-pool-limit")

        wait_for("Karpenter has counted the node", lambda: limit()["status"] != "good")
        assert limit()["status"] == "warning", limit()

        with here.with_also(pod("one-more", "24x2g.20gb")):  # which the node would have room for, if it were alone
            assert limit()["status"] == "failed", limit()


def test_a_file_of_a_pod_that_is_there_explains_that_pod(here: World, tmp_path: Path) -> None:
    file = tmp_path / "sliced.json"
    file.write_text(json.dumps(pod("sliced", ASKED["sliced"][0])))

    explanation, code = explained(here, str(file))

    assert (explanation["title"], explanation["cause"]["id"], code) == (
        "Pod default/sliced, which exists already",
        "running",
        0,
    )
