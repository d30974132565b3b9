"""Reads what an explanation needs: the pod, what made it, and the cluster around it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from webhook import documents
from webhook.admission.preview import Preview, preview
from webhook.cluster.asked import Asked
from webhook.cluster.asking import refusal
from webhook.cluster.cures import Here
from webhook.cluster.events import Said, read
from webhook.cluster.explain import Around
from webhook.cluster.foreseen import as_previewed, asked_of, foreseen
from webhook.cluster.karpenter import settings
from webhook.cluster.objects import (
    CONFIG_MAPS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    NAMESPACES,
    NODE_CLAIMS,
    NODE_CLASSES,
    NODE_OVERLAYS,
    NODE_POOLS,
    NODES,
    PODS,
    QUOTAS,
    STATEFUL_SETS,
    WEBHOOKS,
    Document,
    Kind,
    Pod,
)
from webhook.cluster.reader import Reader, Refused
from webhook.cluster.shapes import readable
from webhook.cluster.snapshot import TRUSTED, Listing, Snapshot
from webhook.errors import BadDocument
from webhook.fleet.fleet import Fleet
from webhook.slices.request import ANNOTATION

REPLICA_SETS: Kind[Document] = Kind("ReplicaSet", "replicasets", "apps/v1", dict, namespaced=True)
WORKLOADS: dict[str, Kind[Any]] = {
    alias: kind
    for kind, aliases in (
        (PODS, ("po",)),
        (DEPLOYMENTS, ("deploy",)),
        (REPLICA_SETS, ("rs",)),
        (STATEFUL_SETS, ("sts",)),
        (DAEMON_SETS, ("ds",)),
        (JOBS, ()),
        (CRON_JOBS, ("cj",)),
    )
    for alias in (kind.name.lower(), kind.plural, *aliases)
}
"""The kinds that can be explained, by all names that kubectl takes."""

_BETWEEN = {DEPLOYMENTS.name: REPLICA_SETS, CRON_JOBS.name: JOBS}
"""What stands between a workload and its pods."""
_OF_CLAIMS = ("InsufficientCapacityError", "NodeClassNotReady", "FailedConsistencyCheck", "UnregisteredTaintMissing")
"""Events on NodeClaims that tell why a node is not launched, or does not come up."""
_REMEMBERED = timedelta(minutes=3)
"""How long Karpenter does not try again what AWS had no capacity for: ``pkg/cache/cache.go`` of its provider."""
_MOST_OWNERS = 8
"""ReplicaSets or Jobs of a workload whose events are read, the newest first."""

_MOST_MAKERS = 3
"""Objects above a pod that are asked for.  Kubernetes makes two; one that was written by hand may own itself."""
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")
"""A name that cannot lead elsewhere in a path: the API server takes any text as the name of an owner."""


class NotThere(Exception):
    """There is no such object.  The message says which."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A pod to explain, with what is known around it."""

    title: str
    asked: Asked
    around: Around


def surroundings(
    reader: Reader, fleet: Fleet | None, namespace: str, trusted: Sequence[str], unread: Sequence[str] = ()
) -> Around:
    """The cluster, as far as pods of *namespace* depend on it.

    *trusted*: the webhook's namespace, and others where only administrators write.
    """
    bound = {"fieldSelector": "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"}
    kinds: tuple[Kind[Any], ...] = (NODES, NODE_POOLS, NODE_CLAIMS, NODE_OVERLAYS, NODE_CLASSES, WEBHOOKS)
    listings: dict[Kind[Any], Listing[Any]] = {kind: reader.list(kind) for kind in kinds}
    everywhere = dict.fromkeys([*trusted, *sorted(TRUSTED)])
    listings |= {PODS: reader.list(PODS, **bound), DEPLOYMENTS: _deployments(reader, everywhere)}
    listings |= {QUOTAS: reader.list(QUOTAS, namespace)}
    listings[EVENTS] = reader.list(EVENTS, "default", fieldSelector=f"involvedObject.kind={NODE_CLAIMS.name}")
    missed, of_namespace = list(unread), None
    try:
        of_namespace = reader.get(NAMESPACES, namespace)
    except Refused:
        missed.append(f"you may not read namespace {namespace}: whether it has opted out of gpu-slice is not known")
    snapshot = Snapshot(reader.now(), listings=listings, trusted=frozenset(everywhere))
    snapshot = replace(snapshot, listings={**listings, CONFIG_MAPS: Listing(tuple(_settings(reader, snapshot)))})
    return Around(fleet, snapshot, Here(trusted[0]), of_namespace, unread=tuple(missed))


def _deployments(reader: Reader, namespaces: Iterable[str]) -> Listing[Document]:
    """Those of *namespaces*.  All of a cluster may be thousands, and of others none counts."""
    found = [reader.list(DEPLOYMENTS, namespace) for namespace in namespaces]
    problem = next((each.problem for each in found if each.problem), "")
    return Listing(tuple(each for listing in found for each in listing.items), problem)


def _settings(reader: Reader, snapshot: Snapshot) -> Iterator[Document]:
    """Karpenter's ConfigMaps, as far as they may be read; one that is not there is empty."""
    for namespace, name in settings(snapshot):
        with suppress(Refused):
            empty = {"metadata": {"namespace": namespace, "name": name}}
            yield reader.get(CONFIG_MAPS, name, namespace) or empty


def of_pod(reader: Reader, name: str, around: Around, namespace: str) -> Target:
    """The pod *name*.  Raises `NotThere`."""
    document = _get(reader, PODS, name, namespace)
    workload = _maker(reader, document, namespace)
    around = _as_admitted(around, workload or _as_applied(document), namespace)
    return _existing(reader, document, around, f"Pod {namespace}/{name}")


def of_workload(reader: Reader, kind: Kind[Any], name: str, around: Around, namespace: str) -> Target:
    """The pod of a workload that has the most to explain: the oldest that waits, or the one that cannot be made."""
    document = _get(reader, kind, name, namespace)
    around = _as_admitted(around, document, namespace)
    title = f"{kind.name} {namespace}/{name}"
    owners = [(kind.name, name)]
    if between := _BETWEEN.get(kind.name):
        made = [
            each for each in reader.list(between, namespace).items if (_controller(each) or ())[:2] == (kind.name, name)
        ]
        made.sort(key=lambda each: each["metadata"]["creationTimestamp"], reverse=True)
        owners += [(between.name, each["metadata"]["name"]) for each in made]
    of_owner = set(owners)
    listing = reader.list(PODS, namespace)
    missed = [f"{listing.problem}: whether it has pods that wait is not known"] if listing.problem else []
    pods = [each for each in listing.items if _owner(each) in of_owner]
    pods.sort(key=lambda each: (each.status.phase != "Pending", each.ended, str(each.metadata.creation_timestamp)))
    said: list[Said] = []
    for _, owner in owners[:_MOST_OWNERS]:
        events, more = _said(reader, owner, namespace)
        said, missed = said + events, missed + more
    failed = [each for each in said if each.reason == "FailedCreate"]
    if pods and (pods[0].status.phase == "Pending" or not failed or len(pods) >= _wants(document)):
        pod = _get(reader, PODS, pods[0].metadata.name, namespace)
        return _existing(reader, pod, around, f"{title}, Pod {pods[0].metadata.name}")
    around = replace(around, said=said, unread=(*around.unread, *dict.fromkeys(missed)))
    if failed:
        around = replace(around, refused=max(failed, key=lambda each: each.when).message)
    elif not pods and not listing.problem:
        around = replace(around, wants_none=_wants_none(document))
    return Target(title, *_of_template(document, around, namespace))


def of_document(reader: Reader, shown: Preview, around: Around, namespace: str, *, stands_in: bool = False) -> Target:
    """What a document of a file would become: the API server is asked, and stores nothing.

    A pod that is there already is explained itself.  *stands_in*: whether the pod only stands for those of the object,
    so that what it lacks is not theirs.
    """
    subject = shown.subject
    namespace, is_pod = subject.namespace or namespace, subject.kind == PODS.name
    # The API server would refuse it: its name is taken, and by itself it may have used up a quota.
    if is_pod and _NAME.fullmatch(subject.name) and isinstance(reader.find(PODS, subject.name, namespace), dict):
        live = of_pod(reader, subject.name, around, namespace)
        return replace(live, title=f"{live.title}, which exists already")
    asked, around = foreseen(shown, around, namespace)
    pod: Document = subject.pod or {}
    metadata = pod.get("metadata") or {}
    if isinstance(metadata, dict):  # else the API server says what is wrong
        pod["metadata"] = {"generateName": "pod-", **metadata, "namespace": namespace}
        if not is_pod:
            pod["metadata"].pop("name", None)  # which controllers do not give
    if stands_in:
        containers = [{"image": "unknown", **each} for each in pod["spec"]["containers"]]
        pod = {**pod, "spec": {**pod["spec"], "containers": containers}}
        around = _also_unread(around, "it has no pod template: CPUs, memory and images of its pods are not known")
    try:
        created = reader.try_create(PODS, pod, namespace)
    except Refused as refused:
        if refused.no_pods:
            text = f"you may not create pods in namespace {namespace}: what the API server would say is not known"
            around = _also_unread(around, text)
        elif stands_in and refusal(str(refused), around.snapshot, around.here.own).id == "refused":
            around = _also_unread(around, f"what the API server would say is not known: to a pod like them, {refused}")
        else:
            around = replace(around, refused=str(refused))
        return Target(shown.subject.title, asked, around)
    return Target(shown.subject.title, asked_of(created), replace(around, denial=None))


def _also_unread(around: Around, text: str) -> Around:
    return replace(around, unread=(*around.unread, text))


def of_object(shown: Preview, around: Around, namespace: str) -> Target:
    """An object whose annotation is wrong, or stands where nobody reads it, and of which no pod is known."""
    texts = {} if shown.denial is None else {ANNOTATION: shown.value or ""}
    asked = asked_of({"metadata": {"namespace": namespace, "annotations": texts}, "spec": {}})
    around = as_previewed(around, shown)
    return Target(shown.subject.title, asked, replace(around, denial=None) if shown.misplaced else around)


def _get(reader: Reader, kind: Kind[Any], name: str, namespace: str) -> Document:
    document = reader.find(kind, name, namespace)
    if isinstance(document, str):
        raise NotThere(document)
    if document is None:
        raise NotThere(f"there is no {kind.name} {name} in namespace {namespace}")
    document = readable(document)
    document["metadata"] = {"name": name, "namespace": namespace, "uid": "", **document["metadata"]}
    return document


def _existing(reader: Reader, document: Document, around: Around, title: str) -> Target:
    metadata = document["metadata"]
    said, missed = _said(reader, metadata["name"], metadata["namespace"], metadata["uid"])
    asked = asked_of(document, exists=True)
    of_claims = [each for each in read(around.snapshot.items(EVENTS)) if each.reason in _OF_CLAIMS]
    since = around.snapshot.when - _REMEMBERED
    said += [each for each in of_claims if each.when >= min(since, asked.created or since)]
    said.sort(key=lambda each: each.when, reverse=True)
    return Target(title, asked, replace(around, said=said, denial=None, unread=(*around.unread, *missed)))


def _said(reader: Reader, name: str, namespace: str, uid: str = "") -> tuple[list[Said], list[str]]:
    """The events on an object, and what could not be looked at."""
    selector = f"involvedObject.name={name}" + (f",involvedObject.uid={uid}" if uid else "")
    listing = reader.list(EVENTS, namespace, fieldSelector=selector)
    missed = [f"{listing.problem}: what the scheduler and Karpenter say is not known"] if listing.problem else []
    return read(listing.items), missed


def _owner(pod: Pod) -> tuple[str, str] | None:
    return next(((each.kind, each.name) for each in pod.metadata.owner_references if each.controller), None)


def _controller(document: Document) -> tuple[str, str, str] | None:
    """Kind, name and UID."""
    owners = document["metadata"].get("ownerReferences") or ()
    return next(((each["kind"], each["name"], each["uid"]) for each in owners if each.get("controller")), None)


def _maker(reader: Reader, document: Document, namespace: str) -> Document | None:
    """The workload that made a pod, as far up as it is of a known kind."""
    found = None
    for _ in range(_MOST_MAKERS):
        kind_name, name, uid = _controller(found or document) or ("", "", "")
        kind = WORKLOADS.get(kind_name.lower())
        if kind is None or kind is PODS or not _NAME.fullmatch(name):
            break
        try:
            above = reader.get(kind, name, namespace)
        except Refused:
            break
        if above is None or (above := readable(above))["metadata"].get("uid") != uid:
            break
        found = above | {"apiVersion": kind.group, "kind": kind.name}
    return found


def _as_applied(pod: Document) -> Document:
    """The pod as ``kubectl apply`` got it, if that is known.  Anybody who may change the pod may write that text."""
    metadata = pod["metadata"]
    written = [(by.get("fieldsV1") or {}).get("f:spec", ()) for by in metadata.get("managedFields") or ()]
    if not any("f:nodeName" in fields for fields in written):  # then the scheduler chose it
        pod = {**pod, "spec": {key: value for key, value in pod["spec"].items() if key != "nodeName"}}
    text = (metadata.get("annotations") or {}).get("kubectl.kubernetes.io/last-applied-configuration") or ""
    try:
        applied = documents.read_json(text.encode(errors="surrogatepass"))
    except BadDocument:
        return pod
    if not isinstance(applied, dict) or applied.get("kind") != PODS.name:
        return pod
    named = applied.get("metadata")
    return applied if isinstance(named, dict) and named.get("name") == metadata["name"] else pod


def _as_admitted(around: Around, document: Document, namespace: str) -> Around:
    """*around* with what a preview says of the workload, or the pod as it was applied."""
    if around.fleet is None:
        return around
    for shown in preview(document, around.fleet, namespace):
        around = as_previewed(around, shown)
        if document.get("kind") == PODS.name:
            return replace(around, denial=None)  # it was created, so it was not denied
        return around
    return around


def _of_template(document: Document, around: Around, namespace: str) -> tuple[Asked, Around]:
    if around.fleet is not None:
        for shown in preview(document, around.fleet, namespace):
            if shown.subject.pod is not None:
                return foreseen(shown, around, namespace)
    template = document["spec"].get("template") or {"metadata": {}, "spec": {}}
    metadata = {**(template.get("metadata") or {}), "namespace": namespace}
    return asked_of({**template, "metadata": metadata}), around


def _wants(document: Document) -> int:
    """How many pods a workload wants: with fewer, an event about one that was refused still counts."""
    spec, status = document["spec"], document.get("status") or {}
    number = spec.get("replicas", spec.get("parallelism", status.get("desiredNumberScheduled")))
    return number if isinstance(number, int) else 1


def _wants_none(document: Document) -> str:
    spec = document["spec"]
    if spec.get("suspend"):
        queue = (document["metadata"].get("labels") or {}).get("kueue.x-k8s.io/queue-name")
        return f"it is suspended (spec.suspend){f': Kueue has not admitted it yet (queue {queue})' if queue else ''}"
    if spec.get("replicas") == 0:
        return "it has spec.replicas: 0"
    if spec.get("paused"):
        return "it is paused (spec.paused)"
    return "its controller has made none yet" if document["kind"] != CRON_JOBS.name else "none of its Jobs has pods"
