"""The whole decision about one pod, as a value: the webhook sends it, a preview shows it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from webhook.admission import assigned
from webhook.admission import warnings as remarks
from webhook.admission.denials import explain
from webhook.admission.excerpt import excerpt
from webhook.admission.mutate import mutate
from webhook.admission.node_affinity import NodeRules
from webhook.admission.patch import Operation
from webhook.admission.pod import DEFAULT_CONTAINER, MIRROR, Container, Pod, annotations_of, containers
from webhook.admission.resolve import MOST_CONTAINERS, Assignment, Demand, Resolution, Wanted, resolve
from webhook.errors import Denial, quote
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import WHOLE_GPU
from webhook.slices import request
from webhook.slices.request import ANNOTATION, FIELD, Request, Shared
from webhook.slices.suggest import nearest

OWN_NAMESPACE = "gpu-slice"
UNTOUCHED_NAMESPACES = frozenset({"kube-system", OWN_NAMESPACE})
"""The cluster must be able to start without us, and so must we.  The webhook's configuration says the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What happens to a pod that is admitted."""

    patch: tuple[Operation, ...] = ()
    """RFC 6902 operations that make of the pod what it becomes."""
    encoded: str = ""
    """The same as JSON in base64, as an AdmissionReview carries it."""
    warnings: tuple[str, ...] = ()
    """Each at most 120 characters, for whoever made the pod."""
    resolution: Resolution | None = None
    """None where the pod is none of our business."""
    why: str = ""
    """Where nothing changes, why."""


def plan(pod: Pod, fleet: Fleet, namespace: str | None = None, *, controller: str | None = None) -> Plan:
    """Decide about *pod*, which is created in *namespace*.  Raises `Denial`.

    *controller* is the kind of the workload that makes the pod; where absent, the pod's own
    ownerReferences tell.
    """
    pod = excerpt(pod)
    there = annotations_of(pod)
    asked = there.get(ANNOTATION)
    if ANNOTATION not in there:
        return Plan(why=f"it has no annotation '{ANNOTATION}'")
    if namespace in UNTOUCHED_NAMESPACES:
        return Plan(why=f"pods of namespace '{namespace}' are never touched")
    if MIRROR in there:
        return Plan(why="it is the mirror of a static pod")
    if not isinstance(asked, str):
        raise Denial(
            f"{quote(asked)} is not a text",
            field=FIELD,
            hint=f"Put it in quotes, as in {ANNOTATION}: '1g.5gb'",
            reason="grammar",
        )
    requests = request.parse(asked)
    found = containers(pod)
    warnings: list[str] = []
    remembered = assigned.recall(asked, there, requests, found)
    wanted = _choose(requests, found, there, warnings) if remembered is None else remembered
    _refuse_many_shares(wanted)
    demand = Demand(
        asked=asked,
        wanted=wanted,
        others=_others(wanted, found),
        rules=NodeRules.of(pod),
        policy=fleet.policy(namespace),
    )
    if len(demand.wanted) + len(demand.others) > MOST_CONTAINERS:
        raise Denial(
            f"{len(demand.wanted) + len(demand.others)} containers ask for slices",
            field=FIELD,
            hint=f"Ask for slices in at most {MOST_CONTAINERS} containers",
            reason="capacity",
        )
    resolution = resolve(demand, fleet)
    if resolution is None:
        if remembered is None:
            raise explain(demand, fleet, namespace)
        raise assigned.outdated(remembered, fleet)
    if remembered is None:
        for assignment in resolution.assignments:
            warnings += _settle(assignment)
        warnings += remarks.remarks(pod, found, demand, resolution, fleet, controller)
        if len(warnings) > remarks.MOST:
            more = remarks.warning(f"and {len(warnings) - remarks.MOST + 1} warnings more, which a preview shows")
            warnings = [*warnings[: remarks.MOST - 1], more]
    patch = tuple(mutate(pod, resolution, assigned.record(asked, resolution)))
    why = "" if patch else "it has its slice already"
    return Plan(patch, base64.b64encode(msgspec.json.encode(patch)).decode(), tuple(warnings), resolution, why)


def outcome(plan: Plan | None, denial: Denial | None) -> str:
    """One word for what happened, for metrics, logs and programs.

    ``sliced``, ``unchanged`` (it has its slice), ``untouched`` (none of our business) or ``denied``.
    """
    if denial is not None:
        return "denied"
    if plan is None or plan.resolution is None:
        return "untouched"
    return "sliced" if plan.patch else "unchanged"


def _choose(
    requests: Sequence[Request], found: Sequence[Container], there: dict[str, object], warnings: list[str]
) -> list[Wanted]:
    """Which container each request is for."""
    if requests[0].container is None:
        return [Wanted(_only(found, there, warnings), requests[0])]
    named = {container.name: container for container in found}
    wanted = []
    for each in requests:
        container = named.get(each.container or "")
        if container is None:
            like = nearest(each.container or "", list(named)[:MOST_CONTAINERS])
            hint = f"Write '{like}'" if like else f"The pod has {', '.join(map(quote, list(named)[:8]))}"
            raise Denial(
                f"no container is called '{each.container}'",
                field=FIELD,
                hint=hint,
                reason="no-such-container",
                position=each.position,
            )
        wanted.append(Wanted(container, each))
    return wanted


def _only(found: Sequence[Container], there: dict[str, object], warnings: list[str]) -> Container:
    """The container that gets the slice where none was named; never an init container."""
    regular = [each for each in found if not each.initial]
    for candidates in (
        regular,
        [each for each in regular if WHOLE_GPU in each.asks],
        [each for each in regular if each.name == there.get(DEFAULT_CONTAINER)],
        [each for each in regular if each.asks],  # it has its slice by hand: another one would be a second
    ):
        if len(candidates) == 1:
            return candidates[0]
    first = regular[0]
    warnings.append(
        remarks.warning("{name}, the first container, gets the slice; name another: gpu-slice: 'NAME=…'", first.name)
    )
    return first


def _refuse_many_shares(wanted: Iterable[Wanted]) -> None:
    for each in wanted:
        for choice in each.request.choices:
            if isinstance(choice.slice, Shared) and choice.count > 1:
                raise Denial(
                    f"the device plugin gives a container one share of a GPU, not {choice.count}",
                    field=FIELD,
                    hint="Write 'shared'; for more, ask for a whole GPU or a larger slice",
                    reason="conflict",
                    position=choice.position,
                )


def _others(wanted: Iterable[Wanted], found: Iterable[Container]) -> list[tuple[Container, str, int]]:
    """The slices that other containers ask for by their resource.  A whole GPU is refused: a cut node has none."""
    ours = {id(each.container) for each in wanted}
    others = []
    for container in found:
        if id(container) in ours:
            continue
        for resource, count in container.asks.items():
            if resource == WHOLE_GPU:
                raise Denial(
                    f"{quote(container.name)} asks for a whole GPU, and a node that is cut into slices has none",
                    field=f"{container.path}.resources.limits[{WHOLE_GPU}]",
                    hint=f"Remove it, or give it a slice too: {ANNOTATION}: 'NAME=…,{container.name}=…'",
                    reason="whole-gpu",
                )
            others.append((container, resource, count))
    return others


def _settle(assignment: Assignment) -> list[str]:
    """What becomes of GPU resources that the container asks for itself: kept, replaced, or refused."""
    container, resource, count = assignment.container, assignment.resource, assignment.count
    name = quote(container.name)
    warnings = []
    for asked, there in container.asks.items():
        field = f"{container.path}.resources.limits[{asked}]"
        if asked == WHOLE_GPU:
            if there > 1:
                raise Denial(
                    f"{name} asks for {there} whole GPUs and for a slice",
                    field=field,
                    hint=f"Remove it for the slice, or the annotation '{ANNOTATION}' for the GPUs",
                    reason="whole-gpu",
                )
            if (resource, count) != (asked, there):
                text = f"{asked}: {there} of {{name}} was replaced by {resource}: {count}"
                warnings.append(remarks.warning(text, container.name))
        elif asked != resource:
            raise Denial(
                f"{name} asks for {there} of '{asked}', and the annotation gives it {count} of '{resource}'; "
                "one container sees one kind of slice",
                field=field,
                hint="Remove one of the two",
                reason="conflict",
            )
        elif there != count:
            raise Denial(
                f"{name} asks for {there} of '{asked}', and the annotation gives it {count}",
                field=field,
                hint=f"Write '{there}x{assignment.choice.slice}' in the annotation, or remove it here",
                reason="conflict",
            )
    return warnings
