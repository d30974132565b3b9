"""Where pods fit, and how good that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from webhook.fit.demand import PodKind
from webhook.fit.quota import Over

Layout: TypeAlias = Mapping[str, int]
"""Slices of one GPU by name."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes of one pool and instance type, as the fleet is or with another layout."""

    pool: str
    """Of the fleet.  With another layout, it is the one that the new pool is like."""
    gpu: str
    layout: Layout
    new: bool
    """Whether the fleet has no pool with this layout yet."""
    instance_type: str
    nodes: int
    gpus: int
    dollars: float | None
    """An hour, if there are prices."""
    exact: bool
    """Whether it is proved that the pods of this pool, and those that could be there, do not fit on less."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Where the pods fit."""

    pools: tuple[Nodes, ...]
    bound: float
    """No way is better: GPUs, or dollars an hour if there are prices."""
    exact: bool
    """Whether `pools` meets the bound."""
    left: Mapping[PodKind, int]
    """Pods for which the limits of the pools that serve them leave no room: a retired pool may launch no node."""

    @property
    def nodes(self) -> int:
        return sum(each.nodes for each in self.pools)

    @property
    def gpus(self) -> int:
        return sum(each.gpus for each in self.pools)

    @property
    def dollars(self) -> float | None:
        """An hour; None without prices."""
        prices = [each.dollars for each in self.pools]
        return round(sum(filter(None, prices)), 4) if prices and None not in prices else None

    @property
    def cost(self) -> float:
        """What is as small as possible: dollars an hour, or GPUs without prices."""
        return self.gpus if self.dollars is None else self.dollars


@dataclass(frozen=True, slots=True)
class Fit:
    """The answer for one demand."""

    pods: int
    current: Answer
    """With the layouts, the limits and the quotas of the fleet."""
    over: Over
    """Pods that the quotas of their namespaces keep out."""
    unlimited: Answer
    """With its layouts alone; the same if limits and quotas suffice."""
    best: Answer
    """With the best layouts that are found, in whole nodes."""
    ideal: float
    """GPUs, or dollars an hour, if each GPU could be cut on its own and pods could span nodes: the least of all."""
    compared: tuple[str, ...]
    """The pools that new ones may be like, in fleet order: `best` is the best of their layouts of the pods' slices."""

    @property
    def fits(self) -> bool:
        return not self.current.left and not self.over

    @property
    def better(self) -> bool:
        """Whether other layouts save anything."""
        return self.best.cost < self.unlimited.cost - 1e-9
