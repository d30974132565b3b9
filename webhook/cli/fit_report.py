"""How the answer of ``gpu-slice fit`` looks: for people, for programs, in one line, and as a fleet file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from webhook import documents
from webhook.admission.unoffered import listed
from webhook.cli.show import table
from webhook.fit.answer import Answer, Fit, Nodes
from webhook.fit.demand import PodKind
from webhook.fit.quota import quota_of
from webhook.fit.suggestion import key_of, names_of
from webhook.fleet.fleet import Fleet
from webhook.fleet.shadow import modes, pools_in_shadow

Names = Mapping[tuple[str, tuple[tuple[str, int], ...]], str]
"""The names of new pools: see `webhook.fit.suggestion`."""


MOST_TITLES = 5
"""Objects that are not counted and are named in the summary.  JSON names all of them."""


def as_table(fit: Fit, fleet: Fleet, denied: int, uncounted: Sequence[str] = ()) -> str:
    """Two tables, and what is proved about each."""
    return "\n".join(_lines(fit, fleet, denied, uncounted))


def _lines(fit: Fit, fleet: Fleet, denied: int, uncounted: Sequence[str] = ()) -> Iterator[str]:
    yield _verdict(fit, denied, uncounted)
    if fit.current.pools:
        yield ""
        yield from _rows(fit.current, {}, fleet)
        yield _proof(fit.current, "these layouts")
    for kind, count in fit.current.left.items():
        yield f"No room for {_count(count, 'pod')} with {_slices(kind)}, because {_why(kind, fleet)}."
    yield from kept_out(fit, fleet)
    limits = ["limits"] if not all(_retired(kind, fleet) for kind in fit.current.left) else []
    if reasons := limits + ["quotas"] * bool(fit.over):
        yield f"Without {' and '.join(reasons)} they would take {_amount(fit.unlimited)}."
    if not fit.current.pools:
        return
    yield ""
    if not fit.better:
        yield _nothing(fit)
        yield from _ideal(fit)
        return
    yield "With better layouts:"
    yield from _rows(fit.best, names_of(fit.best, fleet), fleet)
    yield _proof(fit.best, f"any {_compared(fit)}")
    yield from savings(fit)
    yield from _ideal(fit)


def kept_out(fit: Fit, fleet: Fleet) -> Iterator[str]:
    """The pods that quotas keep out, in a line each."""
    for (namespace, kind), count in fit.over.items():
        quota = ", ".join(f"{most} x {name}" for name, most in quota_of(namespace, kind, fleet).items())
        why = f"of the quota of namespace {namespace}: {quota}"
        yield f"No room for {_count(count, 'pod')} with {_slices(kind)}, because {why}."


def in_shadow(fit: Fit, fleet: Fleet) -> dict[str, int]:
    """The nodes that are counted in pools in shadow."""
    nodes = Counter[str]()
    for each in fit.current.pools:
        nodes[each.pool] += each.nodes
    return {name: nodes[name] for name in pools_in_shadow(fleet.file) if nodes[name]}


def shadows(fit: Fit, fleet: Fleet, namespaces: Iterable[str]) -> Iterator[str]:
    """What is counted and in shadow: pools, and those of *namespaces*."""
    for name, nodes in in_shadow(fit, fleet).items():
        yield f"pool {name} is in shadow: {_count(nodes, 'node')} of it counted as if it enforced"
    others, named = modes(fleet.file)
    for namespace in sorted({name for name in namespaces if named.get(name, others) == "shadow"}):
        yield f"namespace {namespace} is in shadow: its pods are counted as if it enforced"


def _ideal(fit: Fit) -> Iterator[str]:
    """What it costs that all GPUs of a node are cut alike, and that a pod is on one node."""
    if fit.ideal < fit.best.cost - 0.005:
        least = _count(int(fit.ideal), "GPU") if fit.best.dollars is None else f"{_dollars(fit.ideal)} an hour"
        yield f"If each GPU could be cut on its own, it would be at least {least}."


def savings(fit: Fit) -> Iterator[str]:
    """What better layouts save, in a line or two."""
    old, new = fit.unlimited, fit.best
    if not fit.better:
        yield _nothing(fit)
        return
    parts = [f"{_count(old.gpus - new.gpus, 'GPU')} and {_count(old.nodes - new.nodes, 'node')}"]
    if old.dollars is not None and new.dollars is not None:
        parts.insert(0, f"{_dollars(old.dollars - new.dollars)} an hour")
    yield f"That saves {', '.join(parts)}."


def _nothing(fit: Fit) -> str:
    """That other layouts save nothing, and which."""
    if not fit.compared:
        return "No layout can be compared: there is no pool that a new one with room for these pods could be like."
    return f"Other {_compared(fit)} save nothing{'' if fit.best.exact else ', as far as is known'}."


def _compared(fit: Fit) -> str:
    """Which layouts are compared."""
    return f"layouts of these slices, in new pools like {listed(list(fit.compared))},"


def _verdict(fit: Fit, denied: int, uncounted: Sequence[str]) -> str:
    left = sum(fit.current.left.values()) + sum(fit.over.values())
    if not fit.pods:
        verdict = "No pod is counted" if uncounted else "No pod asks for a slice"
    elif not left:
        verdict = f"{_count(fit.pods, 'pod')} {'fits' if fit.pods == 1 else 'fit'} on {_amount(fit.current)}"
    else:
        verdict = f"{left:,} of {_count(fit.pods, 'pod')} do not fit: {_amount(fit.current)} hold the others"
    verdict += f"; {_count(denied, 'pod')} denied" if denied else ""
    return verdict + (f"; {not_counted(uncounted)}" if uncounted else "") + "."


def not_counted(titles: Sequence[str]) -> str:
    """Which objects are not counted, though their pods ask for slices."""
    more = len(titles) - MOST_TITLES
    return f"not counted: {', '.join(titles[:MOST_TITLES])}{f', and {more:,} more' if more > 0 else ''}"


def _rows(answer: Answer, names: Names, fleet: Fleet) -> Iterator[str]:
    priced = answer.dollars is not None
    rows: list[tuple[str, ...]] = [
        ("POOL", "GPU", "EACH GPU", "INSTANCE TYPE", "NODES", "GPUS", *(("$/HOUR",) if priced else ()), "PROVED")
    ]
    rows += [
        (
            _name(each, names),
            each.gpu,
            ", ".join(f"{count} x {name}" for name, count in each.layout.items()),
            each.instance_type,
            f"{each.nodes:,}",
            f"{each.gpus:,}",
            *((_dollars(each.dollars or 0.0),) if priced else ()),
            "yes" if each.exact else "no",
        )
        for each in answer.pools
    ]
    yield from table(rows)


def _proof(answer: Answer, layouts: str) -> str:
    if answer.exact:
        return f"Proved: with {layouts} it cannot be less."
    if answer.dollars is None:
        least, more = _count(round(answer.bound), "GPU"), _count(round(answer.cost - answer.bound), "GPU")
    else:
        least, more = f"{_dollars(answer.bound)} an hour", _dollars(answer.cost - answer.bound)
    return f"Not proved: with {layouts} it is at least {least}, so {more} may be too many."


def as_short(fit: Fit, fleet: Fleet, denied: int, uncounted: Sequence[str] = ()) -> str:
    """One line."""
    text = _verdict(fit, denied, uncounted).removesuffix(".")
    if fit.current.pools:
        text += f" ({'proved' if fit.current.exact else f'at least {fit.current.bound:,.10g}'})"
    return text + (f"; better layouts: {_amount(fit.best)}" if fit.better else "")


def as_json(fit: Fit, fleet: Fleet, denied: int, uncounted: Sequence[str] = ()) -> str:
    """Everything, as JSON."""
    value = {
        "fits": fit.fits,
        "pods": fit.pods,
        "denied": denied,
        "notCounted": list(uncounted),
        **_answer(fit.current, {}),
        "left": [
            *(_left(kind, count, fleet) for kind, count in fit.current.left.items()),
            *(
                _left(kind, count, fleet) | {"namespace": namespace, "quota": quota_of(namespace, kind, fleet)}
                for (namespace, kind), count in fit.over.items()
            ),
        ],
        "inShadow": in_shadow(fit, fleet),
        "unlimited": _answer(fit.unlimited, {}),
        "best": _answer(fit.best, names_of(fit.best, fleet)),
        "saves": {
            "gpus": fit.unlimited.gpus - fit.best.gpus,
            "nodes": fit.unlimited.nodes - fit.best.nodes,
            "dollarsPerHour": _less(fit.unlimited.dollars, fit.best.dollars),
        },
        "compared": list(fit.compared),
        "leastOfAll": fit.ideal,
    }
    return json.dumps(value, indent=2)


def _left(kind: PodKind, count: int, fleet: Fleet) -> dict[str, Any]:
    return {"pods": count, "slices": {s.name: n for s, n in kind.slices}, "pools": _pools(kind, fleet)}


def _less(old: float | None, new: float | None) -> float | None:
    return None if old is None or new is None else round(old - new, 4)


def _answer(answer: Answer, names: Names) -> dict[str, Any]:
    pools: dict[str, dict[str, Any]] = {}
    for each in answer.pools:
        name = _name(each, names)
        pool = pools.setdefault(name, {
            "name": name, **({"like": each.pool} if each.new else {}), "gpu": each.gpu, "perGpu": dict(each.layout),
            "gpus": 0, "nodes": 0, "instanceTypes": {}, "exact": True,
        })  # fmt: skip
        pool["gpus"] += each.gpus
        pool["nodes"] += each.nodes
        pool["exact"] &= each.exact
        pool["instanceTypes"][each.instance_type] = pool["instanceTypes"].get(each.instance_type, 0) + each.nodes
        if each.dollars is not None:
            pool["dollarsPerHour"] = round(pool.get("dollarsPerHour", 0.0) + each.dollars, 4)
    return {
        "gpus": answer.gpus,
        "nodes": answer.nodes,
        "dollarsPerHour": answer.dollars,
        "exact": answer.exact,
        "bound": answer.bound,
        "pools": list(pools.values()),
    }


def _name(nodes: Nodes, names: Names) -> str:
    return names[key_of(nodes)] if nodes.new else nodes.pool


def as_fleet(file: dict[str, Any]) -> str:
    """The fleet file as YAML."""
    return documents.write(file)


def _amount(answer: Answer) -> str:
    """As in ``24 GPUs, 3 nodes``."""
    text = f"{_count(answer.gpus, 'GPU')}, {_count(answer.nodes, 'node')}"
    return text if answer.dollars is None else f"{text}, {_dollars(answer.dollars)} an hour"


def _pools(kind: PodKind, fleet: Fleet) -> list[str]:
    """The pools that serve *kind*."""
    return [fleet.pools[index].name for index in sorted({index for index, _ in kind.served})]


def _retired(kind: PodKind, fleet: Fleet) -> bool:
    """Whether its pools are retired: all of them, as a pod that has a pool of today gets no other."""
    return all(fleet.pools[index].entry.retired for index, _ in kind.served)


def _why(kind: PodKind, fleet: Fleet) -> str:
    """Why its pools have no room."""
    pools = _pools(kind, fleet)
    if _retired(kind, fleet):
        return f"{', '.join(pools)} {'is' if len(pools) == 1 else 'are'} retired"
    return f"of the limit of {', '.join(pools)}"


def _slices(kind: PodKind) -> str:
    return " and ".join(f"{count} x {slice.name}" for slice, count in kind.slices)


def _dollars(amount: float) -> str:
    return f"${amount:,.2f}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


Output = Callable[[Fit, Fleet, int, Sequence[str]], str]
OUTPUTS: dict[str, Output] = {"table": as_table, "json": as_json, "short": as_short}
