"""What a namespace may use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from webhook.errors import FleetProblem, quote
from webhook.fleet.file import FleetFile, path
from webhook.fleet.pool import Offer, Pool
from webhook.slices.profile import BadProfile, MigProfile
from webhook.slices.request import SHARED, Choice
from webhook.slices.suggest import nearest


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """What pods of a namespace may use.  Advice: a pod that writes the resource by hand is never seen."""

    pools: frozenset[str] | None = None
    slices: tuple[Choice, ...] | None = None

    def permits(self, where: Pool, offer: Offer) -> bool:
        """Whether the namespace may use *offer* of the pool *where*."""
        if self.pools is not None and where.name not in self.pools:
            return False
        if self.slices is None:
            return True
        return any(offer.satisfies(choice) for choice in self.slices)


EVERYTHING = Policy()


def read_policies(fleet_file: FleetFile) -> dict[str, Policy]:
    """The policies of a file that was checked."""
    return {
        name: Policy(
            pools=None if entry.pools is None else frozenset(entry.pools),
            slices=None if entry.slices is None else tuple(filter(None, map(_choice, entry.slices))),
        )
        for name, entry in fleet_file.namespaces.items()
    }


def check_pools(fleet_file: FleetFile) -> Iterator[FleetProblem]:
    """Pools that a namespace names and the file does not have."""
    names = [each.name for each in fleet_file.pools]
    for namespace, entry in fleet_file.namespaces.items():
        for index, name in enumerate(entry.pools or []):
            if name not in names:
                like = nearest(name, names)
                yield FleetProblem(
                    path(("namespaces", namespace, "pools", index)),
                    f"{quote(name)} is no pool of this fleet",
                    f"Write '{like}'" if like else f"Known are {', '.join(names)}",
                )


def check_slices(fleet_file: FleetFile, pools: list[Pool]) -> Iterator[FleetProblem]:
    """Slices that a namespace names and none of *pools* has."""
    offers = [offer for each in pools for offer in each.offers]
    known = list(dict.fromkeys(map(str, offers)))
    for namespace, entry in fleet_file.namespaces.items():
        for index, text in enumerate(entry.slices or []):
            choice = _choice(text)
            if choice and any(offer.satisfies(choice) for offer in offers):
                continue
            yield FleetProblem(
                path(("namespaces", namespace, "slices", index)),
                f"{quote(text)} is no slice of this fleet",
                f"Known are {', '.join(known)}",
            )


def _choice(text: str) -> Choice | None:
    """What *text* names; None for what `check_slices` refuses."""
    if text == str(SHARED):
        return Choice(SHARED)
    try:
        return Choice(MigProfile.parse(text))
    except BadProfile:
        return None
