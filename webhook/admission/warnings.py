"""What is worth telling whoever made the pod, although it is admitted.

The API server cuts a warning at 256 characters and drops those beyond 4,096 in all; its guide asks for 120.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from webhook.admission.assigned import ASSIGNED, POOLS
from webhook.admission.excerpt import DEVICES
from webhook.admission.mutate import lacks_pool, missing_labels, missing_tolerations
from webhook.admission.pod import Container, Pod, annotations_of, mapping, sequence
from webhook.admission.resolve import Assignment, Demand, Resolution
from webhook.admission.unoffered import unknown
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import POOL_LABEL
from webhook.slices.catalogue import GpuProfile
from webhook.slices.request import ANNOTATION, Choice, Fraction, Shared

LONGEST = 120
"""Characters of a warning: Dynamic Admission Control, "Response"."""

MOST = 32
"""Warnings about one pod.  An API server drops what is beyond 4,096 characters in all, and then says nothing."""

_PREFIX = f"{ANNOTATION}: "
_OURS = (ANNOTATION, ASSIGNED, POOLS)
_NO_DEVICES = ("void", "none")


def warning(text: str, name: str = "") -> str:
    """*text* as a warning, with our name before it: printable, and not too long.

    ``{name}`` in it becomes *name*, which is cut rather than the rest: that says what to do.
    """
    whole = _PREFIX + text.replace("{name}", f"'{name}'")
    if len(whole) > LONGEST and name:
        kept = max(len(name) - (len(whole) - LONGEST) - 1, 8)
        whole = _PREFIX + text.replace("{name}", f"'{name[:kept]}…'")
    whole = "".join(each if each.isprintable() else "?" for each in whole)
    return whole if len(whole) <= LONGEST else whole[: LONGEST - 1] + "…"


def remarks(
    pod: Pod,
    containers: Iterable[Container],
    demand: Demand,
    resolution: Resolution,
    fleet: Fleet,
    controller: str | None,
) -> Iterator[str]:
    """The warnings about *pod* and the answer that it gets."""
    for wanted, assignment in zip(demand.wanted, resolution.assignments, strict=True):
        for choice in wanted.request.choices:
            if choice is assignment.choice:
                break
            yield from _passed_over(choice, assignment, demand, fleet)
        yield from _about(assignment, demand, fleet)
    yield from _about_spec(pod, containers)
    if (controller or _controller(pod)) == "DaemonSet":
        yield from _about_daemon_set(mapping(pod, "spec", "spec"), resolution)
    for key in annotations_of(pod):
        if key.startswith(ANNOTATION) and key not in _OURS:
            yield warning("annotation {name} is not read: correct it, or remove it", key)


def _passed_over(choice: Choice, assignment: Assignment, demand: Demand, fleet: Fleet) -> Iterator[str]:
    """An alternative that can never be served was most likely misspelt."""
    problem, _, reason = unknown(choice, fleet, demand)
    if reason in ("unknown-gpu", "unknown-profile", "no-mig") and not any(
        offer.satisfies(choice) for _, offer in fleet.offers()
    ):
        yield warning(f"{problem}; took '{assignment.choice}'")


def _about(assignment: Assignment, demand: Demand, fleet: Fleet) -> Iterator[str]:
    name, choice, offer = assignment.container.name, assignment.choice, assignment.offer
    if choice.count > 1 and not isinstance(choice.slice, Shared):
        yield warning(f"a process in {{name}} sees one of its {choice.count} slices: CUDA uses one MIG device", name)
    if isinstance(choice.slice, Fraction) and offer.profile is not None:
        yield from _about_fraction(choice.slice, offer.profile, assignment, demand, fleet)


def _about_fraction(
    share: Fraction, profile: GpuProfile, assignment: Assignment, demand: Demand, fleet: Fleet
) -> Iterator[str]:
    """A fraction that is no whole number of slices, or that costs the GPU more than it says."""
    gpu = assignment.offer.gpu
    exact = share.numerator * gpu.compute_slices == share.denominator * profile.compute_slices
    if exact and profile.size * share.denominator <= share.numerator * gpu.memory_slices:
        return
    text = f"{share} of a GPU is {assignment.offer}, {profile.most} on one {gpu.name}"
    if smaller := _next_smaller(profile, assignment, demand, fleet):
        text += f"; {smaller} would be {smaller.most}"
    yield warning(text)


def _next_smaller(profile: GpuProfile, assignment: Assignment, demand: Demand, fleet: Fleet) -> GpuProfile | None:
    """The next smaller profile of the same GPU: one that this cluster offers, if there is one."""
    gpu = assignment.offer.gpu
    smaller = [
        each
        for each in gpu.profiles
        if not each.profile.attribute and (each.compute_slices, each.size) < (profile.compute_slices, profile.size)
    ]
    offered = {
        id(offer.profile) for pool, offer in fleet.offers() if offer.gpu is gpu and demand.policy.permits(pool, offer)
    }
    return max(
        [each for each in smaller if id(each) in offered] or smaller,
        key=lambda each: (each.compute_slices, each.size),
        default=None,
    )


def _about_spec(pod: Pod, containers: Iterable[Container]) -> Iterator[str]:
    spec = mapping(pod, "spec", "spec")
    if spec.get("nodeName"):
        yield warning("spec.nodeName passes the scheduler by: the node must have the slice free, or the pod fails")
    for container in containers:
        context = container.raw.get("securityContext")
        if isinstance(context, dict) and context.get("privileged") is True:
            yield warning("{name} is privileged, and so sees every GPU of the node", container.name)
        if _sees_devices(container):
            yield warning(f"{{name}} sets {DEVICES}, which may show it other slices than its own", container.name)


def _sees_devices(container: Container) -> bool:
    variables = sequence(container.raw, "env", f"{container.path}.env")
    return any(each.get("name") == DEVICES and each.get("value") not in _NO_DEVICES for each in variables)


def _controller(pod: Pod) -> str | None:
    owners = sequence(mapping(pod, "metadata", "metadata"), "ownerReferences", "metadata.ownerReferences")
    return next((each.get("kind") for each in owners if each.get("controller") is True), None)


def _about_daemon_set(spec: Mapping[str, Any], resolution: Resolution) -> Iterator[str]:
    """Its controller chooses the nodes by the template, before any webhook sees a pod."""
    add = "a DaemonSet is placed by its template: add the {} to it"
    for each in missing_tolerations(spec, resolution.pools):
        value = f"={each['value']}" if "value" in each else ""
        effect = f":{each['effect']}" if "effect" in each else ""
        yield warning(add.format(f"toleration {each['key']}{value}{effect}"))
    for key, value in missing_labels(spec, resolution.labels).items():
        yield warning(add.format(f"nodeSelector {key}: {value}"))
    names = resolution.one_of
    if names and lacks_pool(spec, names):
        where = (
            f"nodeSelector {POOL_LABEL}: {names[0]}" if len(names) == 1 else f"affinity {POOL_LABEL} In {list(names)}"
        )
        yield warning(add.format(where))
