"""What counts as a change of the webhook configuration.  `tests.cluster.test_keeper` asks a real API server."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from certs.shipped import DEFAULTS, MUTATING_DEFAULTS, Shipped, Unreadable

MANIFEST = Path(__file__).parents[2] / "manifests" / "webhook" / "webhook.yaml"
SHIPPED = Shipped(MANIFEST)

Webhook = dict[str, Any]


@pytest.fixture(name="live")
def _live() -> dict[str, Any]:
    """The configuration as an API server stores it, with defaults, bookkeeping and a CA."""
    document = yaml.safe_load(MANIFEST.read_text())
    document["metadata"] |= {"uid": "0", "resourceVersion": "7", "generation": 2, "managedFields": [{"manager": "a"}]}
    document["webhooks"] = [{**DEFAULTS, **webhook} for webhook in document["webhooks"]]
    document["webhooks"][0]["clientConfig"]["caBundle"] = "YQ=="
    return document


def test_defaults_bookkeeping_and_the_ca_are_no_change(live: dict[str, Any]) -> None:
    assert SHIPPED.differences(live) == ()


@pytest.mark.parametrize(
    ("change", "path"),
    [
        pytest.param(lambda it: it["clientConfig"]["service"].update(name="x"), "clientConfig.service.name",
                     id="a Service"),
        pytest.param(lambda it: it["clientConfig"]["service"].pop("path"), "clientConfig.service.path", id="no path"),
        pytest.param(lambda it: it["clientConfig"].update(url="x"), "clientConfig.url", id="a URL"),
        pytest.param(lambda it: it.update(failurePolicy="Ignore"), "failurePolicy", id="fails open"),
        pytest.param(lambda it: it.update(objectSelector={"matchLabels": {"a": "b"}}), "objectSelector.matchLabels",
                     id="a default that is changed"),
        pytest.param(lambda it: it["rules"][0].update(scope="*"), "rules[0].scope", id="a scope"),
        pytest.param(lambda it: it["rules"][0].update(resources=["pods", "secrets"]), "rules[0].resources",
                     id="more resources"),
        pytest.param(lambda it: it["matchConditions"].pop(), "matchConditions", id="a condition less"),
        pytest.param(lambda it: it.update(future=1), "future", id="a field that nobody knows"),
    ],
)  # fmt: skip
def test_a_change_is_told_by_its_path(live: dict[str, Any], change: Callable[[Webhook], object], path: str) -> None:
    change(live["webhooks"][0])

    assert SHIPPED.differences(live) == (f"webhooks[0].{path}",)


def test_a_validating_one_has_no_default_of_a_mutating_one() -> None:
    path = MANIFEST.with_name("advice.yaml")
    document = yaml.safe_load(path.read_text())
    document["webhooks"] = [{**DEFAULTS, **webhook} for webhook in document["webhooks"]]

    assert Shipped(path).differences(document) == ()
    document["webhooks"][0]["failurePolicy"] = "Fail"
    assert Shipped(path).differences(document) == ("webhooks[0].failurePolicy",)


@pytest.mark.parametrize("name", ["webhook.yaml", "advice.yaml"])
def test_what_kustomize_moved_to_another_namespace_is_no_change_and_what_stayed_is(name: str) -> None:
    path = MANIFEST.with_name(name)
    text = path.read_text()
    moved = text.replace("namespace: gpu-slice", "namespace: gpus").replace("[gpu-slice, kube-", "[gpus, kube-")
    found, stayed = yaml.safe_load(moved), yaml.safe_load(text)
    for document in (found, stayed):
        kind = MUTATING_DEFAULTS if name == "webhook.yaml" else DEFAULTS
        document["webhooks"] = [{**kind, **webhook} for webhook in document["webhooks"]]

    assert Shipped(path, "gpus").differences(found) == ()
    assert Shipped(path, "gpu-slice").differences(stayed) == ()
    assert "webhooks[0].clientConfig.service.namespace" in Shipped(path, "gpus").differences(stayed)
    assert "webhooks[0].namespaceSelector.matchExpressions[0].values[0]" in Shipped(path, "gpus").differences(stayed)


def test_webhooks_that_are_gone_or_new_are_a_change(live: dict[str, Any]) -> None:
    more = {**live, "webhooks": [*live["webhooks"], deepcopy(live["webhooks"][0])]}

    assert SHIPPED.differences(more) == ("webhooks",)
    assert SHIPPED.differences({**live, "webhooks": None}) == ("webhooks",)
    assert SHIPPED.differences(None) == ("webhooks",)


@pytest.mark.parametrize(
    ("shipped", "stored"),
    [
        pytest.param({"url": "https://a/", "caBundle": "YQ=="}, {"url": "https://a/"}, id="a CA in the file"),
        pytest.param({"service": {"name": "a"}}, {"service": {"name": "a", "port": 443}}, id="the port of a Service"),
    ],
)
def test_what_a_file_may_say_or_leave_out(tmp_path: Path, shipped: dict[str, Any], stored: dict[str, Any]) -> None:
    path = tmp_path / "webhook.yaml"
    path.write_text(yaml.safe_dump({"webhooks": [{"name": "a", "clientConfig": shipped, "rules": [{}]}]}))
    webhook = {**DEFAULTS, "name": "a", "clientConfig": stored, "rules": [{"scope": "*"}]}

    assert Shipped(path).differences({"webhooks": [webhook]}) == ()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"webhooks: {", id="no YAML"),
        pytest.param(b"webhooks: [a]", id="a webhook that is a string"),
        pytest.param(b"webhooks: [{name: a}]", id="no clientConfig"),
        pytest.param(b"\xff", id="no text"),
    ],
)
def test_a_file_that_cannot_be_read_is_said_to_be_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "webhook.yaml"
    path.write_bytes(content)

    with pytest.raises(
        Unreadable, match=r"cannot be read \(\w+\)\. Apply the folder again that has your fleet and image\.$"
    ):
        Shipped(path).differences({})
