"""Checks of what asks for slices: pods that the webhook missed, pods of an older fleet, quotas that forbid slices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from webhook.admission.defaults import DEFAULT
from webhook.admission.plan import MIRROR, UNTOUCHED_NAMESPACES, plan
from webhook.admission.pod import Pod as View
from webhook.admission.pod import convert
from webhook.admission.shadow import is_left_alone, is_tolerated
from webhook.admission.workloads import subjects
from webhook.cluster.asking import CONFIGURATION, OPT_OUT
from webhook.cluster.check.facts import Facts
from webhook.cluster.check.result import Check, Found, Problem
from webhook.cluster.cures import render
from webhook.cluster.objects import (
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    PODS,
    QUOTAS,
    STATEFUL_SETS,
    WEBHOOKS,
    Container,
    Document,
    Pod,
)
from webhook.cluster.requests import quantity
from webhook.errors import Denial, printable
from webhook.fit.demand import key_of
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import POOL_LABEL
from webhook.fleet.shadow import in_shadow
from webhook.slices.request import ANNOTATION, ASSIGNED, POOLS

LONGEST = 500
"""Characters of a reason."""


def _asking(facts: Facts) -> Iterator[Pod]:
    pods: tuple[Pod, ...] = facts.snapshot.items(PODS)
    for pod in pods:
        annotations, namespace = pod.metadata.annotations, pod.metadata.namespace
        if pod.ended or namespace in UNTOUCHED_NAMESPACES or namespace == facts.namespace:
            continue
        if ANNOTATION in annotations and MIRROR not in annotations:
            yield pod


def _missed(facts: Facts) -> Iterator[Found]:
    _all_or_some(facts)
    shadow = in_shadow(facts.fleet.file)
    for pod in _asking(facts):
        if ASSIGNED not in pod.metadata.annotations and not (shadow and _left_alone(pod, facts)):
            yield _problem(f"{_name(pod)} has no slice: {_why_missed(pod, facts)}", pod.metadata.namespace)


def _why_missed(pod: Pod, facts: Facts) -> str:
    namespace = facts.snapshot.named(NAMESPACES, pod.metadata.namespace)
    if OPT_OUT in ((namespace or {}).get("metadata", {}).get("labels") or {}):
        return f"namespace {pod.metadata.namespace} is labelled {OPT_OUT}"
    webhook = facts.snapshot.named(WEBHOOKS, CONFIGURATION)
    created = pod.metadata.creation_timestamp
    if webhook is not None and created is not None:
        registered = datetime.fromisoformat(webhook["metadata"]["creationTimestamp"])
        if created < registered:
            return "it is older than the webhook"
    return "the webhook was not called for it, or it was annotated afterwards"


def _left_alone(pod: Pod, facts: Facts) -> bool:
    try:
        return bool(is_left_alone(_view(pod, facts), facts.fleet, pod.metadata.namespace))
    except Denial:
        return is_tolerated(None, facts.fleet, pod.metadata.namespace)


def _view(pod: Pod, facts: Facts) -> View:
    # An architecture that the pod names was right when it was created, and is not read of many pods.
    selector = {"kubernetes.io/arch": next(iter(_architectures(pod, facts)), "amd64")}
    spec = {"containers": _containers(pod.spec.containers), "initContainers": _containers(pod.spec.init_containers),
            "nodeSelector": selector}  # fmt: skip
    return convert({"metadata": {"annotations": pod.metadata.annotations}, "spec": spec})


def _stale(facts: Facts) -> Iterator[Found]:
    _all_or_some(facts)
    known: dict[tuple[bytes, str], str] = {}
    for pod in _asking(facts):
        if ASSIGNED in pod.metadata.annotations and (why := _why_stale(pod, facts, known)):
            yield _problem(f"{_name(pod)}: {why}", pod.metadata.namespace)


def _why_stale(pod: Pod, facts: Facts, known: dict[tuple[bytes, str], str]) -> str:
    """What the fleet of now says to what *pod* was given; empty if it would give it the same.

    *known* is what it said to pods that are alike.
    """
    view = _view(pod, facts)
    chosen = pod.metadata.annotations.get(POOLS, "")
    key = key_of(view, pod.metadata.namespace), chosen
    if key not in known:
        known[key] = _said(view, chosen, facts.fleet, pod.metadata.namespace)
    return known[key]


def _said(view: View, pools: str, fleet: Fleet, namespace: str) -> str:
    try:
        planned = plan(view, fleet, namespace)
    except Denial as denial:
        return denial.problem
    serving = [pool.name for pool in planned.resolution.pools] if planned.resolution else []
    chosen = [name.strip() for name in pools.split(",")]
    retired = [pool.name for pool in fleet.pools if pool.entry.retired]  # their pods run to their end
    if serving and not {*serving, *retired} & set(chosen):
        return f"its slice was of {', '.join(chosen)}, and now is of {', '.join(serving)}"
    return ""


def _architectures(pod: Pod, facts: Facts) -> Iterator[str]:
    named = [name.strip() for name in pod.metadata.annotations.get(POOLS, "").split(",")]
    yield from (pool.architecture for pool in facts.fleet.pools if pool.name in named)


def _containers(containers: tuple[Container, ...]) -> list[Document]:
    return [
        {"name": each.name, "resources": {"limits": each.resources.limits, "requests": each.resources.requests}}
        for each in containers
    ]


def _all_or_some(facts: Facts) -> None:
    """Raise `CannotLook` if not even the pods of one namespace could be read."""
    if facts.snapshot.of(PODS).namespace is None:
        facts.all(PODS)


def _problem(text: str, namespace: str) -> Problem:
    """What is said of something that anybody with rights in *namespace* has written, on one line and not too long."""
    return Problem(printable(text if len(text) <= LONGEST else f"{text[:LONGEST]}…"), namespace=namespace)


def _name(pod: Pod) -> str:
    return f"{pod.metadata.namespace}/{pod.metadata.name}"


def _misplaced(facts: Facts) -> Iterator[Found]:
    """Pods and workloads with the annotation where nobody reads it, or misspelt."""
    _all_or_some(facts)
    for document in _suspects(facts):
        for subject in subjects(document, texts=False):
            for note in subject.advice:
                if note.code == "misplaced-annotation":
                    yield _problem(f"{subject.title}: {note}", document["metadata"].get("namespace", ""))


def _suspects(facts: Facts) -> Iterator[Document]:
    """What nobody made but a person, and that has a key like ours in its metadata."""
    pods: tuple[Pod, ...] = facts.snapshot.items(PODS)
    for pod in pods:
        metadata = {"name": pod.metadata.name, "namespace": pod.metadata.namespace, "labels": pod.metadata.labels,
                    "annotations": pod.metadata.annotations}  # fmt: skip
        if not pod.ended and not pod.metadata.owner_references and _is_suspect(metadata):
            yield {"kind": "Pod", "metadata": metadata, "spec": {"containers": _containers(pod.spec.containers)}}
    for kind in (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, JOBS, CRON_JOBS):
        for document in facts.snapshot.items(kind):
            metadata, spec = document["metadata"], document.get("spec") or {}
            inner = [spec, *(spec.get(field) or {} for field in ("template", "jobTemplate"))]
            if not metadata.get("ownerReferences") and any(
                _is_suspect(each) for each in (metadata, spec, *(part.get("metadata") or {} for part in inner))
            ):
                yield document


def _is_suspect(metadata: Document) -> bool:
    """Whether there is a key like ours, and another than those that we write."""
    keys = {*(metadata.get("annotations") or {}), *(metadata.get("labels") or {})}
    return any(re.search(r"gpu.?slice", key, re.IGNORECASE) for key in keys - {ASSIGNED, POOLS, DEFAULT, POOL_LABEL})


def _quotas(facts: Facts) -> Iterator[Found]:
    if facts.snapshot.of(QUOTAS).namespace is None:
        facts.all(QUOTAS)
    live = facts.snapshot.items(QUOTAS)
    for quota in live:
        namespace, name = quota["metadata"].get("namespace", ""), quota["metadata"]["name"]
        permitted = _permitted(facts, namespace)
        for key, most in (quota["spec"].get("hard") or {}).items():
            resource = key.removeprefix("requests.")
            if resource != key and resource in permitted and str(most) == "0":
                yield Problem(f"ResourceQuota {namespace}/{name} forbids {resource}, which the fleet lets it use")
    present = {namespace["metadata"]["name"] for namespace in facts.snapshot.items(NAMESPACES)}
    for document in facts.made("ResourceQuota"):
        namespace, hard = document["metadata"]["namespace"], document["spec"]["hard"]
        if facts.fleet.policy(namespace).mode == "shadow":
            yield from (_refuses_in_shadow(quota) for quota in live if _limits(quota, namespace, hard))
            continue
        enforced = [
            (key, quantity(str(most)))
            for quota in live if quota["metadata"].get("namespace") == namespace
            for key, most in (quota["spec"].get("hard") or {}).items()
        ]  # fmt: skip
        missing = [key for key in hard if not any(key == name and most <= int(hard[key]) for name, most in enforced)]
        if namespace in present and missing:
            count, resource = hard[missing[0]], missing[0].removeprefix("requests.")
            told = f"nothing keeps {namespace} from {resource}, which the fleet denies it"
            if count != "0":
                told = f"nothing keeps {namespace} to {count} {resource}, as the fleet says"
            yield Problem(told, f"Run {render('quota')}.", warning=True)


def _limits(quota: Document, namespace: str, hard: Document) -> bool:
    return quota["metadata"].get("namespace") == namespace and not hard.keys().isdisjoint(
        quota["spec"].get("hard") or {}
    )


def _refuses_in_shadow(quota: Document) -> Problem:
    namespace, name = quota["metadata"]["namespace"], quota["metadata"]["name"]
    told = f"ResourceQuota {namespace}/{name} refuses pods of {namespace}, although it is in shadow"
    return Problem(
        told, f"Run kubectl -n {namespace} delete resourcequota {name} until {namespace} enforces.", warning=True
    )


def _defaults(facts: Facts) -> Iterator[Found]:
    namespaces = {each["metadata"]["name"]: each["metadata"].get("labels") or {} for each in facts.all(NAMESPACES)}
    for name, policy in facts.fleet.policies.items():
        if name in UNTOUCHED_NAMESPACES:
            continue
        if policy.default is not None and name in namespaces and DEFAULT not in namespaces[name]:
            told = f"namespace {name} has no label {DEFAULT}, so its default, {policy.default}, is never given"
            yield Problem(told, f"Run kubectl label namespace {name} {DEFAULT}=")


def _permitted(facts: Facts, namespace: str) -> set[str]:
    policy = facts.fleet.policy(namespace)
    return {offer.resource for pool in facts.fleet.pools for offer in pool.offers if policy.permits(pool, offer)}


CHECKS = (
    Check("pods-missed", "Pods", "every pod that asks for a slice has one",
          "Delete the pod and create it anew, where the webhook is called (docs/troubleshooting.md).", _missed,
          partial=PODS),
    Check("annotation-place", "Pods", "the annotation stands where it is read",
          "Move it as the reason says; gpu-slice preview --strict finds such places before anything is applied.",
          _misplaced, partial=PODS),
    Check("pods-stale", "Pods", "the fleet still gives what running pods have",
          "Create these pods anew before their nodes go, or give the slice back to the fleet.", _stale,
          after=("fleet",),
          partial=PODS),
    Check("quotas", "Pods", "quotas and the fleet agree",
          "Raise the quota, or say in the fleet file that the namespace may not use this slice.", _quotas,
          after=("fleet",), partial=QUOTAS),
    Check("namespace-defaults", "Pods", "namespaces with a default are labelled",
          "Label the namespace gpu-slice/default, with any value.", _defaults,
          after=("fleet",)),
)  # fmt: skip
