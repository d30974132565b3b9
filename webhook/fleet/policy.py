"""What a namespace may use."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_

from webhook.errors import Denial, FleetProblem, quote
from webhook.fleet.draft import Draft
from webhook.fleet.file import FleetFile, Mode, NamespaceEntry, path
from webhook.fleet.pool import Offer, Pool
from webhook.fleet.shadow import pools_in_shadow
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
    offers: int = -1
    """The offers of the fleet that `slices` allows, each by its order: bit 0 is for the first one."""
    mode: Mode = "enforce"
    shadow: frozenset[str] = frozenset()
    """Names of the pools that are in shadow for its pods: all of them, if the namespace is."""

    @property
    def limited(self) -> bool:
        """Whether there are pools or slices that it does not permit."""
        return self.pools is not None or self.slices is not None

    def permits(self, pool: Pool, offer: Offer) -> bool:
        """Whether the namespace may use *offer* of *pool*."""
        return (self.pools is None or pool.name in self.pools) and bool(self.offers >> offer.order & 1)


EVERYTHING = Policy()


def read_policies(fleet_file: FleetFile, pools: Sequence[Pool]) -> dict[str, Policy]:
    """The policies of a file that has been checked, for its *pools*.

    Without shadow, namespaces without an entry need none.
    """
    offers_of = _offers_by_choice(pools)
    every = frozenset(pool.name for pool in fleet_file.pools)
    shadow = frozenset(pools_in_shadow(fleet_file))

    def policy(entry: NamespaceEntry) -> Policy:
        slices = None if entry.slices is None else tuple(filter(None, map(_choice, entry.slices)))
        offers = -1 if slices is None else reduce(or_, map(offers_of, slices), 0)
        named = None if entry.pools is None else frozenset(entry.pools)
        mode = entry.mode or fleet_file.mode
        return Policy(named, slices, entry.default, offers, mode, every if mode == "shadow" else shadow)

    entries = fleet_file.namespaces
    if shadow or fleet_file.mode == "shadow":
        entries = {"*": NamespaceEntry(), **entries}
    return {name: policy(entry) for name, entry in entries.items()}


def _offers_by_choice(pools: Sequence[Pool]) -> Callable[[Choice], int]:
    """The offers of *pools* that satisfy a choice, as in `Policy.offers`.  Many namespaces have the same choices."""
    offers = [offer for pool in pools for offer in pool.offers]
    return cache(lambda choice: sum(1 << offer.order for offer in offers if offer.satisfies(choice)))


def check_pools(draft: Draft) -> Iterator[FleetProblem]:
    """Pools that a namespace names and the file does not have."""
    names = dict.fromkeys(name for name in draft.names if name is not None)
    if None in draft.names or not names:
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


def check_untouched(namespaces: Mapping[str, NamespaceEntry], untouched: Collection[str]) -> Iterator[FleetProblem]:
    """What is said of *untouched* namespaces, whose pods the webhook never changes.  A quota is the API server's."""
    for namespace in sorted(namespaces.keys() & untouched):
        for field in sorted(namespaces[namespace].model_fields_set - {"quota"}):
            yield FleetProblem(
                path(("namespaces", namespace, field)),
                "has no effect, because gpu-slice never touches the pods of this namespace",
                "Remove it, and run pods that are to have slices in another namespace",
            )


def check_slices(namespaces: Mapping[str, NamespaceEntry], pools: list[Pool] | None) -> Iterator[FleetProblem]:
    """Slices that a namespace names and none of *pools* has.  None: the pools are not known, and may have any slice."""
    offers_of = _offers_by_choice(pools or ())
    known = ", ".join(dict.fromkeys(str(offer) for pool in pools or () for offer in pool.offers))
    for namespace, entry in namespaces.items():
        for index, text in enumerate(entry.slices or []):
            choice = _choice(text)
            if choice and (pools is None or offers_of(choice)):
                continue
            hint = f"The slices are {known}" if pools is not None else "Write a profile such as '1g.5gb', or 'shared'"
            yield FleetProblem(
                path(("namespaces", namespace, "slices", index)),
                f"{quote(text)} is not a slice of this fleet",
                _plainly(text) or hint,
            )


def check_defaults(policies: Mapping[str, Policy], pools: Sequence[Pool]) -> Iterator[FleetProblem]:
    """Defaults of *policies* that no pod could get."""
    giving = cache(lambda choice: [pair for pool in pools for pair in _giving(pool, choice)])
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
        elif not any(policy.permits(*pair) for choice in requests[0].choices for pair in giving(choice)):
            yield FleetProblem(
                where,
                f"no pool gives {quote(policy.default)} to pods of this namespace",
                _permitted(policy, [pool for pool in pools if not pool.entry.retired]),
            )


def check_retired(policies: Mapping[str, Policy], pools: Sequence[Pool]) -> Iterator[FleetProblem]:
    """Namespaces that may use retired pools alone: nothing is wrong, but their pods are denied."""
    for namespace, policy in policies.items():
        permitted = [pool for pool in pools if any(policy.permits(pool, offer) for offer in pool.offers)]
        if policy.limited and permitted and all(pool.entry.retired for pool in permitted):
            yield FleetProblem(
                path(("namespaces", namespace)),
                f"every pool that it may use is retired ({', '.join(pool.name for pool in permitted)}), so its pods get"
                " no slices",
                "Add a pool, or remove the namespace's limits",
            )


def check_quotas(
    namespaces: Mapping[str, NamespaceEntry], policies: Mapping[str, Policy], pools: Sequence[Pool]
) -> Iterator[FleetProblem]:
    """Counts of *namespaces* that no ResourceQuota can say: it counts a resource, in a namespace."""
    for namespace, entry in namespaces.items():
        counted: dict[str, str] = {}
        for text in entry.quota:
            where, resources = (
                path(("namespaces", namespace, "quota", text)),
                resources_of(text, policies[namespace], pools),
            )
            if namespace == "*":
                yield FleetProblem(where, "a quota is of one namespace, and '*' is none", "Give it to each by its name")
            elif not resources:
                yield FleetProblem(
                    where,
                    f"{quote(text)} is not a slice that this namespace may use",
                    _plainly(text) or f"{_permitted(policies[namespace], pools)}; of others it gets none",
                )
            elif len(resources) > 1:
                yield FleetProblem(
                    where,
                    f"'{text}' is {' and '.join(resources)}, depending on the pool, and a quota counts each by itself",
                    "Name the pools of one of them in the namespace's 'pools'",
                )
            elif resources[0] in counted:
                yield FleetProblem(
                    where,
                    f"'{text}' and '{counted[resources[0]]}' are both {resources[0]}, which a quota counts together",
                    "Give one count for both",
                )
            else:
                counted[resources[0]] = text


def resources_of(text: str, policy: Policy, pools: Iterable[Pool]) -> list[str]:
    """The resources of the slice *text* in those of *pools* that *policy* permits; empty if they have no such slice."""
    choice = _choice(text)
    pairs = ((pool, offer) for pool in pools for offer in pool.offers if choice is not None and offer.satisfies(choice))
    return list(dict.fromkeys(offer.resource for pool, offer in pairs if policy.permits(pool, offer)))


def _permitted(policy: Policy, pools: Iterable[Pool]) -> str:
    """What to write instead of a slice that *policy* does not permit in *pools*."""
    pairs = ((pool, offer) for pool in pools for offer in pool.offers)
    slices = dict.fromkeys(str(offer) for pool, offer in pairs if policy.permits(pool, offer))
    return f"Write one of {', '.join(slices)}" if slices else "Remove it: the namespace may use no slice"


def _giving(pool: Pool, choice: Choice) -> Iterator[tuple[Pool, Offer]]:
    """The offers from which a pod can get *choice* on a node of *pool*."""
    if pool.entry.retired:
        return
    for offer in pool.offers:
        most = 1 if choice.slice == SHARED else pool.largest.capacity[offer.resource]
        if choice.count <= most and offer.satisfies(choice):
            yield pool, offer


def _plainly(text: str) -> str:
    """What to write for a slice that is named by its resource, or of one GPU; empty where *text* is neither."""
    slice, at, _ = text.partition("@")
    if at and _choice(slice):
        return f"Write '{slice}': '@' is for annotations, and here 'pools' names the GPUs"
    resource = text.removeprefix("requests.").removeprefix("nvidia.com/")
    slice = "shared" if resource == "gpu.shared" else resource.removeprefix("mig-").replace(".me", "+me", 1)
    return f"Write '{slice}'" if slice != text and _choice(slice) else ""


def _choice(text: str) -> Choice | None:
    """The slice that *text* names; None if `check_slices` refuses it."""
    if text == str(SHARED):
        return Choice(SHARED)
    try:
        return Choice(MigProfile.parse(text))
    except BadProfile:
        return None
