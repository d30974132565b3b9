"""The complete decision about one pod, as a value: the webhook sends it, a preview shows it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from webhook.admission import assigned, defaults
from webhook.admission.containers import (
    DEFAULT_CONTAINER,
    Wanted,
    choose,
    others,
    refuse_forbidden,
    refuse_many_shares,
    settle,
)
from webhook.admission.denials import explain
from webhook.admission.node_affinity import NodeRules, node_rules, refuse_other_systems
from webhook.admission.others import asked_of_others
from webhook.admission.patch import Operation, missing_labels, write
from webhook.admission.pod import EMPTY_SPEC, Metadata, Place, Pod, Spec, places
from webhook.admission.resolve import Demand, Plain, Resolution, resolve
from webhook.admission.unoffered import exactly
from webhook.admission.warnings import MOST, PodWarning, about_replaced, about_request, warning, warnings
from webhook.budget import Budget
from webhook.errors import Denial, kind_of, quote
from webhook.fleet.fleet import Fleet
from webhook.fleet.policy import EVERYTHING, Policy
from webhook.slices import request
from webhook.slices.misspelt import Misspelt
from webhook.slices.request import ANNOTATION, ASSIGNED, FIELD

OWN_NAMESPACE = "gpu-slice"
UNTOUCHED_NAMESPACES = frozenset({"kube-system", OWN_NAMESPACE})
"""The cluster must be able to start without the webhook, and so must the webhook itself.  The webhook configuration
excludes the same namespaces."""

MIRROR = "kubernetes.io/config.mirror"
"""The annotation of a mirror pod, which represents a static pod of a kubelet."""


class Plan(Struct, frozen=True, gc=False):
    """What is changed in a pod that is admitted."""

    patch: tuple[Operation, ...] = ()
    """RFC 6902 operations."""
    warnings: tuple[PodWarning, ...] = ()
    """For the pod's author."""
    resolution: Resolution | None = None
    """None if the webhook does not handle the pod."""
    why: str = ""
    """Why nothing changes; empty if something does."""
    shadow: bool = False
    """Whether it is only told: the pod is admitted as it is."""

    @property
    def given(self) -> str:
        """As in ``main gets 1 nvidia.com/mig-1g.5gb (pool a100-1g-5gb)``; empty where nothing is."""
        if self.resolution is None:
            return ""
        parts = [f"{part.container.name} gets {part.count} {part.resource}" for part in self.resolution.assignments]
        pools = [pool.name for pool in self.resolution.pools]
        return f"{', '.join(parts)} ({'pool' if len(pools) == 1 else 'pools'} {', '.join(pools)})"


UNANNOTATED = Plan(why=f"it has no annotation '{ANNOTATION}'")


def plan(
    pod: Pod,
    fleet: Fleet,
    namespace: str | None = None,
    *,
    controller: str | None = None,
    budget: Budget | None = None,
    plain: Plain | None = None,
) -> Plan:
    """Decide about *pod*, which is being created in *namespace*.  Raises `Denial`.

    *controller* is the kind of the workload that creates the pod; by default it is read from the ownerReferences.
    *budget*: the steps that the decision may take; by default those of one review.  *plain*: what `prepare` returned
    for *fleet*.
    """
    annotations = pod.annotations
    if ANNOTATION not in annotations:
        default = fleet.policy(namespace).default
        return UNANNOTATED if default is None else _by_default(pod, default, fleet, namespace, controller, budget)
    if namespace in UNTOUCHED_NAMESPACES:
        return _untouched(namespace)
    if MIRROR in annotations:
        return Plan(why="it is the mirror pod of a static pod")
    value = annotations[ANNOTATION]
    if not isinstance(value, str):
        raise _no_text(value, pod, fleet, namespace, budget or Budget())
    budget = budget or Budget()
    spec = pod.spec or EMPTY_SPEC
    if spec.os is not None:
        refuse_other_systems(spec.os)
    known = plain.get(value) if plain is not None else None
    requests = () if known is not None else _read(value, pod, fleet, namespace, budget)
    containers = places(spec, budget)
    if known is not None and _is_plain(pod, spec, containers, fleet.policy(namespace)):
        resolution = known.given_to(containers[0])
        patch = tuple(write(pod, resolution, assigned.record(value, resolution), budget))
        return Plan(patch, warnings(pod, containers, resolution, controller, budget), resolution)
    requests = requests or request.parse(value, budget)
    refuse_many_shares(requests)
    rules, policy = node_rules(spec, budget), fleet.policy(namespace)
    try:
        recalled = assigned.recall(value, annotations, requests, containers)
    except Denial:
        # Slices and node selection may be those of the record.
        wanted = _chosen(requests, pod, containers, fleet, namespace, budget)
        request_alone = Demand(wanted, (), NodeRules(architectures=rules.architectures), policy)
        _refuse_unserved(request_alone, fleet, namespace, budget)
        raise
    wanted = recalled or _chosen(requests, pod, containers, fleet, namespace, budget)
    demand = Demand(wanted, others(wanted, containers), rules, policy)
    refuse_forbidden(demand.others, demand.policy, fleet, namespace, budget)
    resolved = resolve(demand, fleet, budget)
    if resolved is None:
        if recalled is not None:
            anew = [Wanted(entry.place, entry.request) for entry in recalled]
            _refuse_unserved(Demand(anew, demand.others, rules, policy), fleet, namespace, budget)
            raise assigned.outdated(recalled, fleet)
        raise explain(demand, fleet, namespace, budget)
    replaced = [
        part
        for part in resolved.assignments
        if part.container.asks
        and settle(part.container, part.choice, part.resource, part.count, visited=recalled is not None)
    ]
    if recalled is not None and missing_labels(spec, resolved.labels):
        # Another webhook removed them, or the first visit was to a replica whose fleet calls them otherwise, as its
        # nodes do.  The names of the pools are right for both.
        names = tuple(pool.name for pool in resolved.pools)
        resolved = replace(resolved, labels={}, one_of=names)
    patch = tuple(write(pod, resolved, assigned.record(value, resolved), budget))
    why = "" if patch else "it already has its slice"
    if recalled is not None:
        told = tuple(about_replaced(replaced, resolved))
    else:
        about = about_request(demand, resolved, replaced, fleet, budget)
        told = warnings(pod, containers, resolved, controller, budget, about)
    result = Plan(patch, told, resolved, why)
    if not (resolved.shadow and patch):
        return result
    would = warning("shadow", f"shadow: not enforced: {result.given}")
    return replace(result, shadow=True, warnings=(would, *told)[:MOST])


def _by_default(
    pod: Pod, default: str, fleet: Fleet, namespace: str | None, controller: str | None, budget: Budget | None
) -> Plan:
    """The plan for a pod without the annotation in a namespace with a default.  It is never denied."""
    if namespace in UNTOUCHED_NAMESPACES:
        return _untouched(namespace)
    if MIRROR in pod.annotations:
        return UNANNOTATED
    budget, namespace = budget or Budget(), namespace or "default"
    try:
        containers = places(pod.spec or EMPTY_SPEC, budget)
        asked = defaults.asking(containers)
        if not asked:
            return UNANNOTATED
        why = defaults.why_whole(pod, asked)
        if not why and (other := asked_of_others(pod, containers, budget)):
            why = f"it also asks for '{other}'"
        if not why:
            meant, operations = defaults.annotated(pod, default, namespace, asked[0][0])
            given = plan(meant, fleet, namespace, controller=controller, budget=budget)
            why = _by_label(pod, given, budget)
        if not why:
            gets = "would get" if given.shadow else "gets"
            told = warning("namespace-default", f"it {gets} '{default}', the default of namespace {{name}}", namespace)
            return replace(given, patch=(*operations, *given.patch), warnings=(told, *given.warnings)[:MOST])
    except Denial as denial:
        why = f"{denial.field}: {denial.problem}"
    told = warning("no-default", f"the default of the namespace is not given: {why}")
    return Plan(warnings=(told,), why=f"it is not given '{default}', the default of its namespace: {why}")


def _untouched(namespace: str | None) -> Plan:
    return Plan(why=f"pods of namespace '{namespace}' are never changed")


def _by_label(pod: Pod, given: Plan, budget: Budget) -> str:
    """Why *pod* keeps its whole GPU instead of what it was *given*: a label by which it selects other nodes."""
    pools = given.resolution.pools if given.resolution is not None else ()
    key = defaults.unknown_gpu(node_rules(pod.spec or EMPTY_SPEC, budget).keys(), pools)
    if key:
        return f"it selects a GPU by the label '{key}'"
    return next(
        (text.text.removeprefix("gpu-slice: ") for text in given.warnings if text.code == "unheard-of-label"), ""
    )


def _refuse_unserved(demand: Demand, fleet: Fleet, namespace: str | None, budget: Budget) -> None:
    """Raise `Denial` if a pod would be refused without its record, too: that is what its author must read first."""
    if resolve(demand, fleet, budget) is None:
        raise explain(demand, fleet, namespace, budget) from None


def _read(value: str, pod: Pod, fleet: Fleet, namespace: str | None, budget: Budget) -> Sequence[request.Request]:
    """What the annotation asks for.  Where it is misspelt, what it most likely means has been tried on this pod."""
    try:
        return request.parse(value, budget)
    except Misspelt as misspelt:
        raise _tried(misspelt, pod, fleet, namespace, budget) from None


def _no_text(value: object, pod: Pod, fleet: Fleet, namespace: str | None, budget: Budget) -> Denial:
    """What is wrong with *value*, which is no string.  In quotes a number or a boolean would be no slice either."""
    hint = f"Write a string, as in {ANNOTATION}: '1g.5gb'"
    if isinstance(value, bool | int | float):
        try:
            _read(quote(value), pod, fleet, namespace, budget)
        except Denial as denial:
            hint = denial.hint
    return Denial(kind_of(value), field=FIELD, hint=hint, reason="grammar")


def _chosen(
    requests: Sequence[request.Request],
    pod: Pod,
    containers: Sequence[Place],
    fleet: Fleet,
    namespace: str | None,
    budget: Budget,
) -> list[Wanted]:
    """Which container each request is for.  Where a name is misspelt, the likeliest has been tried on this pod."""
    try:
        return choose(requests, containers, pod.annotations.get(DEFAULT_CONTAINER), budget)
    except Misspelt as misspelt:
        raise _tried(misspelt, pod, fleet, namespace, budget) from None


def _tried(misspelt: Misspelt, pod: Pod, fleet: Fleet, namespace: str | None, budget: Budget) -> Denial:
    """*misspelt* with those of its suggestions that this pod gets; else with what is wrong with them, too."""
    first: tuple[str, Denial] | None = None
    working: list[tuple[str, str]] = []
    shadow: list[tuple[str, str]] = []
    exact = exactly(misspelt.word, misspelt.gpu, fleet, budget)
    for slice, what in (*exact, *misspelt.slices):
        if working and working[0] in exact:
            break
        choice = misspelt.choice(slice)
        meant = misspelt.before + choice + misspelt.after
        annotations = {**pod.annotations, ANNOTATION: meant}
        corrected = replace(pod, metadata=replace(pod.metadata or Metadata(), annotations=annotations))
        try:
            request.parse(meant, budget)
            made = plan(corrected, fleet, namespace, budget=budget)
        except Denial as problem:
            if problem.reason == "grammar":  # something else is misspelt, too
                misspelt.hint += f", and correct the rest: {problem.problem}"
            if problem.reason in ("grammar", "too-large"):  # or it cannot be known
                return misspelt
            if first is None or ("@" in _proposed(problem) and "@" not in _proposed(first[1])):
                first = choice, problem
        else:
            if made.shadow and fleet.policy(namespace).mode == "enforce":
                shadow.append((slice, f"{what}, though only a pool in shadow has it: the pod stays as it is"))
            else:
                working.append((slice, what))
    if working or shadow:
        misspelt.propose(working or shadow)
    elif first is not None:
        choice, denial = first
        if denial.field != FIELD:
            misspelt.hint = f"Write '{choice}', and correct {denial.field}: {denial.problem}"
        elif misspelt.reason == "no-such-container":
            also = f"{denial.problem}: {denial.hint[:1].lower()}{denial.hint[1:]}"
            misspelt.hint = f"Its name is in '{choice}', but {also}"
        else:
            misspelt.problem, misspelt.hint = f"{misspelt.problem}; {denial.problem}", denial.hint
    return misspelt


def _proposed(denial: Denial) -> str:
    return denial.hint.partition("',")[0] if denial.hint.startswith("Write '") else ""


def _is_plain(pod: Pod, spec: Spec, containers: Sequence[Place], policy: Policy) -> bool:
    """Whether the answer depends on nothing but the annotation, so that `prepare` has computed it."""
    return (
        len(containers) == 1
        and not containers[0].asks
        and policy is EVERYTHING
        and not spec.node_selector
        and not spec.affinity
        and not spec.topology_spread_constraints
        and ASSIGNED not in pod.annotations
    )


def outcome(plan: Plan | None, denial: Denial | None) -> str:
    """The outcome in one word, for metrics, logs and programs.

    ``sliced``, ``unchanged`` (it has its slice), ``untouched`` (the webhook does not handle it) or ``denied``.
    """
    if denial is not None:
        return "denied"
    if plan is None or plan.resolution is None:
        return "untouched"
    return "sliced" if plan.patch else "unchanged"
