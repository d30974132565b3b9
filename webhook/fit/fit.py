"""Fit: on how many GPUs and nodes a demand fits, as the fleet is cut, and how it should be cut.

All GPUs of a node are cut alike, and all nodes of a pool.  So another layout is another pool, in whole nodes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from webhook.fit.answer import Answer, Fit, Layout, Nodes
from webhook.fit.demand import PodCounts, PodKind, Shape, SliceKind, slice_of
from webhook.fit.packing import Packing, pack
from webhook.fit.problem import Bin, Item
from webhook.fit.quota import Over
from webhook.fleet.check import check_pool
from webhook.fleet.file import Partition
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import WHOLE_GPU, NodeShape, Pool
from webhook.slices.catalogue import Gpu, GpuProfile
from webhook.slices.layout import fits, largest
from webhook.slices.profile import MigProfile

CENTS = 10_000
"""Parts of a dollar in which prices are compared, so that all costs are whole numbers."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Choice:
    """A kind of node that may be used."""

    pool: Pool
    shape: NodeShape
    place: int
    layout: Layout
    new: bool
    capacity: Mapping[SliceKind, int]

    @property
    def gpus(self) -> int:
        return self.shape.instance_type.gpus


def fit(
    demand: PodCounts,
    fleet: Fleet,
    prices: Mapping[str, float] | None = None,
    progress: Progress = lambda _: None,
    over: Over | None = None,
) -> Fit:
    """Where *demand* fits.  *prices*: dollars an hour, of all instance types that serve it; else GPUs are saved.

    *over*: those of its pods that quotas keep out.
    """
    problem = _Problem(demand, fleet, prices)
    progress("packing the pods as the fleet is cut")
    choices, places = problem.choices(new=False)
    unlimited = current = problem.answer(choices, places)
    if over:
        admitted = Counter(demand)
        for (_, kind), count in over.items():
            admitted[kind] -= count
        within = _Problem(+admitted, fleet, prices)
        choices, places = within.choices(new=False)
        current = within.answer(choices, places)
    else:
        within = problem
    limits = {pool.name: most for pool in fleet.pools if (most := limit_of(pool)) is not None}
    used: dict[str, int] = defaultdict(int)
    for each in current.pools:
        pool = next(pool for pool in fleet.pools if pool.name == each.pool)
        used[each.pool] += each.nodes * units(pool, each.gpus // each.nodes)
    if any(used[name] > most for name, most in limits.items()):
        progress("packing the pods within the limits of the pools")
        current = within.answer(choices, places, limits)
    progress("searching for better layouts")
    choices, places = problem.choices(new=True)
    best = problem.answer(choices, places)
    if best.cost >= unlimited.cost:
        best = replace(unlimited, bound=best.bound, exact=best.bound >= unlimited.cost)
    ideal = problem.ideal(choices, places)
    return Fit(sum(demand.values()), current, over or {}, unlimited, best, ideal, tuple(problem.compared()))


def limit_of(pool: Pool) -> int | None:
    """How much of the pool Karpenter launches at most, in `units`; None for nodes that it does not launch."""
    limit = pool.entry.room
    if pool.entry.nodes == "existing":
        return None
    return limit.nodes if limit.slices is None else limit.slices


def units(pool: Pool, gpus: int) -> int:
    """What a node with so many GPUs takes of the limit."""
    return 1 if pool.entry.room.slices is None else gpus * sum(offer.per_gpu for offer in pool.offers)


class _Problem:
    """The kinds of pods, and what their nodes cost."""

    def __init__(self, demand: PodCounts, fleet: Fleet, prices: Mapping[str, float] | None) -> None:
        self.kinds, self.counts, self.fleet, self.prices = list(demand), list(demand.values()), fleet, prices

    def cost(self, shape: NodeShape) -> int:
        """Of one node: GPUs, or parts of a dollar."""
        kind = shape.instance_type
        return kind.gpus if self.prices is None else round(self.prices[kind.name] * CENTS)

    def choices(self, *, new: bool) -> tuple[list[_Choice], list[frozenset[int]]]:
        """The kinds of nodes that pods may use, with other layouts too if *new*; and the places of each kind of pod.

        Nodes that the same pods may use have one place.
        """
        places: dict[frozenset[int], int] = {}
        existing: dict[tuple[object, ...], _Choice] = {}
        for pool, shape, pods in self._shapes(kind.served for kind in self.kinds):
            each = _as_it_is(pool, shape, places.setdefault(pods, len(places)))
            existing.setdefault((*self._alike(each), pool), each)
        known = {key[:-1] for key in existing}
        other: dict[tuple[object, ...], _Choice] = {}
        for pool, shape, pods in self._new_shapes() if new else ():
            place = places.setdefault(pods, len(places))
            wanted = {slice for k in pods for slice, _ in self.kinds[k].slices}
            for each in _with_other_layouts(pool, shape, place, wanted, self.fleet):
                if (key := self._alike(each)) not in known:
                    other.setdefault(key, each)
        of_kind: list[set[int]] = [set() for _ in self.kinds]
        for pods, place in places.items():
            for k in pods:
                of_kind[k].add(place)
        return [*existing.values(), *other.values()], [frozenset(each) for each in of_kind]

    def compared(self) -> Iterable[str]:
        """See `Fit.compared`."""
        return dict.fromkeys(pool.name for pool, _, _ in self._new_shapes())

    def _new_shapes(self) -> Iterator[tuple[Pool, NodeShape, frozenset[int]]]:
        """The kinds of nodes with other layouts.  What has no price is not compared."""
        for each in self._shapes(kind.possible for kind in self.kinds):
            if self.prices is None or each[1].instance_type.name in self.prices:
                yield each

    def _alike(self, choice: _Choice) -> tuple[object, ...]:
        """Equal for kinds of nodes of which it does not matter which is used."""
        return choice.place, frozenset(choice.capacity.items()), self.cost(choice.shape)

    def _shapes(self, allowed: Iterable[Iterable[Shape]]) -> Iterator[tuple[Pool, NodeShape, frozenset[int]]]:
        """The kinds of nodes that are *allowed* for some kind of pod, each with these."""
        pods: dict[Shape, set[int]] = defaultdict(set)
        for k, shapes in enumerate(allowed):
            for each in shapes:
                pods[each].add(k)
        for (index, number), kinds in sorted(pods.items()):
            pool = self.fleet.pools[index]
            yield pool, pool.shapes[number], frozenset(kinds)

    def answer(
        self, choices: Sequence[_Choice], places: Sequence[frozenset[int]], limits: Mapping[str, int] | None = None
    ) -> Answer:
        """The best packing: of each part of the problem that shares no nodes with the others."""
        pools: list[Nodes] = []
        left: dict[PodKind, int] = {}
        bound, exact = 0, True
        for ks, bs in _parts(choices, places, limits or {}):
            part = [choices[b] for b in bs]
            bins = [
                Bin(each.place, each.pool.name, each.capacity, self.cost(each.shape), units(each.pool, each.gpus))
                for each in part
            ]
            items = [Item(dict(self.kinds[k].slices), self.counts[k], places[k]) for k in ks]
            packing = pack(bins, items, limits)
            bound += packing.bound
            exact &= packing.exact
            pools += self._nodes(part, packing)
            left |= {self.kinds[k]: n for k, n in zip(ks, packing.left, strict=True) if n}
        return Answer(tuple(pools), bound if self.prices is None else bound / CENTS, exact, left)

    def _nodes(self, choices: Sequence[_Choice], packing: Packing) -> Iterator[Nodes]:
        for each, count in zip(choices, packing.nodes, strict=True):
            if count:
                yield Nodes(
                    pool=each.pool.name,
                    gpu=each.pool.gpu.name,
                    layout=each.layout,
                    new=each.new,
                    instance_type=each.shape.instance_type.name,
                    nodes=count,
                    gpus=count * each.gpus,
                    dollars=None if self.prices is None else count * self.cost(each.shape) / CENTS,
                    exact=packing.exact,
                )

    def ideal(self, choices: Sequence[_Choice], places: Sequence[frozenset[int]]) -> float:
        """What all slices cost at least, one by one, on GPUs that are cut one by one."""
        scale = 1
        for each in choices:
            scale *= each.gpus if scale % each.gpus else 1
        total = 0
        for ks, bs in _parts(choices, places, {}):
            bins = []
            for each in (choices[b] for b in bs):
                capacity = {slice: count // each.gpus for slice, count in each.capacity.items()}
                bins.append(Bin(each.place, each.pool.name, capacity, self.cost(each.shape) * scale // each.gpus))
            items = [
                Item({slice: 1}, self.counts[k] * count, places[k]) for k in ks for slice, count in self.kinds[k].slices
            ]
            total += pack(bins, items).bound
        return total // scale if self.prices is None else total / scale / CENTS


def _parts(
    choices: Sequence[_Choice], places: Sequence[frozenset[int]], limits: Mapping[str, int]
) -> Iterator[tuple[list[int], list[int]]]:
    """The kinds of pods and of nodes that have nothing to do with the others: what each may use, and a limit, joins."""
    root = list(range(1 + max((each.place for each in choices), default=0)))

    def find(place: int) -> int:
        while root[place] != place:
            root[place] = place = root[root[place]]
        return place

    def join(several: Iterable[int]) -> None:
        first, *others = several
        for each in others:
            root[find(each)] = find(first)

    for group in places:
        join(sorted(group))
    by_pool: dict[str, list[int]] = defaultdict(list)
    for choice in choices:
        if choice.pool.name in limits:
            by_pool[choice.pool.name].append(choice.place)
    for group_of_pool in by_pool.values():
        join(group_of_pool)
    parts: dict[int, tuple[list[int], list[int]]] = {}
    for k, group in enumerate(places):
        parts.setdefault(find(min(group)), ([], []))[0].append(k)
    for b, choice in enumerate(choices):
        parts[find(choice.place)][1].append(b)
    yield from parts.values()


def _as_it_is(pool: Pool, shape: NodeShape, place: int) -> _Choice:
    layout = {str(offer): offer.per_gpu for offer in pool.offers}
    capacity = {slice_of(offer): offer.per_gpu * shape.instance_type.gpus for offer in pool.offers}
    return _Choice(pool, shape, place, layout, False, capacity)


def _with_other_layouts(
    pool: Pool, shape: NodeShape, place: int, wanted: Iterable[SliceKind], fleet: Fleet
) -> Iterator[_Choice]:
    """Nodes of *shape* with every layout of the *wanted* slices that a pool like *pool* may have."""
    single = pool.entry.strategy == "single"
    parsed = [MigProfile.parse(each.name) for each in sorted(wanted) if (each.resource == WHOLE_GPU) == single]
    named = {pool.gpu.profile(name): name for name in parsed}
    names = {profile: named[profile] for profile in reversed(pool.gpu.profiles) if profile in named}
    for layout in _alone(pool.gpu, names) if single else largest(pool.gpu, list(names)):
        written = {str(names[profile]): count for profile, count in layout.items()}
        entry = pool.entry.model_copy(update={"partition": Partition(mig=written)})
        if any(check_pool(0, entry, fleet.catalogue)):
            continue
        capacity = {
            SliceKind(WHOLE_GPU if single else names[profile].resource, str(names[profile])): (
                count * shape.instance_type.gpus
            )
            for profile, count in layout.items()
        }
        yield _Choice(pool, shape, place, written, True, capacity)


def _alone(gpu: Gpu, profiles: Iterable[GpuProfile]) -> Iterator[dict[GpuProfile, int]]:
    """The layouts of one profile, with as many slices as fit."""
    for profile in profiles:
        if count := max((n for n in range(profile.most + 1) if fits(gpu, {profile: n})), default=0):
            yield {profile: count}
