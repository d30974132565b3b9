"""The slices that a cluster offers: the fleet file, checked against the catalogue.

The webhook's answers, previews and the nodes themselves all follow from the same `Fleet`, so that they cannot disagree.
What NVIDIA's device plugin would refuse, or worse, ignore, is refused here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from webhook.documents import read as read_documents
from webhook.errors import BadDocument, BadFleet, FleetProblem
from webhook.fleet import file
from webhook.fleet.check import check_device_plugin, check_pool
from webhook.fleet.file import FleetFile
from webhook.fleet.policy import EVERYTHING, Policy, check_pools, check_slices, read_policies
from webhook.fleet.pool import Offer, Pool
from webhook.fleet.pool import build as build_pool
from webhook.slices.catalogue import BadCatalogue, Catalogue
from webhook.slices.profile import MigProfile
from webhook.slices.request import Choice

PoolOffer: TypeAlias = tuple[Pool, Offer]


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """The pools of a cluster, in order of preference."""

    cluster: str
    pools: tuple[Pool, ...]
    policies: Mapping[str, Policy]
    catalogue: Catalogue
    label_keys: frozenset[str]
    """Every label key that any pool sets.  A node of another pool does not have it."""
    file: FleetFile
    offers: tuple[PoolOffer, ...]
    """Every kind of slice with its pool, in fleet order."""
    by_profile: Mapping[MigProfile, tuple[PoolOffer, ...]]
    """The offers of a profile, under each name that a driver prints for it."""
    by_resource: Mapping[str, tuple[Pool, ...]]
    """The pools whose nodes have an extended resource."""

    def policy(self, namespace: str | None) -> Policy:
        """What pods of *namespace* may use."""
        return self.policies.get(namespace or "default") or self.policies.get("*") or EVERYTHING

    def satisfying(self, choice: Choice) -> Sequence[PoolOffer]:
        """The offers that satisfy *choice*, in fleet order."""
        if isinstance(choice.slice, MigProfile):
            offers = self.by_profile.get(choice.slice, ())
            if choice.gpu is None:
                return offers
        else:
            offers = self.offers
        return [pair for pair in offers if pair[1].satisfies(choice)]


def load(text: str | bytes, catalogue: Catalogue, *, name: str = "fleet") -> Fleet:
    """Read a fleet file.  Raises `BadFleet` with every problem; *name* is for its messages."""
    try:
        documents = read_documents(text, name=name)
    except BadDocument as error:
        raise BadFleet([FleetProblem(name, "cannot be read", str(error).rstrip("."))]) from error
    if len(documents) != 1:
        raise BadFleet([FleetProblem(name, f"has {len(documents)} documents", "Write one document with one fleet")])
    return build(file.read(documents[0].value), catalogue)


def build(fleet_file: FleetFile, catalogue: Catalogue) -> Fleet:
    """Check *fleet_file* against the catalogue, its own additions included.  Raises `BadFleet`."""
    try:
        catalogue = Catalogue.build(catalogue.file, fleet_file.catalogue)
    except BadCatalogue as bad:
        raise BadFleet([FleetProblem(f"catalogue.{bad.path}", bad.problem, bad.hint)]) from bad
    problems = list(_check_names(fleet_file))
    for index, entry in enumerate(fleet_file.pools):
        problems += check_pool(index, entry, catalogue)
    problems += check_pools(fleet_file)
    problems += check_device_plugin(fleet_file.device_plugin)
    if problems:
        raise BadFleet(problems)
    pools: list[Pool] = []
    for entry in fleet_file.pools:
        types = [catalogue.instance_types[name] for name in entry.instance_types]
        order = sum(len(pool.offers) for pool in pools)
        pools.append(build_pool(entry, catalogue.gpus[entry.gpu], types, order))
    if problems := list(check_slices(fleet_file, pools)):
        raise BadFleet(problems)
    offers = tuple((pool, offer) for pool in pools for offer in pool.offers)
    resources = dict.fromkeys(offer.resource for _, offer in offers)
    return Fleet(
        cluster=fleet_file.cluster,
        pools=tuple(pools),
        policies=read_policies(fleet_file),
        catalogue=catalogue,
        label_keys=frozenset(key for pool in pools for key in pool.labels),
        file=fleet_file,
        offers=offers,
        by_profile={
            name: tuple(pair for pair in offers if pair[1].satisfies(Choice(name))) for name in _profile_names(offers)
        },
        by_resource={
            resource: tuple(pool for pool in pools if resource in pool.largest.capacity) for resource in resources
        },
    )


def _profile_names(offers: Iterable[PoolOffer]) -> set[MigProfile]:
    """Every name by which a pod may ask for one of *offers*."""
    gpus = {gpu.name: gpu for gpu in (offer.gpu for _, offer in offers)}
    return {name for gpu in gpus.values() for name in (*(profile.profile for profile in gpu.profiles), *gpu.aliases)}


def _check_names(fleet_file: FleetFile) -> Iterator[FleetProblem]:
    seen: set[str] = set()
    for index, entry in enumerate(fleet_file.pools):
        if entry.name in seen:
            yield FleetProblem(f"pools[{index}].name", f"'{entry.name}' is the name of two pools", "Rename one")
        seen.add(entry.name)
