"""Chooses one option for each container, so that one node of a pool has room for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TypeAlias

from webhook.admission.containers import Other, Wanted
from webhook.admission.pod import Place
from webhook.budget import Budget
from webhook.fleet.pool import Offer
from webhook.slices.request import FIELD

Option: TypeAlias = tuple[int, Offer]
"""A choice by its index, and an offer that satisfies it."""

Usage: TypeAlias = tuple[int, ...]
"""How much of a node is in use: a number for each moment of the pod's life and each resource."""


def first_fit(
    wanted: Sequence[Wanted],
    others: Sequence[Other],
    options: Sequence[Sequence[Option]],
    capacity: Mapping[str, int],
    budget: Budget,
    most: Sequence[int] | None = None,
) -> list[int] | None:
    """The first combination of choices that fits, left to right, with the best offers that fit, left to right.

    *options*: those of each container, by choice, the best offer first.  Returns the index of one option for each
    container; None if no combination fits, or only one that comes after *most*, the choices that another pool can
    serve.
    """
    if len(wanted) == 1 and not others:
        choices = wanted[0].request.choices
        fitting = (index for index, (i, o) in enumerate(options[0]) if choices[i].count <= capacity[o.resource])
        first = next(fitting, None)
        return None if first is None else [first]
    result = _Search(wanted, others, options, capacity, budget, most).run()
    return None if result is None else [part.index(option) for part, option in zip(options, result, strict=True)]


class _Search:
    """Goes through the containers in order, with the set of usages that the choices so far may lead to.

    The rest of the search depends only on that set, so a set that led nowhere is not tried again.
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
        start: Usage | None = (0,) * (len(capacity) * (1 + max(chain.from_iterable(moments), default=0)))
        for other, times in zip(others, other_moments, strict=True):
            if start is not None:
                start = self._use(start, other.resource, other.count, times)
        self.start = start
        """With what the other containers use; None if the node does not have it."""

    def run(self) -> list[Option] | None:
        start = self.start
        if start is None or self._too_much(start):
            return None
        greedy = self._greedy(start)
        if greedy is not None:
            return greedy
        return self._choose([], frozenset([start]), set())

    def _too_much(self, start: Usage) -> bool:
        """Whether even the smallest choices need more than is free, so that no search is needed."""
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
        """*usage* with *count* more of *resource* at *moments*; None if the node does not have as many."""
        index = self.resources.get(resource)
        if index is None:
            return None
        most, width, after = self.capacity[resource], len(self.resources), list(usage)
        for moment in moments:
            position = moment * width + index
            after[position] += count
            if after[position] > most:
                return None
        return tuple(after)

    def _take(self, usage: Usage, number: int, option: Option) -> Usage | None:
        """*usage* with *option* for container *number*."""
        index, offer = option
        self.budget.spend(12 + len(usage) + 3 * len(self.moments[number]), FIELD)
        return self._use(usage, offer.resource, self.wanted[number].request.choices[index].count, self.moments[number])

    def _greedy(self, usage: Usage | None) -> list[Option] | None:
        """The best result: every container has its first choice, from the best offer.  None if that does not fit."""
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
        """Options for all containers.  *chosen*: the choices of the first of them, which lead to one of *usages*."""
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
        if last is None:  # else not all choices were tried
            dead.add((number, usages))
        return None

    def _fill(self, chosen: Sequence[int]) -> list[Option] | None:
        """The best offers for the *chosen* choices."""
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

        return place(0, self.start) if self.start is not None else None


def _moments(places: Sequence[Place]) -> list[tuple[int, ...]]:
    """When each container of *places* holds its slices: 0 is the pod's main time, then one moment per init container.

    An init container that is not a sidecar runs alone, with the sidecars that started before it.
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
