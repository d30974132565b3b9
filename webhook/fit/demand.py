"""Demand: how many pods of which kind want to run, and where the fleet lets them.

Pods are alike if they need the same slices and may go to the same nodes.  What a pod needs, and which pools serve it,
is what `webhook.admission.plan` decides.  So this cannot disagree with the webhook.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import jsonpatch
import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from webhook.admission.containers import DEFAULT_CONTAINER
from webhook.admission.node_affinity import DEFAULT_ARCHITECTURE, NodeRules, node_rules
from webhook.admission.plan import MIRROR, plan
from webhook.admission.pod import EMPTY_SPEC, Container, Metadata, Pod, convert, needed, places
from webhook.admission.resolve import Resolution
from webhook.budget import UNLIMITED, Budget
from webhook.fleet.fleet import Fleet
from webhook.fleet.labels import NODE_POOL
from webhook.fleet.policy import Policy
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU, MigOffer, Offer, Pool
from webhook.slices.catalogue import GpuProfile
from webhook.slices.profile import MigProfile
from webhook.slices.request import ANNOTATION, ASSIGNED, SHARED

Shape: TypeAlias = tuple[int, int]
"""A kind of node: a pool's position in the fleet, and a position among the shapes of this pool."""

_NAMES = {POOL_LABEL, NODE_POOL}
"""Labels whose value is a pool's name."""

_READ = (ANNOTATION, ASSIGNED, DEFAULT_CONTAINER, MIRROR)
"""Annotations on which a plan depends."""


class SliceKind(NamedTuple):
    """A kind of slice: a resource, and what it is."""

    resource: str
    name: str
    """As in 1g.5gb.  Several profiles may have one resource, in pools of the strategy ``single``."""


@dataclass(frozen=True, slots=True)
class PodKind:
    """Pods that are alike."""

    slices: tuple[tuple[SliceKind, int], ...]
    """What one pod needs on its node."""
    served: frozenset[Shape]
    """The nodes that take it, as the fleet is."""
    possible: frozenset[Shape]
    """The nodes that would take it if their GPUs were cut so that it has room."""

    @property
    def size(self) -> int:
        """Slices of one pod."""
        return sum(count for _, count in self.slices)


PodCounts: TypeAlias = Mapping[PodKind, int]
"""How many pods of each kind run at once."""


def slice_of(offer: Offer) -> SliceKind:
    """The kind of slice that *offer* is."""
    return SliceKind(offer.resource, str(offer))


def by_hand(pod: Pod) -> bool:
    """Whether *pod* has a GPU's resource without the annotation.  Raises `Denial`."""
    return ANNOTATION not in pod.annotations and any(
        place.asks for place in places(pod.spec or EMPTY_SPEC, Budget(UNLIMITED))
    )


def key_of(pod: Pod, namespace: str | None) -> bytes:
    """What decides about *pod*, and no more: it is equal for pods that get the same slices on the same nodes."""
    annotations = {name: pod.annotations[name] for name in _READ if name in pod.annotations}
    spec = pod.spec or EMPTY_SPEC
    same = replace(
        spec,
        containers=_bare(spec.containers),
        init_containers=_bare(spec.init_containers),
        tolerations=UNSET,
        node_name=None,
    )
    return msgspec.json.encode((namespace, Pod(Metadata(annotations), same)), order="sorted")


def _bare(containers: list[Container] | None) -> list[Container]:
    return [Container(each.name, each.resources, None, each.restart_policy) for each in containers or ()]


def namespace_of(key: bytes) -> str | None:
    """The namespace of the pods with *key*."""
    namespace, _ = msgspec.json.decode(key)
    return namespace if isinstance(namespace, str) else None


def kind_again(key: bytes, fleet: Fleet) -> PodKind | None:
    """The kind in *fleet* of the pods with *key*.  Raises `Denial`."""
    namespace, pod = msgspec.json.decode(key)
    return kind_of(convert(pod), fleet, namespace)


def kind_of(pod: Pod, fleet: Fleet, namespace: str | None) -> PodKind | None:
    """The kind of *pod*; None if the webhook gives it no slices.  Raises `Denial`."""
    decision = plan(pod, fleet, namespace)
    if (resolution := decision.resolution) is None:
        return None
    budget = Budget(UNLIMITED)
    admitted = convert(jsonpatch.apply_patch(msgspec.to_builtins(pod), decision.patch)).spec or EMPTY_SPEC
    asks = [(place, name, count) for place in places(admitted, budget) for name, count in place.asks.items()]
    need = needed(asks)
    by_resource = {offer.resource: slice_of(offer) for offer in resolution.pools[0].offers}
    indexes = {pool: index for index, pool in enumerate(fleet.pools)}
    rules = node_rules(admitted, budget)
    served = frozenset(
        (indexes[pool], number)
        for pool in resolution.pools
        for number, shape in enumerate(pool.shapes)
        if rules.allows(shape) and all(shape.capacity.get(name, 0) >= count for name, count in need.items())
    )
    slices = tuple(sorted((by_resource[name], count) for name, count in need.items()))
    own, policy = node_rules(pod.spec or EMPTY_SPEC, budget), fleet.policy(namespace)
    named = bool(own.keys() & _NAMES)  # a new pool would have another name
    possible = frozenset(
        (index, number)
        for index, pool in enumerate(() if named else fleet.pools)
        if _could_serve(pool, [slice for slice, _ in slices], resolution, own, policy)
        for number, shape in enumerate(pool.shapes)
        if own.allows(shape)
    )
    return PodKind(slices, served, possible)


def _could_serve(
    pool: Pool, slices: Sequence[SliceKind], resolution: Resolution, rules: NodeRules, policy: Policy
) -> bool:
    """Whether a pool like *pool*, cut into *slices*, would serve the pod just as those of *resolution* do."""
    if pool.entry.retired or not (policy.pools is None or pool.name in policy.pools):
        return False
    offers = {}
    for slice in slices:
        profile = _profile(pool, slice)
        if profile is None:
            return False
        name = MigProfile.parse(slice.name)
        offers[slice.resource] = MigOffer(pool.gpu, slice.resource, 1, 0, name, profile, (0, 0, 0))
    return all(
        offers[part.resource].satisfies(part.choice)
        and (part.choice.gpu or pool.architecture in (DEFAULT_ARCHITECTURE, *rules.architectures))
        for part in resolution.assignments
    )


def _profile(pool: Pool, slice: SliceKind) -> GpuProfile | None:
    """The profile of the pool's GPU that is *slice* there; None if it has none, or cannot be cut into it."""
    if slice.name == str(SHARED) or (slice.resource == WHOLE_GPU) != (pool.entry.strategy == "single"):
        return None
    profile = pool.gpu.profile(MigProfile.parse(slice.name))
    return profile if profile is not None and profile.starts else None


def demand_of(pods: Iterable[tuple[PodKind, int]]) -> PodCounts:
    """The demand of pods, each with how many there are."""
    demand: dict[PodKind, int] = {}
    for kind, count in pods:
        if count:
            demand[kind] = demand.get(kind, 0) + count
    return demand
