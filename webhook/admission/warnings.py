"""What the author of a pod should know although it is admitted.

The API server truncates a warning at 256 characters and drops warnings beyond 4,096 characters in total.  Its guide
asks for 120.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from webhook.admission.containers import Wanted
from webhook.admission.patch import lacks_pool, missing_labels
from webhook.admission.pod import EMPTY_SPEC, Place, Pod, Spec
from webhook.admission.resolve import Assignment, Demand, Resolution, obstacle
from webhook.admission.tolerations import missing_tolerations
from webhook.admission.unoffered import unknown
from webhook.budget import Budget, OutOfSteps
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU, MigOffer
from webhook.slices.catalogue import GpuProfile
from webhook.slices.request import ANNOTATION, ASSIGNED, POOLS, SHARED, Choice, Fraction

LONGEST = 120
"""Characters of a warning: Dynamic Admission Control, "Response"."""

MOST = 32
"""Warnings about one pod.  An API server silently drops those beyond 4,096 characters in total."""

DEVICES = "NVIDIA_VISIBLE_DEVICES"

_PREFIX = f"{ANNOTATION}: "
_OURS = (ANNOTATION, ASSIGNED, POOLS)
_NO_DEVICES = ("void", "none")


def warning(text: str, name: str = "") -> str:
    """*text* as a warning: printable, with the prefix ``gpu-slice: ``, at most `LONGEST` characters.

    ``{name}`` stands for *name*.  If the warning is too long, the name is cut first: the rest says what to do.
    """
    line = _PREFIX + text.replace("{name}", f"'{name}'")
    if len(line) > LONGEST and name:
        kept = max(len(name) - (len(line) - LONGEST) - 1, 8)
        line = _PREFIX + text.replace("{name}", f"'{name[:kept]}…'")
    if not line.isprintable():
        line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def warnings(
    pod: Pod,
    places: Sequence[Place],
    resolution: Resolution,
    controller: str | None,
    budget: Budget,
    about: Iterable[str] = (),
) -> tuple[str, ...]:
    """The warnings about *pod* and its *resolution*, at most `MOST`; those of *about* first.

    *controller*: the kind of workload that creates the pod; by default it is read from the ownerReferences.
    """
    result: list[str] = []
    more = False
    try:
        for line in about:
            result.append(line)
            if len(result) > MOST:
                break
        result += about_pod(pod, places, resolution, controller, budget)
    except OutOfSteps:  # the decision is made: a pod is not refused because of its warnings
        more = True
    if more or len(result) > MOST:
        result[MOST - 1 :] = [warning("there are more warnings about this pod than are shown")]
    return tuple(result)


def about_request(
    demand: Demand, resolution: Resolution, replaced: Sequence[Assignment], fleet: Fleet, budget: Budget
) -> Iterator[str]:
    """Warnings about what was asked for.  *replaced*: the assignments that replace a whole GPU."""
    for wanted in demand.wanted:
        if wanted.guessed:
            text = "{name}, the first container, gets the slice; name another: gpu-slice: 'NAME=…'"
            yield warning(text, wanted.place.name)
    yield from about_replaced(replaced)
    for wanted, assignment in zip(demand.wanted, resolution.assignments, strict=True):
        yield from _passed_over(wanted, assignment, demand, fleet, budget)
        yield from _about(assignment, demand, fleet, budget)


def about_replaced(replaced: Iterable[Assignment]) -> Iterator[str]:
    """Warnings about whole GPUs that a slice replaces."""
    for assignment in replaced:
        text = f"{{name}}: {WHOLE_GPU}: 1 was replaced by {assignment.resource}: {assignment.count}"
        yield warning(text, assignment.container.name)


def about_pod(
    pod: Pod, places: Sequence[Place], resolution: Resolution, controller: str | None, budget: Budget
) -> list[str]:
    """Warnings about what else is in the pod."""
    result = []
    spec = pod.spec or EMPTY_SPEC
    if spec.node_name:
        result.append(warning("spec.nodeName bypasses the scheduler: if the node has no free slice, the pod fails"))
    for place in places:
        if len(result) > MOST:
            return result
        container = place.container
        if container.security_context is not None and container.security_context.privileged:
            result.append(warning("{name} is privileged, so it sees every GPU of the node", place.name))
        if container.env:
            budget.spend(len(container.env))
            for variable in container.env:
                if variable.name == DEVICES and variable.value not in _NO_DEVICES:
                    text = f"{{name}} sets {DEVICES}, so it may see slices that are not its own"
                    result.append(warning(text, place.name))
                    break
    if (controller or _controller(pod)) == "DaemonSet":
        result += _about_daemon_set(spec, resolution, budget)
    annotations = pod.annotations
    if len(annotations) > 1:
        budget.spend(len(annotations))
        for key in annotations:
            if key.startswith(ANNOTATION) and key not in _OURS:
                result.append(warning("annotation {name} is not read: correct it, or remove it", key))
                if len(result) > MOST:
                    break
    return result


def _passed_over(wanted: Wanted, assignment: Assignment, demand: Demand, fleet: Fleet, budget: Budget) -> Iterator[str]:
    """Alternatives that can never be served.  They are most likely misspelt."""
    for choice in wanted.request.choices:
        if choice is assignment.choice or not budget.afford(4 * len(fleet.offers)):
            return
        if not fleet.satisfying(choice):
            problem, _, reason = unknown(choice, fleet, demand, budget)
            if reason in ("unknown-gpu", "unknown-profile", "no-mig"):
                yield warning(f"{problem}; '{assignment.choice}' is used")


def _about(assignment: Assignment, demand: Demand, fleet: Fleet, budget: Budget) -> Iterator[str]:
    choice, offer = assignment.choice, assignment.offer
    if choice.count > 1 and choice.slice != SHARED:
        text = f"a process in {{name}} sees one of its {choice.count} slices: CUDA uses one MIG device"
        yield warning(text, assignment.container.name)
    if isinstance(choice.slice, Fraction) and isinstance(offer, MigOffer):
        yield from _about_fraction(choice.slice, offer, demand, fleet, budget)


def _about_fraction(share: Fraction, offer: MigOffer, demand: Demand, fleet: Fleet, budget: Budget) -> Iterator[str]:
    """A fraction that is not a whole number of slices, or that takes a larger share of the GPU than it says."""
    gpu, profile = offer.gpu, offer.profile
    exact = share.numerator * gpu.compute_slices == share.denominator * profile.compute_slices
    if exact and profile.size * share.denominator <= share.numerator * gpu.memory_slices:
        return
    text = f"{share} of a GPU is {offer}: one {gpu.name} has room for {profile.most}"
    if budget.afford(len(fleet.offers)) and (smaller := _next_smaller(offer, demand, fleet)):
        text += f", or for {smaller.most} of {smaller}"
    yield warning(text)


def _next_smaller(offer: MigOffer, demand: Demand, fleet: Fleet) -> GpuProfile | None:
    """The next smaller profile of the same GPU, if possible one that this cluster offers."""
    smaller = [
        profile
        for profile in offer.gpu.profiles
        if not profile.profile.attribute
        and (profile.compute_slices, profile.size) < (offer.profile.compute_slices, offer.profile.size)
    ]
    offered = [
        candidate.profile
        for pool, candidate in fleet.offers
        if isinstance(candidate, MigOffer)
        and candidate.gpu is offer.gpu
        and obstacle(pool, candidate, Choice(candidate.name, gpu=candidate.gpu.name), demand) is None
    ]
    return max(
        [profile for profile in smaller if profile in offered] or smaller,
        key=lambda profile: (profile.compute_slices, profile.size),
        default=None,
    )


def _controller(pod: Pod) -> str | None:
    owners = pod.metadata.owner_references if pod.metadata is not None else None
    return next((owner.kind for owner in owners or () if owner.controller), None)


def _about_daemon_set(spec: Spec, resolution: Resolution, budget: Budget) -> Iterator[str]:
    """The controller chooses the nodes by the template, before a webhook sees a pod."""
    add = "a DaemonSet is placed by its template: add the {} to it"
    for toleration in missing_tolerations(spec, [need for need in resolution.needs if need.taints], budget):
        value = f"={toleration['value']}" if "value" in toleration else ""
        effect = f":{toleration['effect']}" if "effect" in toleration else ""
        yield warning(add.format(f"toleration {toleration['key']}{value}{effect}"))
    for key, value in missing_labels(spec, resolution.labels).items():
        yield warning(add.format(f"nodeSelector {key}: {value}"))
    names = resolution.one_of
    if names and lacks_pool(spec, names):
        selection = (
            f"nodeSelector {POOL_LABEL}: {names[0]}" if len(names) == 1 else f"affinity {POOL_LABEL} In {list(names)}"
        )
        yield warning(add.format(selection))
