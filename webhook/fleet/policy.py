"""What a namespace may use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from webhook.errors import Denial, FleetProblem, quote
from webhook.fleet.draft import Draft
from webhook.fleet.file import FleetFile, Mode, NamespaceEntry, path
from webhook.fleet.pool import Offer, Pool
from webhook.slices.profile import BadProfile, MigProfile
from webhook.slices.request import SHARED, Choice, parse
from webhook.slices.suggest import nearest


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """What pods of a namespace may use.  Only advice: the webhook does not see a pod that names the resource itself."""

    pools: frozenset[str] | None = None
    slices: tuple[Choice, ...] | None = None
    default: str | None = None
    """The value of the annotation for pods without it that ask for one whole GPU."""
    mode: Mode = "enforce"
    shadow: frozenset[str] = frozenset()
    """Names of the pools that are in shadow for its pods: all of them, if the namespace is."""

    @property
    def limited(self) -> bool:
        """Whether there are pools or slices that it does not permit."""
        return self.pools is not None or self.slices is not None

    def permits(self, pool: Pool, offer: Offer) -> bool:
        """Whether the namespace may use *offer* of *pool*."""
        if self.pools is not None and pool.name not in self.pools:
            return False
        if self.slices is None:
            return True
        return any(offer.satisfies(choice) for choice in self.slices)


EVERYTHING = Policy()


def read_policies(fleet_file: FleetFile) -> dict[str, Policy]:
    """The policies of a file that has been checked.  Without shadow, namespaces without an entry need none."""
    every = frozenset(pool.name for pool in fleet_file.pools)
    shadow = frozenset(pool.name for pool in fleet_file.pools if pool.mode == "shadow")
    entries = fleet_file.namespaces
    if shadow or fleet_file.mode == "shadow":
        entries = {"*": NamespaceEntry(), **entries}
    return {
        name: Policy(
            pools=None if entry.pools is None else frozenset(entry.pools),
            slices=None if entry.slices is None else tuple(filter(None, map(_choice, entry.slices))),
            default=entry.default,
            mode=(mode := entry.mode or fleet_file.mode),
            shadow=every if mode == "shadow" else shadow,
        )
        for name, entry in entries.items()
    }


def check_pools(draft: Draft) -> Iterator[FleetProblem]:
    """Pools that a namespace names and the file does not have."""
    names = [name for name in draft.names if name is not None]
    if len(names) < len(draft.names) or not names:
        return  # it may be the one whose name cannot be read
    for namespace, entry in draft.namespaces.items():
        for index, name in enumerate(entry.pools or []):
            if name not in names:
                suggestion = nearest(name, names)
                yield FleetProblem(
                    path(("namespaces", namespace, "pools", index)),
                    f"{quote(name)} is not a pool of this fleet",
                    f"Write '{suggestion}'" if suggestion else f"The pools are {', '.join(names)}",
                )


def check_slices(namespaces: Mapping[str, NamespaceEntry], pools: list[Pool] | None) -> Iterator[FleetProblem]:
    """Slices that a namespace names and none of *pools* has.  None: the pools are not known, and may have any slice."""
    offers = [offer for pool in pools or () for offer in pool.offers]
    known = ", ".join(dict.fromkeys(map(str, offers)))
    for namespace, entry in namespaces.items():
        for index, text in enumerate(entry.slices or []):
            choice = _choice(text)
            if choice and (pools is None or any(offer.satisfies(choice) for offer in offers)):
                continue
            yield FleetProblem(
                path(("namespaces", namespace, "slices", index)),
                f"{quote(text)} is not a slice of this fleet",
                f"The slices are {known}" if pools is not None else "Write a profile such as '1g.5gb', or 'shared'",
            )


def check_defaults(policies: Mapping[str, Policy], pools: Sequence[Pool]) -> Iterator[FleetProblem]:
    """Defaults of *policies* that no pod could get."""
    for namespace, policy in policies.items():
        if policy.default is None:
            continue
        where = path(("namespaces", namespace, "default"))
        try:
            requests = parse(policy.default)
        except Denial as denial:
            yield FleetProblem(where, denial.problem, denial.hint)
            continue
        if requests[0].container is not None:
            yield FleetProblem(where, f"{quote(policy.default)} names a container", "Write the slice alone")
        elif not any(_gives(policy, pool, choice) for choice in requests[0].choices for pool in pools):
            yield FleetProblem(
                where,
                f"no pool gives {quote(policy.default)} to pods of this namespace",
                "Write a slice that the namespace may use (gpu-slice profiles lists them)",
            )


def _gives(policy: Policy, pool: Pool, choice: Choice) -> bool:
    """Whether a pod of a namespace with *policy* can get *choice* on a node of *pool*."""
    return any(
        offer.satisfies(choice)
        and policy.permits(pool, offer)
        and (choice.count == 1 if choice.slice == SHARED else choice.count <= pool.largest.capacity[offer.resource])
        for offer in pool.offers
    )


def _choice(text: str) -> Choice | None:
    """The slice that *text* names; None if `check_slices` refuses it."""
    if text == str(SHARED):
        return Choice(SHARED)
    try:
        return Choice(MigProfile.parse(text))
    except BadProfile:
        return None
