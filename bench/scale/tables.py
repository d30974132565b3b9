"""The formulas, and the tables of ``docs/scale.md``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from typing import Any

from bench.report import render, replace
from bench.scale.simulation import SEATS, TIMEOUT
from webhook.budget import MOST_STEPS
from webhook.server.settings import LEAST_FILES, LEAST_MEMORY, MIB, OLDEST, Settings, limits

FIGURES = Path(__file__).with_name("figures.json")
PAGE = Path(__file__).parents[2] / "docs" / "scale.md"

HALF = 0.5
"""The share of its core that a replica may be busy, so that a burst waits little."""
CONFIG_MAP = MIB
"""Bytes that the API server takes of a ConfigMap's data (k8s.io/api ``core/v1``, ``MaxSecretSize`` has the same)."""
KUBELET = 120
"""Seconds until a kubelet has a new Secret or ConfigMap in a pod: its sync period and its cache, a minute each."""
RATES = (100, 1_000, 5_000, 20_000)

Figures = dict[str, Any]


def replicas(rate: float, cost: float, cores: float = 1) -> int:
    """The replicas for *rate* reviews a second of *cost* seconds: at most half busy, and one more; three at least."""
    return max(3, ceil(rate * cost / (HALF * cores)) + 1)


def certificate_lag() -> int:
    """Seconds from a new certificate in the Secret until no connection shows the old one."""
    return round(KUBELET + Settings.poll + OLDEST * 1.5)


def written(page: str, figures: Figures) -> str:
    """*page* with the tables of *figures*."""
    for name, table in TABLES.items():
        page = replace(page, name, table(figures))
    return replace(page, "about", figures["about"])


def _rows(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return render(head, [[f"{cell:,}" if isinstance(cell, int | float) else str(cell) for cell in row] for row in rows])


def review(figures: Figures) -> str:
    return _rows(
        ["a review of", "bytes in", "bytes out", "processor µs", "a core's reviews a second", "MiB after the load"],
        [
            (each["pod"], each["bytes"], each["answerBytes"], each["microseconds"],
             round(1e6 / each["microseconds"]), each["loadedMiB"])
            for each in figures["review"]
        ],
    )  # fmt: skip


def connection(figures: Figures) -> str:
    found = figures["connection"]
    return _rows(
        ["what", "cost"],
        [
            ("calls for a pod with the annotation", 1),
            ("calls for a pod without", 0),
            ("a TLS handshake, processor time", f"{found['handshakeMicroseconds']:,} µs"),
            ("a TLS handshake, on the wire", f"{found['handshakeBytes']:,} bytes"),
            ("a small review, on the wire", f"{found['reviewBytes']:,} bytes, and {found['answerBytes']:,} back"),
            (f"a connection, memory (of {found['connections']:,})", f"{found['KiB']} KiB"),
        ],
    )


def api_servers(figures: Figures) -> str:
    pools = {"service": "up to 1.36", "endpoint": "from 1.37"}
    return _rows(
        ["API servers", "Kubernetes", "dialled", "more for a new CA", "share of a replica", "in flight in the burst",
         "connections to one replica", "longest ms", "lost of"],
        [
            (each["apiServers"], pools[each["pool"]], each["dialled"], each["dialledForNewCA"],
             f"{each['leastShare']:.0%} to {each['mostShare']:.0%}", each["burstInFlight"], each["burstConnections"],
             each["burstLongest"], f"{each['steadyLost'] + each['burstLost']:,} of {each['sent']:,}")
            for each in figures["apiServers"]
        ],
    )  # fmt: skip


def needed(figures: Figures) -> str:
    cost = figures["review"][0]["microseconds"] / 1e6
    shares = (1, 0.25, 0.1)
    rows = [(f"{rate:,}", f"{rate * cost:.2f}", *(replicas(rate, cost, share) for share in shares)) for rate in RATES]
    return _rows(["pods a second", "cores in all", *(f"replicas with {share:g} cores each" for share in shares)], rows)


def simulation(figures: Figures) -> str:
    return _rows(
        ["reviews", "replicas", "cores each", "in flight at most", "p99 ms", "longest ms", f"after {TIMEOUT:g} s",
         "all after s"],
        [
            (each["name"], each["replicas"], each["cores"], each["seats"], each["p99Milliseconds"],
             each["longestMilliseconds"], each["tooLate"], each["seconds"])
            for each in figures["simulation"]
        ],
    )  # fmt: skip


def certificates(_: Figures) -> str:
    kubelet, poll = f"{KUBELET} s for the kubelet", f"{Settings.poll:g} s for the replica"
    dialled = f"{OLDEST:g} to {OLDEST * 1.5:g} s, then it is dialled anew"
    return _rows(
        ["what changes", "who must see it", "how long it takes", "what waits for it"],
        [
            ("a CA in `caBundle`", "each API server, by its watch", "about a second", "that CA issues 24 hours later"),
            ("the certificate in the Secret", "each replica", f"{kubelet}, {poll}", "nothing: both are trusted"),
            ("the same", "each connection", dialled, f"nothing; after {certificate_lag()} s the old one is gone"),
        ],
    ).replace("---:", "---")


def fleets(figures: Figures) -> str:
    return _rows(
        ["pools", "namespaces", "file, bytes", "of a ConfigMap", "to load, s", "MiB in a replica", "`fleet check`, s",
         "`preview`, s", "rendered, MB", "to render, s"],
        [
            (each["pools"], each["namespaces"], each["bytes"], f"{each['bytes'] / CONFIG_MAP:.0%}", each["loadSeconds"],
             each["MiB"], each["checkSeconds"], each["previewSeconds"],
             f"{sum(size for size, _ in each['rendered'].values()) / 1e6:.1f}", each["renderSeconds"])
            for each in figures["fleets"]["sizes"]
        ],
    )  # fmt: skip


def policies(figures: Figures) -> str:
    return _rows(
        ["pools", "namespaces", "`admission-policy`, bytes", "to render, s"],
        [
            (each["pools"], each["namespaces"], each["policy"]["bytes"], each["policy"]["seconds"])
            for each in figures["fleets"]["sizes"]
            if each["policy"]
        ],
    )


def limits_of_files(figures: Figures) -> str:
    """What fits into a ConfigMap, from two sizes of file."""
    smaller, larger = figures["fleets"]["sizes"][1], figures["fleets"]["sizes"][3]
    per_pool = (larger["bytes"] - smaller["bytes"]) / (larger["pools"] - smaller["pools"])
    rendered = {name: larger["rendered"][name][0] / larger["rendered"][name][1] for name in larger["rendered"]}
    return _rows(
        ["what", "bytes"],
        [
            ("a pool in the file, with four namespaces", round(per_pool)),
            *((f"a rendered document of `{name}`", round(size)) for name, size in rendered.items()),
            ("so one ConfigMap has room for so many pools", int(CONFIG_MAP / per_pool)),
        ],
    )  # fmt: skip


def decisions(figures: Figures) -> str:
    return _rows(
        ["pod", "its namespace may use", "µs", "steps of 20,000", "answer"],
        [
            (each["pod"], each["namespace"].replace("no entry", "everything"), each["microseconds"], each["steps"],
             each["answer"])
            for each in figures["fleets"]["decisions"]
        ],
    )  # fmt: skip


def reload(figures: Figures) -> str:
    found = figures["reload"]
    return _rows(
        ["what", "measured"],
        [
            (f"reviews during {found['reloads']} reloads, 200 a second", found["reviews"]),
            ("of them lost", found["lost"]),
            ("the longest answer, without a reload", f"{found['longestQuiet']:,} ms"),
            ("the longest answer, with reloads", f"{found['longest']:,} ms"),
            ("processor time of a reload", f"{found['seconds']} s"),
            ("memory before, and at most", f"{found['MiB']} MiB, {found['mostMiB']} MiB"),
        ],
    )


def commands(figures: Figures) -> str:
    found = figures["cluster"]
    return _rows(
        ["command", "processor s", "MiB at most", "kB printed"],
        [
            (f"`gpu-slice {each['command']}`", each["seconds"], each["MiB"], round(each["printed"] / 1000))
            for each in found["commands"]
        ],
    )


def first(figures: Figures) -> str:
    """Where each limit stands."""
    small, crowded = figures["review"][0]["microseconds"], figures["review"][-1]["microseconds"]
    roomy, given = limits(LEAST_MEMORY, sys.maxsize), limits(LEAST_MEMORY, LEAST_FILES)
    largest = figures["fleets"]["sizes"][-1]
    pools = int(CONFIG_MAP * largest["pools"] / largest["bytes"])
    of_three = f"{3 * HALF * 1e6 / small:,.0f} small pods a second"
    rows = [
        ("a controller's client", "20 requests a second (`--kube-api-qps`)", "that flag; on EKS it is AWS's"),
        (
            "reviews in flight of one API server",
            f"{SEATS}: 100,000 pods a second if they take 2 ms, 100 if they take 2 s",
            "quick answers; `--max-mutating-requests-inflight`",
        ),
        (
            "processors of three replicas, half busy",
            f"{of_three}; {3 * HALF * 1e6 / crowded:,.0f} by 500 pools in a namespace with slices",
            "replicas",
        ),
        (
            f"connections to a replica of {LEAST_MEMORY // MIB} MiB",
            f"{roomy.of_a_source:,} of one address, {roomy.connections:,} in all; "
            f"{given.of_a_source:,} and {given.connections:,} with {LEAST_FILES:,} file descriptors",
            "memory: five eighths of what is more than 72 MiB are for connections; then `ulimit -Hn`",
        ),
        (
            "the fleet's ConfigMap",
            f"1 MiB: {pools:,} pools with {4 * pools:,} namespaces",
            "`defaults`, and short names",
        ),
        (
            "the same, by `kubectl apply` without `--server-side`",
            f"256 KiB, of an annotation: {pools // 4:,} pools with {4 * (pools // 4):,} namespaces",
            "`--server-side`",
        ),
        ("steps of one decision", f"{MOST_STEPS:,}", "fewer containers and choices in the pod"),
    ]
    return _rows(["limit", "where it stands", "what lifts it"], rows).replace("---:", "---")


TABLES: dict[str, Callable[[Figures], str]] = {
    "first": first,
    "review": review,
    "connection": connection,
    "needed": needed,
    "simulation": simulation,
    "api-servers": api_servers,
    "certificates": certificates,
    "fleets": fleets,
    "sizes": limits_of_files,
    "policies": policies,
    "decisions": decisions,
    "reload": reload,
    "commands": commands,
}
