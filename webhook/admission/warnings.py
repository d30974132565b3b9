"""What the author of a pod should know although it is admitted.

The API server truncates a warning at 256 characters and drops warnings beyond 4,096 characters in total.  Its guide
asks for 120.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from msgspec import Struct

from webhook.admission.assigned import DECIDED
from webhook.admission.containers import Wanted
from webhook.admission.defaults import DEFAULT
from webhook.admission.others import FRACTIONS, is_anothers
from webhook.admission.patch import lacks_pool, missing_labels
from webhook.admission.pod import EMPTY_SPEC, Container, Place, Pod, Spec
from webhook.admission.resolve import Assignment, Demand, Resolution, obstacle
from webhook.admission.tolerations import missing_tolerations
from webhook.admission.unoffered import problem
from webhook.budget import Budget, OutOfSteps
from webhook.codes import WarningCode
from webhook.fleet.fleet import Fleet
from webhook.fleet.labels import SELECTABLE, WELL_KNOWN
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU, MigOffer
from webhook.slices.catalogue import GpuProfile
from webhook.slices.request import ANNOTATION, ASSIGNED, POOLS, SHARED, Choice, Fraction

LONGEST = 120
"""Characters of a warning: Dynamic Admission Control, "Response"."""

MOST = 32
"""Warnings about one pod.  An API server silently drops those beyond 4,096 characters in total."""

DEVICES = "NVIDIA_VISIBLE_DEVICES"

LONGEST_RESOURCE = 40
"""Characters of a resource in a warning."""

_PREFIX = f"{ANNOTATION}: "
_OURS = (ANNOTATION, ASSIGNED, POOLS, DEFAULT, DECIDED)
_NO_DEVICES = ("void", "none", "")
"""With ``none`` a container has the driver and no GPU, with the others neither.  Source: NVIDIA Container Toolkit,
"Specialized Configurations with Docker", GPU Enumeration."""
_WINDOWS = "securityContext.windowsOptions: if it is for Windows, it cannot run on these nodes"
CLAIMS = "the pod also has spec.resourceClaims: by default Karpenter launches no node for such a pod"
"""Karpenter's ``settings.ignoreDRARequests``."""


class PodWarning(Struct, frozen=True, gc=False):
    """A warning, as the API server shows it, and its code, which it does not show."""

    code: WarningCode
    text: str

    def __str__(self) -> str:
        return self.text


def warning(code: WarningCode, text: str, name: str = "") -> PodWarning:
    """*text* as a warning: printable, with the prefix ``gpu-slice: ``, at most `LONGEST` characters.

    ``{name}`` stands for *name*.  If the warning is too long, the name is cut first: the rest says what to do.
    """
    line = _PREFIX + text.replace("{name}", f"'{name}'")
    if len(line) > LONGEST and name:
        kept = max(len(name) - (len(line) - LONGEST) - 1, 8)
        line = _PREFIX + text.replace("{name}", f"'{name[:kept]}…'")
    if not line.isprintable():
        line = "".join(character if character.isprintable() else "?" for character in line)
    return PodWarning(code, line if len(line) <= LONGEST else line[: LONGEST - 1] + "…")


def warnings(
    pod: Pod,
    places: Sequence[Place],
    resolution: Resolution,
    controller: str | None,
    budget: Budget,
    about: Iterable[PodWarning] = (),
) -> tuple[PodWarning, ...]:
    """The warnings about *pod* and its *resolution*, at most `MOST`; those of *about* first.

    *controller*: the kind of workload that creates the pod; by default it is read from the ownerReferences.
    """
    result: list[PodWarning] = []
    more = False
    try:
        for entry in about:
            result.append(entry)
            if len(result) > MOST:
                break
        result += about_pod(pod, places, resolution, controller, budget)
    except OutOfSteps:  # the decision is made: a pod is not refused because of its warnings
        more = True
    if more or len(result) > MOST:
        result[MOST - 1 :] = [warning("more-warnings", "there are more warnings about this pod than are shown")]
    return tuple(result)


def about_request(
    demand: Demand, resolution: Resolution, replaced: Sequence[Assignment], fleet: Fleet, budget: Budget
) -> Iterator[PodWarning]:
    """Warnings about what was asked for.  *replaced*: the assignments that replace a whole GPU."""
    for wanted in demand.wanted:
        if wanted.guessed:
            text = "{name}, the first container, gets the slice; name another: gpu-slice: 'NAME=…'"
            yield warning("first-container", text, wanted.place.name)
    yield from about_replaced(replaced, resolution)
    yield from _about_labels(demand, resolution, budget)
    for wanted, assignment in zip(demand.wanted, resolution.assignments, strict=True):
        yield from _passed_over(wanted, assignment, demand, fleet, budget)
        yield from _about(assignment, demand, fleet, budget)


def about_replaced(replaced: Iterable[Assignment], resolution: Resolution) -> Iterator[PodWarning]:
    """Warnings about whole GPUs that a slice replaces."""
    was = "would be" if resolution.shadow else "was"
    for assignment in replaced:
        text = f"{{name}}: {WHOLE_GPU}: 1 {was} replaced by {assignment.resource}: {assignment.count}"
        yield warning("whole-gpu-replaced", text, assignment.container.name)


def about_pod(
    pod: Pod, places: Sequence[Place], resolution: Resolution, controller: str | None, budget: Budget
) -> list[PodWarning]:
    """Warnings about what else is in the pod."""
    result = []
    spec = pod.spec or EMPTY_SPEC
    if spec.resource_claims:
        result.append(warning("resource-claims", CLAIMS))
    if spec.security_context is not None and spec.security_context.windows_options:
        result.append(warning("windows-options", f"the pod has {_WINDOWS}"))
    if spec.node_name:
        result.append(
            warning("node-name", "spec.nodeName bypasses the scheduler: if the node has no free slice, the pod fails")
        )
    for place in places:
        if len(result) > MOST:
            return result
        container = place.container
        if container.resources and container.resources.limits:
            for name in container.resources.limits:
                if "/" in name:
                    result += _about_resources(place, container.resources.limits)
                    break
        if (context := container.security_context) is not None:
            if context.privileged:
                text = "{name} is privileged, so it sees every GPU of the node"
                result.append(warning("privileged", text, place.name))
            if context.windows_options:
                result.append(warning("windows-options", f"{{name}} has {_WINDOWS}", place.name))
        if container.env:
            budget.spend(len(container.env))
            for variable in container.env:
                if variable.name == DEVICES:
                    result += _about_devices(container, variable.value, resolution)
                    break
    if (controller or _controller(pod)) == "DaemonSet":
        result += _about_daemon_set(spec, resolution, budget)
    annotations = pod.annotations
    if len(annotations) > 1:
        budget.spend(len(annotations))
        for key in annotations:
            if key.startswith("gpu-") and key not in _OURS:
                result += _about_annotation(key)
                if len(result) > MOST:
                    break
    return result


def _passed_over(
    wanted: Wanted, assignment: Assignment, demand: Demand, fleet: Fleet, budget: Budget
) -> Iterator[PodWarning]:
    """Alternatives that can never be served.  They are most likely misspelt."""
    for choice in wanted.request.choices:
        if choice is assignment.choice or not budget.afford(4 * len(fleet.offers)):
            return
        if not fleet.satisfying(choice):
            why, reason = problem(choice, fleet, budget)
            if reason in ("unknown-gpu", "unknown-profile", "no-mig"):
                yield warning("impossible-alternative", f"{why}; '{assignment.choice}' is used")


def _about(assignment: Assignment, demand: Demand, fleet: Fleet, budget: Budget) -> Iterator[PodWarning]:
    choice, offer = assignment.choice, assignment.offer
    if choice.count > 1 and choice.slice != SHARED:
        text = f"a process in {{name}} sees one of its {choice.count} slices: CUDA uses one MIG device"
        yield warning("several-slices", text, assignment.container.name)
    if isinstance(choice.slice, Fraction) and isinstance(offer, MigOffer):
        yield from _about_fraction(choice.slice, offer, demand, fleet, budget)


def _about_fraction(
    share: Fraction, offer: MigOffer, demand: Demand, fleet: Fleet, budget: Budget
) -> Iterator[PodWarning]:
    """A fraction that is not a whole number of slices, or that takes a larger share of the GPU than it says."""
    gpu, profile = offer.gpu, offer.profile
    exact = share.numerator * gpu.compute_slices == share.denominator * profile.compute_slices
    if exact and profile.size * share.denominator <= share.numerator * gpu.memory_slices:
        return
    text = f"{share} of a GPU is {offer}: one {gpu.name} has room for {profile.most}"
    if budget.afford(len(fleet.offers)) and (smaller := _next_smaller(offer, demand, fleet)):
        text += f", or for {smaller.most} of {smaller}"
    yield warning("costly-fraction", text)


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


def _about_labels(demand: Demand, resolution: Resolution, budget: Budget) -> Iterator[PodWarning]:
    """Labels for which Karpenter launches no node: the pod waits unless a running one has them."""
    rules = demand.rules
    odd = rules.keys().difference(WELL_KNOWN)
    fewest: list[str] = []
    launched = [pool for pool in resolution.pools if pool.entry.nodes == "karpenter"] if odd else []
    for pool in launched:
        budget.spend(rules.cost * (1 + len(pool.shapes)))
        # What is known of one kind of node is known of all.
        shape = next((shape for shape in pool.shapes if rules.allows(shape)), pool.shapes[0])
        unheard_of = [] if odd <= shape.labels.keys() else rules.unheard_of(shape.labels)
        if not unheard_of:
            return
        if not fewest or len(unheard_of) < len(fewest):
            fewest = unheard_of
    known = [
        *dict.fromkeys(key for pool in launched for key in (*pool.labels, *pool.entry.node_labels, POOL_LABEL)),
        *SELECTABLE,
    ]
    for key in fewest:
        budget.spend(4 * len(known))
        yield _about_label(key, known)


def _about_label(key: str, known: Sequence[str]) -> PodWarning:
    """The keys that may be meant come first: Karpenter, too, compares what follows the slash."""
    end = f"/{key.rpartition('/')[2]}"
    alike = [other for other in known if other.endswith(end)]
    text = "new nodes lack label {name}; select by what they have: "
    room = LONGEST - len(f"{_PREFIX}{text}{key}…") + len("{name}") - len("''")
    shown: list[str] = []
    for other in chain(alike, known):
        if other not in shown:
            room -= len(other) + len(", ")
            if room < 0 and shown:
                break
            shown.append(other)
    return warning("unheard-of-label", f"{text}{', '.join(shown)}, …", key)


def _about_resources(place: Place, limits: Iterable[str]) -> list[PodWarning]:
    text = "{{name}} also asks for {}, which no pool of the fleet offers"
    others = sorted(filter(is_anothers, limits))
    return [
        warning("other-sharing", text.format(name[:LONGEST_RESOURCE]), place.name) for name in islice(others, MOST + 1)
    ]


def _about_devices(container: Container, value: str | None, resolution: Resolution) -> list[PodWarning]:
    """What the container's own value does.  Kubelet gives it precedence over the device plugin's."""
    if value not in _NO_DEVICES:
        text = f"{{name}} sets {DEVICES}, so it may see slices that are not its own"
    elif any(part.container.container is container for part in resolution.assignments):
        text = f"{{name}} sets {DEVICES} to '{value}', so it may not see its own slice"
    else:
        return []  # as it should be where a container has no slice
    return [warning("visible-devices", text, container.name)]


def _about_annotation(key: str) -> Iterator[PodWarning]:
    if key.startswith(ANNOTATION):
        yield warning("unknown-annotation", "annotation {name} is not read: correct it, or remove it", key)
    elif key.startswith(FRACTIONS):
        text = "annotation {name} asks another scheduler for a part of a GPU, beside the slice"
        yield warning("other-sharing", text, key)


def _controller(pod: Pod) -> str | None:
    owners = pod.metadata.owner_references if pod.metadata is not None else None
    return next((owner.kind for owner in owners or () if owner.controller), None)


def _about_daemon_set(spec: Spec, resolution: Resolution, budget: Budget) -> Iterator[PodWarning]:
    """The controller chooses the nodes by the template, before a webhook sees a pod."""
    add = "a DaemonSet is placed by its template: add the {} to it"
    hard = [need for need in resolution.needs if any(taint.effect != "PreferNoSchedule" for taint in need.taints)]
    for toleration in chain(*missing_tolerations(spec, hard, budget)):
        value = f"={toleration['value']}" if "value" in toleration else ""
        effect = f":{toleration['effect']}" if "effect" in toleration else ""
        yield warning("daemon-set-template", add.format(f"toleration {toleration['key']}{value}{effect}"))
    for key, value in missing_labels(spec, resolution.labels).items():
        yield warning("daemon-set-template", add.format(f"nodeSelector {key}: {value}"))
    names = resolution.one_of
    if names and lacks_pool(spec, names):
        selection = (
            f"nodeSelector {POOL_LABEL}: {names[0]}" if len(names) == 1 else f"affinity {POOL_LABEL} In {list(names)}"
        )
        yield warning("daemon-set-template", add.format(selection))
