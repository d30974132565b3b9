"""What a namespace may use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from webhook.errors import FleetProblem, quote
from webhook.fleet.file import FleetFile, path
from webhook.fleet.pool import Offer, Pool
from webhook.slices.profile import BadProfile, MigProfile
from webhook.slices.suggest import nearest


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """What pods of a namespace may use.  Advice: a pod that writes the resource by hand is never seen."""

    pools: frozenset[str] | None = None
    slices: tuple[MigProfile | None, ...] | None = None
    """Profiles; None among them stands for ``shared``."""

    def permits(self, where: Pool, offer: Offer) -> bool:
        """Whether the namespace may use *offer* of the pool *where*."""
        if self.pools is not None and where.name not in self.pools:
            return False
        if self.slices is None:
            return True
        if offer.name is None:
            return None in self.slices
        return any(each is not None and offer.gpu.profile(each) is offer.profile for each in self.slices)


EVERYTHING = Policy()


def read_policies(fleet_file: FleetFile) -> dict[str, Policy]:
    """The policies of a file that was checked."""
    return {
        name: Policy(
            pools=None if entry.pools is None else frozenset(entry.pools),
            slices=None if entry.slices is None else tuple(map(_slice, entry.slices)),
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
            wanted = _slice(text)
            if wanted is None and text == "shared" and any(offer.name is None for offer in offers):
                continue
            if wanted and any(offer.profile is offer.gpu.profile(wanted) for offer in offers if offer.profile):
                continue
            yield FleetProblem(
                path(("namespaces", namespace, "slices", index)),
                f"{quote(text)} is no slice of this fleet",
                f"Known are {', '.join(known)}",
            )


def _slice(text: str) -> MigProfile | None:
    """The profile that *text* names; None for ``shared``, and for what `check_slices` refuses."""
    try:
        return MigProfile.parse(text)
    except BadProfile:
        return None
