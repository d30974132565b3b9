"""The slices that a cluster offers: the fleet file, checked against the catalogue.

The webhook's answers, previews and the nodes themselves all follow from the same `Fleet`, so that they cannot disagree.
What NVIDIA's device plugin would refuse, or worse, ignore, is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from webhook.documents import read as read_documents
from webhook.errors import BadDocument, BadFleet, FleetProblem, quote
from webhook.fleet import draft
from webhook.fleet.check import check_device_plugin, check_pool, check_prices
from webhook.fleet.draft import Draft
from webhook.fleet.file import FleetFile, PoolEntry
from webhook.fleet.policy import (
    EVERYTHING,
    Policy,
    check_defaults,
    check_pools,
    check_quotas,
    check_slices,
    read_policies,
)
from webhook.fleet.pool import Offer, Pool, labels_of
from webhook.fleet.pool import build as build_pool
from webhook.fleet.shadow import check_modes
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
    file: FleetFile
    offers: tuple[PoolOffer, ...]
    """Every kind of slice with its pool, in fleet order.  Retired pools offer none."""
    by_profile: Mapping[MigProfile, tuple[PoolOffer, ...]]
    """The offers of a profile, under each name that a driver prints for it."""
    by_resource: Mapping[str, tuple[Pool, ...]]
    """The pools whose nodes have an extended resource, also the retired ones."""
    before: Fleet | None = None
    """The same before its pools were retired, if any is: what admitted pods may have got."""
    webhook_namespace: str = "gpu-slice"
    """Where gpu-slice is installed.  Only what is rendered names it."""

    def policy(self, namespace: str | None) -> Policy:
        """What pods of *namespace* may use."""
        return self.policies.get(namespace or "default") or self.policies.get("*") or EVERYTHING

    def enforced(self) -> Fleet:
        """The same with nothing in shadow, for who asks what would be."""
        live = {name: replace(policy, mode="enforce", shadow=frozenset()) for name, policy in self.policies.items()}
        return replace(self, policies=live)

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
    if reread := documents[0].reread:
        raise BadFleet(
            [
                FleetProblem(f"line {line}", f"YAML reads the key {quote(key)} as {quote(read)}", "Put it in quotes")
                for line, key, read in reread
            ]
        )
    return build(draft.read(documents[0].value), catalogue)


def build(read: Draft, built_in: Catalogue) -> Fleet:
    """Check *read* against the catalogue, its own additions included.  Raises `BadFleet` with every problem."""
    problems, own, catalogue = list(read.problems), read.catalogue, built_in
    try:
        if own is not None:
            own = own.model_copy(update={"gpus": dict(sorted(own.gpus.items()))})  # messages list them in this order
            catalogue = Catalogue.build(built_in.file, own)
    except BadCatalogue as bad:
        problems.append(FleetProblem(f"catalogue.{bad.path}", bad.problem, bad.hint))
        own = None
    problems += _check_names(read.names)
    found: list[tuple[int, FleetProblem]] = []
    for index, entry in read.pools.items():
        # What a catalogue that cannot be read would have added is not known.
        if own is not None or (
            entry.gpu in catalogue.gpus and catalogue.instance_types.keys() >= {*entry.instance_types}
        ):
            checked = check_pool(index, entry, catalogue, partial=index in read.partial)
            found += ((index, problem) for problem in checked)
    problems = list(dict.fromkeys([*problems, *_where_written(found, read)]))
    problems += check_pools(read)
    problems += _check_operator(read.pools)
    problems += _check_node_pools(read.pools)
    if own is not None:
        problems += check_prices(read.prices, catalogue)
    if read.device_plugin is not None:
        problems += check_device_plugin(read.device_plugin)
    fleet_file = read.file
    if problems or fleet_file is None:
        raise BadFleet([*problems, *check_slices(read.namespaces, None)])
    pools: list[Pool] = []
    keys = {
        key for entry in fleet_file.pools for key in (*labels_of(entry, catalogue.gpus[entry.gpu]), *entry.node_labels)
    }
    order = 0
    for entry in fleet_file.pools:
        types = [catalogue.instance_types[name] for name in entry.instance_types]
        pools.append(build_pool(entry, catalogue.gpus[entry.gpu], types, order, keys))
        order += len(pools[-1].offers)
    policies = read_policies(fleet_file, pools)
    problems = [*check_slices(read.namespaces, pools), *check_defaults(policies, pools)]
    modes = dict.fromkeys(_where_written(list(check_modes(fleet_file)), read))
    if problems := [*problems, *check_quotas(read.namespaces, policies, pools), *modes]:
        raise BadFleet(problems)
    offers = tuple((pool, offer) for pool in pools for offer in pool.offers)
    resources = dict.fromkeys(offer.resource for _, offer in offers)
    before = Fleet(
        cluster=fleet_file.cluster,
        pools=tuple(pools),
        policies=policies,
        catalogue=catalogue,
        file=fleet_file,
        offers=offers,
        by_profile=_by_profile(offers),
        by_resource={
            resource: tuple(pool for pool in pools if resource in pool.largest.capacity) for resource in resources
        },
    )
    offered = tuple(pair for pair in offers if not pair[0].entry.retired)
    if len(offered) == len(offers):
        return before
    return replace(before, offers=offered, by_profile=_by_profile(offered), before=before)


def _by_profile(offers: Sequence[PoolOffer]) -> dict[MigProfile, tuple[PoolOffer, ...]]:
    return {name: tuple(pair for pair in offers if pair[1].satisfies(Choice(name))) for name in _profile_names(offers)}


def _profile_names(offers: Iterable[PoolOffer]) -> set[MigProfile]:
    """Every name by which a pod may ask for one of *offers*."""
    gpus = {gpu.name: gpu for gpu in (offer.gpu for _, offer in offers)}
    return {name for gpu in gpus.values() for name in (*(profile.profile for profile in gpu.profiles), *gpu.aliases)}


def _where_written(found: Sequence[tuple[int, FleetProblem]], read: Draft) -> Iterator[FleetProblem]:
    """What was *found* wrong with pools, by index; as a problem of `defaults` if its field is inherited from there.

    Where it is wrong for some of the pools that inherit it, it says for which.
    """
    told: dict[FleetProblem, set[int]] = {}
    for index, problem in found:
        if field := _inherited_field(problem, read.inherited.get(index, ())):
            problem = replace(problem, path=f"defaults.{problem.path[problem.path.index(field) :]}")
        told.setdefault(problem, set()).add(index)
    for problem, indexes in told.items():
        field = re.split(r"[.[]", problem.path.removeprefix("defaults."), maxsplit=1)[0]
        heirs = {index for index in read.pools if field in read.inherited.get(index, ())}
        if problem.path.startswith("defaults.") and indexes < heirs:
            names = ", ".join(quote(read.pools[index].name) for index in sorted(indexes))
            hint = f"{problem.hint}, or give the pool its own '{field}'"
            problem = replace(problem, problem=f"{problem.problem} (pool {names})", hint=hint)
        yield problem


def _inherited_field(problem: FleetProblem, inherited: Container[str]) -> str:
    """The field of a pool that *problem* is about, if it is *inherited*; else empty."""
    field = re.match(r"pools\[\d+\]\.([A-Za-z]+)", problem.path)
    return field[1] if field is not None and field[1] in inherited else ""


def _check_operator(pools: Mapping[int, PoolEntry]) -> Iterator[FleetProblem]:
    by_operator = [(index, entry.strategy) for index, entry in pools.items() if entry.by_operator]
    for index, strategy in by_operator:
        if strategy != by_operator[0][1]:
            yield FleetProblem(
                f"pools[{index}].strategy",
                f"the GPU Operator has one strategy for the whole cluster, and pools[{by_operator[0][0]}] has another",
                f"Write '{by_operator[0][1]}', or 'partitionedBy: boot'",
            )


def _check_node_pools(pools: Mapping[int, PoolEntry]) -> Iterator[FleetProblem]:
    """All nodes of a NodePool are cut alike, so it belongs to one pool."""
    owners = {entry.name: index for index, entry in pools.items() if entry.nodes == "karpenter"}
    for index, entry in pools.items():
        for place, name in enumerate(entry.node_pools or ()):
            if name in owners:
                where = f"pools[{index}].nodePools[{place}]"
                yield FleetProblem(
                    where, f"NodePool '{name}' belongs to pools[{owners[name]}]", "Name another NodePool"
                )
            owners.setdefault(name, index)


def _check_names(names: Sequence[str | None]) -> Iterator[FleetProblem]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield FleetProblem(f"pools[{index}].name", f"{quote(name)} is the name of two pools", "Rename one")
        elif name is not None:
            seen.add(name)
