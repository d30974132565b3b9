"""Whether the webhook was asked about a pod, why not, and what the API server's refusals mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from webhook.admission.contents import mapping
from webhook.admission.plan import MIRROR, UNTOUCHED_NAMESPACES
from webhook.admission.shadow import is_left_alone
from webhook.cluster.asked import Asked, moment
from webhook.cluster.causes import Cause
from webhook.cluster.cures import by_words
from webhook.cluster.objects import DEPLOYMENTS, WEBHOOKS, Document
from webhook.cluster.selectors import unmatched
from webhook.cluster.snapshot import Snapshot
from webhook.fleet.fleet import Fleet
from webhook.fleet.shadow import in_shadow
from webhook.slices.request import ANNOTATION

CONFIGURATION = "gpu-slice"
WEBHOOK, DEFAULTS = "pods.gpu-slice.io", "defaults.gpu-slice.io"
"""The entries of the configuration: for pods with the annotation, and for those that may get a namespace's default."""
OPT_OUT = "gpu-slice/opt-out"

_CERTIFICATE = re.compile(r"x509|certificate|tls:")


_REFUSALS = (
    (
        re.compile("because it is being terminated"),
        "Use another namespace, or wait until this one is gone, and create both anew. If it stays, its conditions say "
        "why: kubectl get namespace -o yaml.",
    ),
    (re.compile(r'namespaces "[^"]*" not found'), "Create the namespace, or name another one."),
    (
        re.compile("error looking up service account|no API token found for service account"),
        "Create the service account, or correct the pod's serviceAccountName. A new namespace gets its own within "
        "seconds.",
    ),
    (re.compile("no PriorityClass with name"), "Name one that is there: kubectl get priorityclasses."),
    (
        re.compile("violates PodSecurity"),
        "Write what the message names into the pod's securityContext, or ask who labels the namespace.",
    ),
)
"""What to do about refusals of Kubernetes' own, by words of their message."""


def not_asked(
    asked: Asked, namespace: Document | None, snapshot: Snapshot, own: str, webhook: str = WEBHOOK
) -> Iterator[Cause]:
    """Why a pod was not seen, for which there is the entry *webhook*.

    *namespace*: the object, None if it may not be read; *own*: ours.
    """
    name, labels = asked.namespace, labels_of(namespace)
    if name in UNTOUCHED_NAMESPACES or name == own:
        yield Cause(
            "namespace-excluded", f"gpu-slice never touches pods of namespace {name}, so this one has no slice."
        )
        return
    if OPT_OUT in labels:
        text = f"Namespace {name} carries the label {OPT_OUT}={labels[OPT_OUT]}, so gpu-slice was not asked"
        yield Cause("namespace-opted-out", f"{text} and the pod has no slice.")
        return
    if MIRROR in asked.view.annotations:
        yield Cause("mirror-pod", "It is the mirror of a kubelet's static pod, which is never changed.")
        return
    listing = snapshot.of(WEBHOOKS)
    configuration = snapshot.named(WEBHOOKS, CONFIGURATION)
    if configuration is None:
        if not listing.problem:
            text = f"There is no MutatingWebhookConfiguration '{CONFIGURATION}'"
            yield Cause("webhook-missing", f"{text}, so gpu-slice was not asked and the pod has no slice.")
            return
    elif namespace is not None or webhook == WEBHOOK:  # the other one selects namespaces by a label
        yield from _left_out(asked, labels, configuration, webhook)
    text = f"The pod has the annotation '{ANNOTATION}', and gpu-slice has not answered it"
    yield Cause("not-visited", f"{text}: it was added after the pod was created, or nobody was asked then.")


def labels_of(namespace: Document | None) -> Mapping[str, str]:
    return mapping(mapping(namespace, "metadata"), "labels")


def _left_out(asked: Asked, labels: Mapping[str, str], configuration: Document, name: str) -> Iterator[Cause]:
    webhooks = configuration.get("webhooks") or ()
    webhook = next((each for each in webhooks if each["name"] == name), None)
    if webhook is None:
        yield Cause("webhook-missing", f"MutatingWebhookConfiguration '{CONFIGURATION}' has no webhook {name}.")
        return
    of_namespace = {"kubernetes.io/metadata.name": asked.namespace, **labels}
    of_pod = asked.document["metadata"].get("labels") or {}
    for field, has in (("namespaceSelector", of_namespace), ("objectSelector", of_pod)):
        if wrong := unmatched(webhook.get(field) or {}, has):
            yield Cause("webhook-not-asked", f"The webhook's {field} ({wrong}) leaves this pod out.")
            return
    rules = webhook.get("rules") or ()
    if not any("CREATE" in _any(each, "operations") and "pods" in _any(each, "resources") for each in rules):
        yield Cause("webhook-not-asked", "The webhook's rules do not name the creation of pods.")
        return
    created, installed = asked.created, moment(configuration["metadata"].get("creationTimestamp"))
    if created is not None and installed is not None and created < installed:
        text = f"The pod was created at {created:%Y-%m-%d %H:%M:%S}, before the webhook configuration"
        yield Cause("older-than-webhook", f"{text} ({installed:%Y-%m-%d %H:%M:%S}), so gpu-slice was not asked.")
        return
    if webhook.get("failurePolicy") == "Ignore":
        text = "The webhook configuration has failurePolicy: Ignore, and the webhook did not answer"
        yield Cause("webhook-ignored", f"{text} when the pod was created, so it has no slice.")
        return
    conditions = [each["name"] for each in webhook.get("matchConditions") or () if f"'{ANNOTATION}'" not in str(each)]
    odd = [name for name in conditions if name != "is-no-mirror-pod"]
    if odd:
        yield Cause(
            "webhook-not-asked", f"The webhook has match conditions that are not gpu-slice's: {', '.join(odd)}."
        )


def _any(rule: Mapping[str, Any], field: str) -> list[str]:
    given: list[str] = rule.get(field) or []
    return ["CREATE", "pods"] if "*" in given or "*/*" in given else given


def left_alone(asked: Asked, fleet: Fleet | None) -> Cause | None:
    """That a pod is in shadow, where it is."""
    if fleet is None or not (would := is_left_alone(asked.view, fleet, asked.namespace)):
        return None
    text = f"gpu-slice is in shadow here ({in_shadow(fleet.file)}): it left the pod as it was written"
    instead = _DENIED if would.startswith("denied: ") else ""
    return Cause("shadow", f"{text}. Otherwise: {would.rstrip('.')}.", instead=instead)


_DENIED = (
    "Correct the annotation as the last sentence says, and create the pod anew. Without shadow (docs/shadow.md), such "
    "a pod is refused."
)


def refusal(message: str, snapshot: Snapshot, own: str) -> Cause:
    """What the API server's refusal of a pod means."""
    quotes = (message,)
    if match := re.search(r'admission webhook "[\w.-]*gpu-slice\.io" denied the request: (.*)', message, re.DOTALL):
        return Cause("denied", f"gpu-slice refuses the pod: {match[1].strip()}")
    match = re.search(r'failed calling webhook "([^"]+)"', message)
    if match and (other := _other(match[1], message, snapshot)):
        return Cause("other-webhook", f"{other}, so it refuses the pod.", quotes)
    if re.search(r'failed calling webhook "[\w.-]*gpu-slice\.io"', message):
        why = message.rpartition(": ")[2]
        if _CERTIFICATE.search(message):
            text = f"The API server does not trust the webhook's certificate ({why}), so it refuses the pod"
            return Cause("certificate", f"{text}{_missing('keeper', 'would correct it', snapshot, own)}.", quotes)
        text = f"The API server gets no answer from gpu-slice ({why}), so it refuses the pod"
        return Cause("webhook-unreachable", f"{text}{_missing('webhook', 'answers', snapshot, own)}.", quotes)
    if match := re.search(r"exceeded quota: ([\w.-]+), requested: (\S+), used: (\S+), limited: (\S+)", message):
        name, requested, used, limited = (part.rstrip(",") for part in match.groups())
        text = f"ResourceQuota {name} refuses the pod: it asks for {requested}, {used} is used"
        return Cause("quota", f"{text}, and the limit is {limited}.", quotes)
    if "ValidatingAdmissionPolicy 'gpu-slice'" in message:
        configuration = snapshot.named(WEBHOOKS, CONFIGURATION)
        unseen = "has not seen" in message
        if unseen and configuration is None and not snapshot.of(WEBHOOKS).problem:
            text = f"There is no MutatingWebhookConfiguration '{CONFIGURATION}', so gpu-slice is not asked"
            return Cause("webhook-missing", f"{text} and the guard refuses the pod.", quotes)
        policies = [each.get("failurePolicy") for each in (configuration or {}).get("webhooks") or ()]
        if unseen and "Ignore" in policies:
            text = "The webhook configuration has failurePolicy: Ignore, the webhook does not answer"
            return Cause("webhook-ignored", f"{text}, and the guard refuses the pod.", quotes)
        _, _, why = message.partition("denied request: ")
        return Cause("guard", f"The guard of gpu-slice refuses the pod: {(why or message).rstrip('.')}.", quotes)
    text = f"The API server refuses the pod: {message.rstrip('.')}."
    return Cause("refused", text, (), by_words(_REFUSALS, message))


def _other(webhook: str, message: str, snapshot: Snapshot) -> str:
    """Which configuration beside ours has the *webhook* that could not be called; empty if it is ours."""
    holding = {
        configuration["metadata"]["name"]: each.get("clientConfig") or {}
        for configuration in snapshot.items(WEBHOOKS)
        for each in configuration.get("webhooks") or ()
        if each["name"] == webhook
    }
    ours = holding.pop(CONFIGURATION, None)
    called = re.search(r'Post "https://([^/"?]+)', message)
    called_host = called[1].removesuffix(":443") if called else ""
    certificate = _CERTIFICATE.search(message)
    for name, client in holding.items():
        same = ours is not None and _host(client) == _host(ours)
        differs = not same or (certificate and client.get("caBundle") != (ours or {}).get("caBundle"))
        if differs and called_host in ("", _host(client)):
            text = f"MutatingWebhookConfiguration {name} calls {_host(client)} for {webhook}, and the API server"
            return f"{text} {'does not trust its certificate' if certificate else 'gets no answer'}"
    if holding or ours is not None or webhook.endswith("gpu-slice.io"):
        return ""
    return f"The API server gets no answer from the webhook {webhook}, which is not gpu-slice's"


def _host(client: Mapping[str, Any]) -> str:
    """The host that a webhook's clientConfig names, with the port if that is not 443."""
    service = client.get("service")
    if service:
        return f"{service['name']}.{service['namespace']}.svc:{service.get('port', 443)}".removesuffix(":443")
    return str(client.get("url") or "").removeprefix("https://").partition("/")[0].removesuffix(":443")


def _missing(name: str, does: str, snapshot: Snapshot, own: str) -> str:
    """The end of a sentence, if a Deployment of ours is not there or does not run."""
    deployment = snapshot.named(DEPLOYMENTS, name, own)
    if deployment is None:
        return "" if snapshot.of(DEPLOYMENTS).problem else f", and the {name} that {does} is not there (in {own})"
    if not (deployment.get("status") or {}).get("availableReplicas"):
        return f", and the {name} that {does} does not run"
    return ""
