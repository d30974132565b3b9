"""What serving costs: processor time of the server, bytes on the wire, connections."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import pods, programs, servers
from bench.fleets import FREE, OWN, SLICED, fleet_file
from tests.cluster.programs import BuildError
from tests.soak.caller import Caller, together
from tests.soak.replicas import Replicas
from webhook.cli.loopback import LOOPBACK, certify

Rows = list[dict[str, Any]]

SECONDS = 3.0
CONNECTIONS = 8
REPLICAS = 3
RATE = 300
"""Reviews a second of all API servers together: what two cores can send and answer beside each other."""
IN_FLIGHT = 200
"""Reviews at once of one API server: what it takes that changes something (``--max-mutating-requests-inflight``)."""
BURST = 2_000
"""Reviews of the burst, of all API servers together."""
LARGE = (500, 2_000)
"""Pools and namespaces."""


def in_namespace(review: bytes, namespace: str) -> bytes:
    """*review*, of a pod of another namespace."""
    return review.replace(b'"namespace":"team-a"', b'"namespace":"%s"' % namespace.encode())


def review(folder: Path, tls: Path) -> Rows:
    """One replica, kept-alive connections, no two reviews alike."""
    small = pods.review_of(pods.small())
    large = folder / "fleet.yaml"
    large.write_text(fleet_file(*LARGE))
    several = f"{LARGE[0]} pools, {LARGE[1]:,} namespaces"
    kinds: list[tuple[str, bytes, Path | None]] = [("a small pod", small, None)]
    try:
        kinds.append(("a pod with every field filled", pods.review_of(pods.full()), None))
    except BuildError as error:
        raise SystemExit(str(error)) from error
    kinds += [
        (f"{several}: a namespace without an entry", in_namespace(small, FREE), large),
        (f"{several}: one with three pools", in_namespace(small, OWN), large),
        (f"{several}: one with slices of all pools", in_namespace(small, SLICED), large),
    ]
    return [_review(name, body, fleet, folder, tls) for name, body, fleet in kinds]


def _review(name: str, body: bytes, fleet: Path | None, folder: Path, tls: Path) -> dict[str, Any]:
    file = folder / "review.json"
    file.write_bytes(body)
    with servers.gpu_slice(tls, None, *(("--fleet", str(fleet)) if fleet else ())) as server:
        idle, before = server.resident(), server.processor()
        done = servers.send(
            programs.load(), server.port, tls / "ca.crt", None, connections=CONNECTIONS, seconds=SECONDS, warmup=0.2,
            status=200, samples=1, targets=[{"path": "/mutate?timeout=2s", "body": str(file)}],
        )  # fmt: skip
        spent = server.processor() - before
        return {
            "pod": name,
            "bytes": len(body),
            "answerBytes": len(done["targets"][0]["samples"][0]["answered"]),
            "microseconds": round(spent / done["sent"] * 1e6, 1),
            "idleMiB": round(idle),
            "loadedMiB": round(server.resident()),
        }


def connection(folder: Path, tls: Path) -> dict[str, Any]:
    """What connections cost: each shakes hands and sends one small review, and stays."""
    count = 1_000
    body = pods.same(pods.review_of(pods.small()))
    request = b"POST /mutate?timeout=2s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    request += b"User-Agent: kube-apiserver-admission\r\nAccept: application/json, */*\r\nContent-Length: %d\r\n\r\n"
    context = ssl.create_default_context(cafile=str(tls / "ca.crt"))
    with servers.gpu_slice(tls, None) as server, ExitStack() as stack:
        idle, before = server.resident(), server.processor()
        shaken: list[ssl.SSLSocket] = []
        for _ in range(count):
            plain = socket.create_connection((LOOPBACK, server.port), timeout=20)
            shaken.append(stack.enter_context(context.wrap_socket(plain, server_hostname=LOOPBACK)))
        handshakes = server.processor() - before
        sent, received = _wire(shaken[0])
        for each in shaken:
            each.sendall(request % len(body) + body)
            each.recv(65536)
        more_sent, more_received = _wire(shaken[0])
        return {
            "connections": count,
            "handshakeMicroseconds": round(handshakes / count * 1e6),
            "handshakeBytes": sent + received,
            "reviewBytes": more_sent - sent,
            "answerBytes": more_received - received,
            "KiB": round((server.resident() - idle) * 1024 / count, 1),
        }


def _wire(connection: ssl.SSLSocket) -> tuple[int, int]:
    """The bytes that were sent and received, TLS included: ``tcpi_bytes_sent`` and ``tcpi_bytes_received``."""
    found = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return struct.unpack_from("Q", found, 200)[0], struct.unpack_from("Q", found, 128)[0]


def api_servers(folder: Path, tls: Path) -> Rows:
    """API servers' own clients, each with its pools of connections, before three replicas."""
    return [_api_servers(count, pool, folder, tls) for pool in ("service", "endpoint") for count in (1, 3, 5)]


def _api_servers(count: int, pool: str, folder: Path, tls: Path) -> dict[str, Any]:
    certify(folder / "other", "gpu-slice scale, the next")
    bundle = (tls / "ca.crt").read_bytes() + (folder / "other" / "ca.crt").read_bytes()
    with ExitStack() as stack:
        callers = [
            stack.enter_context(Caller(folder, source=f"127.0.0.{10 + each}", pool=pool, sizes=(4,)))
            for each in range(count)
        ]
        deployment = stack.enter_context(Replicas(callers, tls))
        deployment.start(REPLICAS)

        def load(**how: float) -> dict[str, Any]:
            return together([each.result() for each in [caller.load(**how) for caller in callers]])

        def dialled() -> int:
            return sum(caller.stats()["dialled"] for caller in callers)

        processes = [servers.Server(each.process.pid, each.port, 0) for each in deployment.all]
        before = sum(each.processor() for each in processes)
        steady = load(workers=50, rate=RATE / count, count=4 * RATE // count)
        spent = sum(each.processor() for each in processes) - before
        found = {"apiServers": count, "pool": pool, "dialled": dialled()}
        for caller in callers:
            caller.trust(bundle)
        renewed = load(workers=50, rate=RATE / count, count=RATE // count)
        found["dialledForNewCA"] = dialled() - found["dialled"]
        burst = load(workers=IN_FLIGHT, count=BURST // count)
        most = [sum(caller.stats()["most"].get(each.address, 0) for caller in callers) for each in deployment.all]
        shares = sorted(steady["replicas"].get(each.address, 0) for each in deployment.all)
        return found | {
            "steadyLost": steady["lost"] + renewed["lost"],
            "steadyMicroseconds": round(spent / steady["sent"] * 1e6),
            "leastShare": round(shares[0] / sum(shares), 2),
            "mostShare": round(shares[-1] / sum(shares), 2),
            "sent": steady["sent"] + renewed["sent"] + burst["sent"],
            "burstInFlight": IN_FLIGHT * count,
            "burstLost": burst["lost"],
            "burstConnections": max(most),
            "burstLongest": round(burst["latency"].get("max", 0)),
        }


def reload(folder: Path, tls: Path) -> dict[str, Any]:
    """A large fleet file that is written anew again and again, under reviews."""
    fleet = folder / "fleet.yaml"
    text = fleet_file(*LARGE)
    fleet.write_text(text)
    with Caller(folder, sizes=(4,)) as caller, Replicas([caller], tls, "--fleet", str(fleet)) as deployment:
        replica = deployment.start()
        process = servers.Server(replica.process.pid, replica.port, 0)

        def load(times: int) -> tuple[dict[str, Any], float]:
            before = process.processor()
            running = caller.load(workers=100, rate=200)
            for number in range(times):
                fleet.write_text(f"{text}# {number}\n")
                replica.wait_for("fleet taken")
            if not times:
                time.sleep(4)  # as long as it is measured
            caller.halt()
            done = running.result(timeout=60)
            return done, process.processor() - before - done["sent"] * idle_cost

        idle_cost = 0.0
        load(0)
        quiet, spent = load(0)
        idle_cost = spent / quiet["sent"]
        resident = replica.resident()
        busy, reading = load(REPLICAS)
        return {
            "reloads": REPLICAS,
            "reviews": busy["sent"],
            "lost": busy["lost"],
            "longestQuiet": round(quiet["latency"]["max"]),
            "longest": round(busy["latency"]["max"]),
            "seconds": round(reading / REPLICAS, 2),
            "MiB": round(resident),
            "mostMiB": round(replica.resident("VmHWM")),
        }
