"""`explain`: webhooks that fail, ours and those of others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.explain_world import BEFORE, Document, World, refused


def calls(name: str, **client: Any) -> Document:
    """A configuration with the webhook of gpu-slice."""
    webhooks = [{"name": "pods.gpu-slice.io", "clientConfig": client}]
    return {"metadata": {"name": name, "creationTimestamp": BEFORE}, "webhooks": webhooks}


OURS = {"service": {"name": "webhook", "namespace": "gpu-slice"}, "caBundle": "ours"}
NOWHERE = (
    'failed calling webhook "pods.gpu-slice.io": failed to call webhook: Post "https://webhook.gone.svc:443/mutate'
    '?timeout=2s": service "webhook" not found'
)
DISTRUSTED = (
    'failed calling webhook "pods.gpu-slice.io": failed to call webhook: Post "https://webhook.gpu-slice.svc:443/mutate'
    '?timeout=2s": tls: failed to verify certificate: x509: certificate signed by unknown authority'
)


@pytest.mark.parametrize(
    ("copy_calls", "message", "cause", "words"),
    [
        (
            {"service": {"name": "webhook", "namespace": "gone"}},
            NOWHERE,
            "other-webhook",
            "MutatingWebhookConfiguration copy calls webhook.gone.svc for pods.gpu-slice.io",
        ),
        (
            {"service": OURS["service"], "caBundle": "old"},
            DISTRUSTED,
            "other-webhook",
            "does not trust its certificate",
        ),
        (
            {"service": {"name": "webhook", "namespace": "gpu-slice", "port": 9}},
            NOWHERE.replace("gone.svc:443", "gpu-slice.svc:9"),
            "other-webhook",
            "copy calls webhook.gpu-slice.svc:9",
        ),
        ({"url": "https://webhook.gone.svc:443/mutate"}, NOWHERE, "other-webhook", "copy calls webhook.gone.svc"),
        ({"service": {"name": "webhook", "namespace": "gone"}}, DISTRUSTED, "certificate", "the webhook's certificate"),
        (OURS, DISTRUSTED, "certificate", "the webhook's certificate"),
    ],
)
def test_a_copy_of_the_configuration_that_fails_is_named(
    copy_calls: Document, message: str, cause: str, words: str
) -> None:
    world = World()
    world.configuration = calls("gpu-slice", **OURS)
    world.copies = [calls("copy", **copy_calls)]
    refused(f"Internal error occurred: {message}")(world)

    explanation = world.explain()

    assert explanation.cause.id == cause
    assert words in explanation.cause.sentence


@pytest.mark.parametrize("listed", [True, False])
def test_a_webhook_of_others_that_fails_is_named(listed: bool) -> None:
    world = World()
    theirs = {"name": "mutate.example.com", "clientConfig": {"url": "https://hook.example.com/x"}}
    world.copies = [{"metadata": {"name": "theirs"}, "webhooks": [theirs]}] if listed else []
    refused(
        'Internal error occurred: failed calling webhook "mutate.example.com": failed to call webhook: Post '
        '"https://hook.example.com/x?timeout=10s": EOF'
    )(world)

    explanation = world.explain()

    assert explanation.cause.id == "other-webhook"
    assert ("theirs calls hook.example.com" if listed else "not gpu-slice's") in explanation.cause.sentence
