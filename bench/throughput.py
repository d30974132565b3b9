"""The first table: reviews a second that one core answers, no two alike and the same again and again.

All servers run at once, each on the same core and idle until its turn; the load comes from another core.  They take
turns in each round, so that a noisy machine is unfair to all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench import pods, programs, servers, table
from bench.report import median, ratio, render
from tests.cluster.programs import BuildError

ROUNDS = 5
SECONDS = 2.0
WARM_UP = 0.3
CONNECTIONS = 8
OURS = "gpu-slice"
PROTOCOL, ASGI = "echo, bare protocol class", "echo, ASGI"
RUST, GO, RUNTIME = "Rust", "Go by hand", "Go controller-runtime"
PEERS = {RUST: programs.rust, GO: programs.go_by_hand, RUNTIME: programs.go_controller_runtime}
ECHOES = {PROTOCOL: "protocol", ASGI: "asgi"}
ALIKE, DIFFERENT = "the same again and again", "no two alike"
QUIET = 0.9
"""The share of its core that a loaded server has on a quiet machine."""
TOO_BUSY = 0.95
"""The share of its core from which the load generator, and not the server, is what was measured."""


@dataclass
class Throughput:
    """What was measured, by row and server, one entry a round."""

    rates: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Answers a second."""
    p50: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Milliseconds."""
    p99: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    costs: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Microseconds of the server's processor time for one answer."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of a review, by row."""
    missing: dict[str, str] = field(default_factory=dict)
    """Why a server is not in the table, or a row."""
    shares: list[float] = field(default_factory=list)
    """What the servers had of their core while they were loaded."""
    limited: set[tuple[str, str]] = field(default_factory=set)
    """Rows and servers of which the load generator was the limit."""
    memory: float = 0
    """MiB of our process after the load."""
    started: float = 0
    """Seconds until our process listened."""

    def record(self, row: str, server: str, figures: dict, cost: float) -> None:
        """Add one round."""
        target = figures["targets"][0]
        values = (self.rates, target["rate"]), (self.p50, target["p50"]), (self.p99, target["p99"]), (self.costs, cost)
        for series, value in values:
            series.setdefault(row, {}).setdefault(server, []).append(value)
        self.shares.append(cost * target["rate"] / 1e6)
        if figures["busy"] > TOO_BUSY:
            self.limited.add((row, server))


def measure(tls: Path, decisions: table.Table) -> Throughput:
    """Load all servers in turns.  Raises `bench.programs.NotBuilt` where there is no load generator."""
    result, folder = Throughput(), tls.parent
    generator = programs.load()
    bodies = {"small": pods.review_of(pods.small())}
    try:
        bodies["full"] = pods.review_of(pods.full())
    except BuildError as error:
        result.missing["full"] = str(error)
    path = table.write(decisions, folder / "table.json")
    with ExitStack() as stack:
        ours = stack.enter_context(servers.gpu_slice(tls))
        running = {OURS: ours}
        running |= {name: stack.enter_context(servers.echo(tls, kind)) for name, kind in ECHOES.items()}
        for name, build in PEERS.items():
            try:
                running[name] = stack.enter_context(servers.peer(build(), tls, path))
            except programs.NotBuilt as error:
                result.missing[name] = f"not built: {error}"
        for size, body in bodies.items():
            for kind, sent in ((DIFFERENT, body), (ALIKE, pods.same(body))):
                row = f"{size}, {kind}"
                result.sizes[row] = len(sent)
                file = folder / "review.json"
                file.write_bytes(sent)
                for number in range(ROUNDS):
                    for name, server in running.items():
                        before = server.processor()
                        figures = servers.send(
                            generator,
                            server.port,
                            tls / "ca.crt",
                            connections=CONNECTIONS,
                            seconds=SECONDS,
                            warmup=WARM_UP,
                            first=number << 40,
                            status=200,
                            samples=16,
                            targets=[{"path": "/mutate", "body": str(file)}],
                        )
                        cost = (server.processor() - before) / figures["sent"] * 1e6
                        result.record(row, name, figures, cost)
                        if name not in ECHOES:
                            table.check(name, figures["targets"][0]["samples"], decisions)
        result.memory, result.started = ours.resident(), ours.started
    return result


def tables(result: Throughput) -> str:
    """What was measured, as Markdown."""
    others = [*PEERS, *ECHOES]

    def grid(columns: list[str], write: Callable[[str, str], str]) -> str:
        """A cell for each row and server that was measured."""
        return render(
            ["pod", *columns],
            [
                [row, *(write(row, name) if name in rates else "–" for name in columns)]
                for row, rates in result.rates.items()
            ],
        )

    def rate(row: str, name: str) -> str:
        limited = "¹" if (row, name) in result.limited else ""
        return f"{median(result.rates[row][name]):,.0f}{limited}"

    def against(row: str, name: str) -> str:
        return f"{ratio(result.rates[row][OURS], result.rates[row][name]):.2f}"

    def latency(row: str, name: str) -> str:
        return f"{median(result.p50[row][name]):.2f} / {median(result.p99[row][name]):.2f}"

    def cost(row: str, name: str) -> str:
        return f"{median(result.costs[row][name]):,.1f}"

    def cheaper(row: str, name: str) -> str:
        return f"{ratio(result.costs[row][name], result.costs[row][OURS]):.2f}"

    parts = [
        "Reviews a second:",
        grid([OURS, *others], rate),
        "gpu-slice divided by the other, in reviews a second (the median of the rounds' ratios):",
        grid(others, against),
        "Processor time of the server for a review, in microseconds:",
        grid([OURS, *others], cost),
        "The other's processor time divided by gpu-slice's:",
        grid(others, cheaper),
        "p50 / p99 in milliseconds:",
        grid([OURS, *others], latency),
    ]
    if result.limited:
        parts.append("¹ The load generator's core was full: the server can do more.")
    if median(result.shares) < QUIET:
        parts.append(
            f"The machine was busy with other work: half of the time, a server under load had less than "
            f"{median(result.shares):.0%} of its core. Processor times suffer less from that than rates and latencies."
        )
    parts += [f"{name}: {why}." for name, why in result.missing.items()]
    sizes = ", ".join(f"{row.partition(',')[0]} {size:,}" for row, size in result.sizes.items() if DIFFERENT in row)
    parts.append(
        f"Bytes of a review: {sizes}. {ROUNDS} rounds of {SECONDS} s, {CONNECTIONS} connections, medians. gpu-slice: "
        f"{result.memory:.0f} MiB resident after the load, listening {result.started:.2f} s after its start, with the "
        "fleet loaded."
    )
    return "\n\n".join(parts)
