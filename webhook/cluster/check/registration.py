"""Checks of the webhook's registration, by rule and by a real call, and of its certificates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from webhook import documents
from webhook.admission.assigned import DECIDED
from webhook.admission.plan import MIRROR, UNTOUCHED_NAMESPACES
from webhook.cluster.asking import CONFIGURATION
from webhook.cluster.check.comparison import Comparison
from webhook.cluster.check.facts import CannotLook, Facts, Leaf
from webhook.cluster.check.install import AGAIN, IN_SHADOW, KEEPER, LOST, is_lost
from webhook.cluster.check.result import Check, Found, Note, Problem
from webhook.cluster.objects import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, VALIDATORS, WEBHOOKS, Document
from webhook.errors import BadDocument
from webhook.fleet.shadow import in_shadow
from webhook.slices.request import ANNOTATION

ENTRY, DEFAULTS, ADVICE = "pods.gpu-slice.io", "defaults.gpu-slice.io", "gpu-slice-advice"
SHIPPED = "webhook-configuration"
"""The ConfigMap with the manifests of both configurations, as they were applied."""

PODS: Mapping[str, Any] = {
    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "Namespaced",
}  # fmt: skip
ASKS = "has(object.metadata.annotations) && 'gpu-slice' in object.metadata.annotations"
GETS = """
has(object.metadata.annotations) && 'gpu-slice/default' in object.metadata.annotations
|| !(has(object.metadata.annotations) && 'gpu-slice' in object.metadata.annotations)
&& (object.spec.containers.exists(c,
has(c.resources) && has(c.resources.limits) && 'nvidia.com/gpu' in c.resources.limits)
|| has(object.spec.initContainers) && object.spec.initContainers.exists(c,
has(c.resources) && has(c.resources.limits) && 'nvidia.com/gpu' in c.resources.limits))
"""
CONDITIONS: Mapping[str, Mapping[str, str]] = {
    ENTRY: {"asks-for-a-slice": ASKS},
    DEFAULTS: {"gets-the-default-of-its-namespace": GETS},
}
"""By entry: for which pods the API server calls, by name of the condition.  A test holds all of these constants to
``manifests/webhook/webhook.yaml``."""

SETTINGS: Mapping[str, Any] = {
    "admissionReviewVersions": ["v1"],
    "matchPolicy": "Equivalent",
    "reinvocationPolicy": "IfNeeded",
    "sideEffects": "None",
    "timeoutSeconds": 2,
}
"""How it calls."""

RULES = Comparison("it should be")

SOON, SOONER = timedelta(days=30), timedelta(days=7)
"""As the alerts on a certificate that expires."""

DENIED = 'admission webhook "pods.gpu-slice.io" denied the request'
CALLED = 'failed calling webhook "pods.gpu-slice.io"'
GUARDED = "ValidatingAdmissionPolicy 'gpu-slice'"


def entries_of(facts: Facts) -> dict[str, Document]:
    """The entries of our configuration that are ours, by name."""
    webhooks = (facts.named(WEBHOOKS, CONFIGURATION) or {}).get("webhooks") or []
    return {entry["name"]: entry for entry in webhooks if entry["name"] in CONDITIONS}


def _registered(facts: Facts) -> Iterator[Found]:
    live, entries = facts.named(WEBHOOKS, CONFIGURATION), entries_of(facts)
    if live is None:
        yield Problem(f"there is no MutatingWebhookConfiguration {CONFIGURATION}: pods get no slices")
        return
    for name in (ENTRY, DEFAULTS):
        if name not in entries and (name == ENTRY or any(each.default for each in facts.fleet.policies.values())):
            yield Problem(f"MutatingWebhookConfiguration {CONFIGURATION} has no entry {name}")
    for name, entry in entries.items():
        client, service = entry["clientConfig"], entry["clientConfig"].get("service") or {}
        if name == ENTRY and client.get("url"):
            yield Note(f"by URL, {client['url']}")
        elif service and (service.get("namespace"), service.get("path")) != (facts.namespace, "/mutate"):
            yield Problem(f"{name} calls {service.get('namespace')}/{service.get('name')}{service.get('path', '')}")
    for entry in live.get("webhooks") or []:
        if entry["name"] not in CONDITIONS:
            yield Problem(f"it has an entry that is not ours, {entry['name']}")


def _alone(facts: Facts) -> Iterator[Found]:
    services = [(entry["clientConfig"].get("service") or {}) for entry in entries_of(facts).values()]
    ours = {(service.get("namespace"), service.get("name")) for service in services} | {(facts.namespace, "webhook")}
    for kind, own in ((WEBHOOKS, CONFIGURATION), (VALIDATORS, ADVICE)):
        for live in facts.all(kind):
            name = live["metadata"]["name"]
            for entry in live.get("webhooks") or [] if name != own else []:
                service = entry["clientConfig"].get("service") or {}
                calls = (service.get("namespace"), service.get("name")) in ours
                if calls or entry["name"] in CONDITIONS:
                    told = "calls our Service" if calls else f"has an entry {entry['name']}, as ours has"
                    yield Problem(
                        f"{kind.name} {name} {told}",
                        f"If nobody needs it: kubectl delete {kind.name.lower()} {name}",
                    )
                    break


def _whose(facts: Facts, refusal: str) -> str:
    """The configurations with the entry that *refusal* names, as the end of a sentence; empty if it names none."""
    found = re.search(r'webhook "([^"]+)"', refusal)
    named = [
        f"{kind.name} {live['metadata']['name']}"
        for kind in (WEBHOOKS, VALIDATORS)
        for live in facts.snapshot.items(kind)
        if found and any(entry["name"] == found[1] for entry in live.get("webhooks") or [])
    ]
    return f" (of {' and '.join(named)})" if named else ""


def _fails_closed(facts: Facts) -> Iterator[Found]:
    shadow = in_shadow(facts.fleet.file)
    for name, entry in entries_of(facts).items():
        policy = entry.get("failurePolicy")
        if shadow and policy != "Ignore":
            told = (
                f"failurePolicy of {name} is {policy}: without a replica, pods are refused that should stay as they are"
            )
            yield Problem(f"{told} (in shadow: {shadow})", IN_SHADOW)
        elif shadow:
            yield Note(f"in shadow, it fails open: {shadow}")
        elif policy != "Fail":
            yield Problem(f"failurePolicy of {name} is {policy}: without a replica, a pod starts without its slice")


def _selects(facts: Facts) -> Iterator[Found]:
    for name, entry in entries_of(facts).items():
        wanted = selects(name, facts.namespace)
        live = {key: _normal(entry.get(key)) for key in wanted}
        live["rules"] = [{"scope": "*", **rule} for rule in live["rules"] or []]
        for different in RULES.differences(wanted, live, name):
            yield Problem(different)
        if given := (entry.get("namespaceSelector") or {}).get("matchLabels"):
            yield Problem(f"{name}.namespaceSelector.matchLabels is {given}, and it should be nothing")
        if any((entry.get("objectSelector") or {}).values()):
            yield Problem(f"{name}.objectSelector is {entry['objectSelector']}, and it should be nothing")


def selects(name: str, namespace: str) -> dict[str, Any]:
    """For which pods an entry is called, where gpu-slice is installed in *namespace*."""
    lacks = "!has(object.metadata.annotations) || !('{}' in object.metadata.annotations)"
    conditions = {
        **CONDITIONS[name],
        "is-no-mirror-pod": lacks.format(MIRROR),
        "is-not-decided-by-a-policy": f"{lacks.format(DECIDED)} || !('{ANNOTATION}' in object.metadata.annotations)",
    }
    labelled = [{"key": "gpu-slice/default", "operator": "Exists"}] if name == DEFAULTS else []
    expressions = [
        *labelled,
        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [namespace, "kube-system"]},
        {"key": "gpu-slice/opt-out", "operator": "DoesNotExist"},
    ]
    return {
        "rules": [dict(PODS)],
        "matchConditions": [{"name": key, "expression": _normal(text)} for key, text in conditions.items()],
        "namespaceSelector": {"matchExpressions": expressions},
    }


def _normal(value: Any) -> Any:
    """A copy of *value* in which every text is on one line."""
    if isinstance(value, Mapping):
        return {key: _normal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_normal(item) for item in value]
    return " ".join(value.split()) if isinstance(value, str) else value


def _settings(facts: Facts) -> Iterator[Found]:
    for name, entry in entries_of(facts).items():
        for different in RULES.differences(dict(SETTINGS), {key: entry.get(key) for key in SETTINGS}, name):
            yield Problem(different)


def _bundle(facts: Facts) -> Iterator[Found]:
    bundles = {name: (entry.get("clientConfig") or {}).get("caBundle") for name, entry in entries_of(facts).items()}
    for name, bundle in bundles.items():
        if not bundle:
            yield Problem(f"caBundle of {name} is empty: the API server trusts no replica")
            return
    if isinstance(facts.leaf, Leaf) and not facts.leaf.trusted:
        yield Problem("no CA in caBundle issued the certificate in Secret webhook-tls")
    elif len({*bundles.values()}) > 1:
        yield Problem(f"{' and '.join(bundles)} have different caBundles")
    elif isinstance(facts.leaf, str):
        raise CannotLook(facts.leaf)


def _leaf(facts: Facts) -> Iterator[Found]:
    if isinstance(facts.leaf, str):
        raise CannotLook(facts.leaf)
    if is_lost(facts, "webhook-tls"):
        told = (
            f"there is no Secret webhook-tls in namespace {facts.namespace}: a replica that restarts has no certificate"
        )
        yield Problem(told, LOST if facts.one(DEPLOYMENTS, KEEPER) else _NOT_KEPT)
        return
    if facts.leaf is None or facts.leaf.until is None:
        yield Problem("Secret webhook-tls has no certificate")
        return
    left = facts.leaf.until - facts.now
    if left <= timedelta(0):
        yield Problem(f"it expired on {facts.leaf.until:%Y-%m-%d}")
    elif facts.leaf.flaw:
        yield Problem(facts.leaf.flaw)
    elif left < SOON:
        yield Problem(f"it expires on {facts.leaf.until:%Y-%m-%d}, in {_days(left)}", warning=left >= SOONER)
    else:
        yield Note(f"until {facts.leaf.until:%Y-%m-%d}, {_days(left)} left")


def _days(span: timedelta) -> str:
    return f"{span.days} day{'' if span.days == 1 else 's'}"


def _answers(facts: Facts) -> Iterator[Found]:
    probe = facts.probe
    if probe is None or isinstance(probe, str):
        raise CannotLook(probe or "no pod was tried")
    if any(ours in probe.refusal for ours in (DENIED, CALLED, GUARDED)):
        yield Problem(probe.refusal)
    elif probe.refusal:
        raise CannotLook(f"the pod was refused for another reason: {probe.refusal}{_whose(facts, probe.refusal)}")
    elif not probe.assigned and _untouched(facts, probe.namespace):
        raise CannotLook(f"the webhook is not called for namespace {probe.namespace}; name another with -n")
    elif not probe.assigned and probe.shadow:
        yield Note(f"in shadow, a pod of namespace {probe.namespace} stays as it is")
    elif not probe.assigned:
        yield Problem("a pod that asks for a slice is stored without one")
    else:
        yield Note(probe.assigned)


def _untouched(facts: Facts, namespace: str) -> bool:
    labels = (facts.snapshot.named(NAMESPACES, namespace) or {}).get("metadata", {}).get("labels") or {}
    return namespace in UNTOUCHED_NAMESPACES or namespace == facts.namespace or "gpu-slice/opt-out" in labels


def _advice(facts: Facts) -> Iterator[Found]:
    live, none = facts.named(VALIDATORS, ADVICE), {"": ""}
    shipped = _shipped(facts, "advice.yaml", none)
    if live is None and shipped is None:
        yield Note("left out")
    elif live is None:
        yield Problem(f"there is no ValidatingWebhookConfiguration {ADVICE}", warning=shipped is none)
    else:
        bundle = (entries_of(facts).get(ENTRY, {}).get("clientConfig") or {}).get("caBundle")
        for entry in live.get("webhooks") or []:
            if entry.get("failurePolicy") != "Ignore":
                yield Problem(f"{entry['name']} has failurePolicy Fail: without a replica no workload can be applied")
            if entry["clientConfig"].get("caBundle") != bundle:
                yield Problem(f"the caBundle of {entry['name']} is not that of {CONFIGURATION}")
        if shipped and shipped is not none:
            wanted, stored = (
                {"webhooks": [_asked(each) for each in item.get("webhooks") or []]} for item in (shipped, live)
            )
            for different in Comparison("the manifest says").differences(wanted, stored):
                yield Problem(different)


def _asked(entry: Document) -> Document:
    kept = ("name", "rules", "matchConditions", "namespaceSelector", "sideEffects", "timeoutSeconds")
    return {key: _normal(entry.get(key)) for key in kept}


def _shipped(facts: Facts, file: str, otherwise: Document) -> Document | None:
    """A manifest as it was applied; None if it was left out, *otherwise* if nobody knows."""
    try:
        found = facts.one(CONFIG_MAPS, SHIPPED)
        if found is None:
            return otherwise
        text = (found.get("data") or {}).get(file)
        manifest: Document | None = documents.read(text, name=file)[0].value if text else None
    except (CannotLook, BadDocument, LookupError):
        return otherwise
    return manifest


_NOT_KEPT = (
    "If cert-manager makes it, it says why not: kubectl -n gpu-slice describe certificates.  Otherwise, make it again"
    " with gpu-slice certs init."
)

CHECKS = (
    Check("webhook-registered", "Webhook", "the webhook is registered", AGAIN, _registered),
    Check("webhook-alone", "Webhook", "no other configuration calls as ours does",
          "Delete the configuration that is not called gpu-slice, if nobody needs it.", _alone),
    Check("webhook-fails-closed", "Webhook", "no pod starts without its slice", AGAIN, _fails_closed,
          after=("webhook-registered",)),
    Check("webhook-selects", "Webhook", "it is called for all pods that ask for a slice", AGAIN, _selects,
          after=("webhook-registered",)),
    Check("webhook-settings", "Webhook", "it is called as it was made for", AGAIN, _settings,
          after=("webhook-registered",)),
    Check("ca-bundle", "Certificates", "the API server trusts the webhook's certificate",
          "Run gpu-slice certs status.  A running keeper puts the CA back within a minute.", _bundle,
          after=("webhook-registered",)),
    Check("leaf", "Certificates", "the webhook's certificate is valid",
          "Run gpu-slice certs status, and see that the keeper runs.", _leaf),
    Check("webhook-answers", "Admission", "a pod that asks for a slice gets it, as a dry run",
          "Read kubectl -n gpu-slice logs deployment/webhook, and docs/troubleshooting.md for the message.", _answers,
          after=("webhook-registered", "webhook-selects", "ca-bundle", "leaf", "replicas", "fleet",
                 "webhook-alone")),
    Check("advice", "Admission", "whoever applies a workload is told about its pods",
          f"{AGAIN}  Or leave advice.yaml out.", _advice,
          after=("ca-bundle",)),
)  # fmt: skip
