"""One option for each container, so that one node of a pool holds them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from webhook.admission.containers import Other, Wanted
from webhook.admission.pod import Place
from webhook.budget import Budget
from webhook.fleet.pool import Offer
from webhook.slices.request import FIELD

Option: TypeAlias = tuple[int, Offer]
"""A choice by its index, and an offer that satisfies it."""

Usage: TypeAlias = tuple[int, ...]
"""What a node has given away: for each moment of the pod's life and each resource, how many."""


def first_fit(
    wanted: Sequence[Wanted],
    others: Sequence[Other],
    options: Sequence[Sequence[Option]],
    capacity: Mapping[str, int],
    budget: Budget,
    most: Sequence[int] | None = None,
) -> list[int] | None:
    """The first combination of choices, left to right, that fits; of its offers the best that fit, left to right.

    *options*: for each of *wanted*, by choice, and of a choice the best first.  Returns the place of one option for
    each.  None where no combination fits, or only
    one that comes after *most*, the choices that another pool can serve.
    """
    if len(wanted) == 1 and not others:
        choices = wanted[0].request.choices
        fitting = (place for place, (i, o) in enumerate(options[0]) if choices[i].count <= capacity[o.resource])
        first = next(fitting, None)
        return None if first is None else [first]
    result = _Search(wanted, others, options, capacity, budget, most).run()
    return None if result is None else [part.index(option) for part, option in zip(options, result, strict=True)]


class _Search:
    """Containers in order; for each the set of usages that the choices so far may lead to.

    What comes after hangs on that set alone, so a set that led nowhere is not tried again.
    """

    def __init__(
        self,
        wanted: Sequence[Wanted],
        others: Sequence[Other],
        options: Sequence[Sequence[Option]],
        capacity: Mapping[str, int],
        budget: Budget,
        most: Sequence[int] | None,
    ) -> None:
        self.wanted = wanted
        self.options = options
        self.capacity = capacity
        self.budget = budget
        self.most = most
        self.resources = {name: index for index, name in enumerate(capacity)}
        moments = _moments([*(entry.place for entry in wanted), *(entry.place for entry in others)])
        self.moments, other_moments = moments[: len(wanted)], moments[len(wanted) :]
        self.others = list(zip(others, other_moments, strict=True))
        self.count_of_moments = 1 + max(chain_of(moments), default=0)

    def run(self) -> list[Option] | None:
        start: Usage | None = (0,) * (len(self.resources) * self.count_of_moments)
        for other, moments in self.others:
            if start is not None:
                start = self._use(start, other.resource, other.count, moments)
        if start is None or self._too_much(start):
            return None
        greedy = self._greedy(start)
        if greedy is not None:
            return greedy
        return self._choose([], frozenset([start]), set())

    def _too_much(self, start: Usage) -> bool:
        """Whether the least that the containers can take is more than all that is free: no search is needed."""
        least = sum(
            min(self.wanted[number].request.choices[index].count for index, _ in options)
            for number, options in enumerate(self.options)
            if 0 in self.moments[number]
        )
        free = sum(
            self.capacity[resource] - start[self.resources[resource]]
            for resource in {offer.resource for options in self.options for _, offer in options}
        )
        return least > free

    def _use(self, usage: Usage, resource: str, count: int, moments: Iterable[int]) -> Usage | None:
        """*usage* with *count* more of *resource* at *moments*; None where the node does not have as many."""
        index = self.resources.get(resource)
        if index is None:
            return None
        most, width, after = self.capacity[resource], len(self.resources), list(usage)
        for moment in moments:
            place = moment * width + index
            after[place] += count
            if after[place] > most:
                return None
        return tuple(after)

    def _take(self, usage: Usage, number: int, option: Option) -> Usage | None:
        """*usage* after container *number* took *option*."""
        index, offer = option
        self.budget.spend(8 + len(usage) // 2 + 2 * len(self.moments[number]), FIELD)
        return self._use(usage, offer.resource, self.wanted[number].request.choices[index].count, self.moments[number])

    def _greedy(self, usage: Usage | None) -> list[Option] | None:
        """The best of all: each container has its first choice, by the best offer.  None where that does not fit."""
        result = []
        for number, options in enumerate(self.options):
            if options[0][0] != 0:
                return None
            usage = self._take(usage, number, options[0]) if usage is not None else None
            if usage is None:
                return None
            result.append(options[0])
        return result

    def _choose(
        self, chosen: list[int], usages: frozenset[Usage], dead: set[tuple[int, frozenset[Usage]]]
    ) -> list[Option] | None:
        """Choices for the containers after those of *chosen*, which may lead to any of *usages*."""
        number = len(chosen)
        if number == len(self.options):
            return self._fill(chosen)
        if (number, usages) in dead:
            return None
        last = self.most[number] if self.most is not None and chosen == list(self.most[:number]) else None
        for index in dict.fromkeys(index for index, _ in self.options[number] if last is None or index <= last):
            after = frozenset(
                taken
                for option in self.options[number]
                if option[0] == index
                for usage in usages
                if (taken := self._take(usage, number, option)) is not None
            )
            if after and (result := self._choose([*chosen, index], after, dead)) is not None:
                return result
        if last is None:  # else more than what was tried may lead somewhere
            dead.add((number, usages))
        return None

    def _fill(self, chosen: Sequence[int]) -> list[Option] | None:
        """The best offers for the choices that were *chosen*."""
        start: Usage | None = (0,) * (len(self.resources) * self.count_of_moments)
        for other, moments in self.others:
            if start is not None:
                start = self._use(start, other.resource, other.count, moments)
        dead: set[tuple[int, Usage]] = set()

        def place(number: int, usage: Usage) -> list[Option] | None:
            if number == len(chosen):
                return []
            if (number, usage) in dead:
                return None
            for option in self.options[number]:
                if option[0] == chosen[number]:
                    taken = self._take(usage, number, option)
                    if taken is not None and (rest := place(number + 1, taken)) is not None:
                        return [option, *rest]
            dead.add((number, usage))
            return None

        return place(0, start) if start is not None else None


def chain_of(moments: Iterable[Iterable[int]]) -> Iterable[int]:
    return (moment for each in moments for moment in each)


def _moments(places: Sequence[Place]) -> list[tuple[int, ...]]:
    """When each container of *places* holds what it has: 0 is the pod's main time, then one for each init container.

    An init container that is no sidecar runs alone, with the sidecars that began before it.
    """
    alone = sorted(place.index for place in places if place.init and not place.sidecar)
    time = {index: number for number, index in enumerate(alone, 1)}
    return [
        (time[place.index],)
        if place.init and not place.sidecar
        else (0, *(time[index] for index in alone if index > place.index))
        if place.init
        else (0,)
        for place in places
    ]
