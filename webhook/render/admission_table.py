"""What a fleet answers, as a table: each choice that a policy in the API server can look up, with the answer to it.

The answers are those of the webhook's own `resolve`, for a pod without node selection.  So the two cannot disagree.
A choice is looked up by its key, which is the choice without its numbers: ``1g.5gb``, ``shared@a10g``, ``gb`` for a
memory size, ``Gi@a100`` for one of real memory, ``/`` for a fraction.  Of the rows under a key, the first that is large
enough has the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from math import lcm
from typing import NamedTuple

from webhook.admission.containers import Wanted
from webhook.admission.node_affinity import ANYWHERE, ARCHITECTURES, DEFAULT_ARCHITECTURE
from webhook.admission.pod import Container, Place
from webhook.admission.resolve import Demand, Resolution, resolve
from webhook.budget import UNLIMITED, Budget
from webhook.fleet.fleet import Fleet
from webhook.fleet.policy import EVERYTHING, Policy
from webhook.fleet.pool import MigOffer
from webhook.slices.request import SHARED, Choice, Fraction, Memory, Request, Slice

DIFFERS = "-"
"""In place of a label's value, where not all nodes have the same: no label has this value."""


class Row(NamedTuple):
    """One answer.  It is for a number n (over a denominator d) and a count if n·scale ≤ size·d and count ≤ most."""

    size: int
    scale: int
    most: int
    answer: int
    """Its index in `Table.answers`."""


class Size(NamedTuple):
    """One size of a kind of slice, as large as it can be with the same answer."""

    size: int
    scale: int
    slice: Slice


class Table:
    """The answers of a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.answers: list[Resolution] = []
        self.rows: list[tuple[Row, ...]] = []
        """Without repetition."""
        self.keys: list[dict[str, int]] = []
        """For each policy of namespaces: the rows under a key, as an index in `rows`."""
        self.slices: list[list[str]] = []
        """For each of these policies: the slices that it permits."""
        self.policies: dict[str, int] = {}
        """The policy of each namespace with an entry of its own."""
        self.gpus = sorted({name for gpu in fleet.catalogue.gpus.values() for name in (gpu.name, gpu.family)})
        """What may follow an ``@``."""
        self._numbers: dict[object, int] = {}
        self._known: dict[tuple[Choice, tuple[int, ...]], int | None] = {}
        self._satisfying = cache(fleet.satisfying)
        self._places: dict[tuple[Row, ...], int] = {}
        known: dict[object, int] = {}
        for namespace in ("*", *(name for name in fleet.policies if name != "*")):
            policy = fleet.policies.get(namespace, EVERYTHING)
            number = known.setdefault((policy.pools, policy.slices), len(self.keys))
            if number == len(self.keys):
                self.keys.append(self._of(policy))
                permitted = [str(offer) for pool, offer in fleet.offers if policy.permits(pool, offer)]
                self.slices.append(list(dict.fromkeys(permitted)))
            if namespace != "*":
                self.policies[namespace] = number

    def labels(self) -> dict[str, str]:
        """The labels that are known of nodes, each with its value where all nodes have the same, else `DIFFERS`.

        Of the architectures only the usual one counts as the same: to name another one changes the answer.
        """
        shapes = [shape.labels for pool in self.fleet.pools for shape in pool.shapes]
        result = {}
        for key in dict.fromkeys(key for labels in shapes for key in labels):
            values = {labels.get(key) for labels in shapes}
            value = values.pop() if len(values) == 1 else None
            usual = key not in ARCHITECTURES or value == DEFAULT_ARCHITECTURE
            result[key] = value if value is not None and usual else DIFFERS
        return result

    def _of(self, policy: Policy) -> dict[str, int]:
        result: dict[str, int] = {}
        called = {name for pool in self.fleet.pools for name in (pool.gpu.name, pool.gpu.family)}
        for gpu in (None, *sorted(called)):
            for key, sizes in _kinds(self.fleet).items():
                if rows := tuple(self._rows(sizes, gpu, policy)):
                    place = self._places.setdefault(rows, len(self.rows))
                    if place == len(self.rows):
                        self.rows.append(rows)
                    result[f"{key}@{gpu}" if gpu else key] = place
        return result

    def _rows(self, sizes: Sequence[Size], gpu: str | None, policy: Policy) -> Iterator[Row]:
        capacities = sorted({number for pool in self.fleet.pools for number in pool.largest.capacity.values()})
        for size, scale, slice in sizes:
            row: Row | None = None
            for count in [1] if slice == SHARED else sorted({1, *capacities}):
                answer = self._answer(Choice(slice, count, gpu), policy)
                if row is not None and row.answer != answer:
                    yield row
                    row = None
                if answer is None:
                    break
                row = Row(size, scale, count, answer)
            if row is not None:
                yield row

    def _answer(self, choice: Choice, policy: Policy) -> int | None:
        """The same for all policies that permit the same of the offers that satisfy *choice*."""
        offers = tuple(offer.order for pool, offer in self._satisfying(choice) if policy.permits(pool, offer))
        if (choice, offers) not in self._known:
            self._known[choice, offers] = self._resolved(choice, policy) if offers else None
        return self._known[choice, offers]

    def _resolved(self, choice: Choice, policy: Policy) -> int | None:
        wanted = Wanted(Place(Container("any"), 0, False, {}), Request((choice,)))
        answer = resolve(Demand((wanted,), (), ANYWHERE, policy), self.fleet, Budget(UNLIMITED))
        if answer is None:
            return None
        given, needs = answer.assignments[0].resource, (need.toleration for need in answer.needs)
        alike = (given, answer.names, answer.one_of, tuple(needs), *answer.labels.items())
        number = self._numbers.setdefault(alike, len(self.answers))
        if number == len(self.answers):
            self.answers.append(answer)
        return number


def _kinds(fleet: Fleet) -> Mapping[str, Sequence[Size]]:
    """The sizes of each kind of slice by its key, the smallest first."""
    kinds = {str(name): [Size(0, 1, name)] for name in sorted(fleet.by_profile, key=str)}
    kinds |= {key.replace("+", "."): sizes for key, sizes in kinds.items()}
    kinds["shared"] = [Size(0, 1, SHARED)]
    offers = [offer for _, offer in fleet.offers if isinstance(offer, MigOffer)]
    amounts = {
        "gb": {offer.name.memory_gb for offer in offers},
        "Gi": {offer.profile.memory_mib // 1024 for offer in offers if offer.profile.memory_mib},
    }
    kinds |= {unit: [Size(amount, 1, Memory(amount, unit)) for amount in sorted(of)] for unit, of in amounts.items()}
    whole = lcm(*(offer.gpu.compute_slices for offer in offers))
    shares = {(offer.profile.compute_slices * whole // offer.gpu.compute_slices, offer) for offer in offers}
    parts = {size: Fraction(offer.profile.compute_slices, offer.gpu.compute_slices) for size, offer in shares}
    kinds["/"] = [Size(size, whole, parts[size]) for size in sorted(parts)]
    return kinds
