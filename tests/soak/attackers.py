"""``python -m tests.soak.attackers PORT CA KIND``: callers that want to take everything, until stdin ends.

They come from 127.0.0.2 and 127.0.0.3.  At the end they say how often they did what they do.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import struct
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path

from webhook.cli.loopback import LOOPBACK

SOURCES = ("127.0.0.2", "127.0.0.3")
HEAD = b"POST /mutate?timeout=2s HTTP/1.1\r\nHost: webhook\r\nContent-Type: application/json\r\n"

X25519, FFDHE8192 = 0x001D, 0x0104


def hello(group: int, share: int) -> bytes:
    """A ClientHello of TLS 1.3 (RFC 8446, 4.1.2) with a key share of so many random bytes: it costs no cryptography."""

    def vector(size: int, *parts: bytes) -> bytes:
        text = b"".join(parts)
        return len(text).to_bytes(size, "big") + text

    def extension(number: int, *parts: bytes) -> bytes:
        return struct.pack("!H", number) + vector(2, *parts)

    key = b"\x7f" + os.urandom(share - 1)
    extensions = [
        extension(43, vector(1, b"\x03\x04")),  # supported_versions
        extension(10, vector(2, struct.pack("!H", group))),  # supported_groups
        extension(13, vector(2, b"\x04\x03\x08\x04\x08\x07\x04\x01")),  # signature_algorithms
        extension(51, vector(2, struct.pack("!H", group), vector(2, key))),  # key_share
    ]
    body = [b"\x03\x03", os.urandom(32), vector(1), vector(2, b"\x13\x01"), vector(1, b"\0"), vector(2, *extensions)]
    return b"\x16\x03\x01" + vector(2, b"\x01" + vector(3, *body))


class Attack:
    """One kind of attack on one port."""

    def __init__(self, port: int, ca: str) -> None:
        self.port = port
        self.context = ssl.create_default_context(cafile=ca)
        self.context.check_hostname = False
        self.done: Counter[str] = Counter()

    async def dial(self, source: str, *, tls: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection from *source*."""
        context = self.context if tls else None
        return await asyncio.open_connection(LOOPBACK, self.port, ssl=context, local_addr=(source, 0))

    async def again(self, name: str, once: Callable[[], Coroutine[None, None, None]]) -> None:
        """Do it again and again, and count."""
        while True:
            try:
                await once()
                self.done[name] += 1
            except (OSError, asyncio.IncompleteReadError, EOFError):
                self.done[f"{name}, refused"] += 1
                await asyncio.sleep(0.01)

    def costly_pods(self) -> list[Coroutine[None, None, None]]:
        """Pods that are large, or hard to decide about, one after the other on each of four connections."""
        bodies = [json.dumps(review(pod)).encode() for pod in pods()]

        async def send() -> None:
            reader, writer = await self.dial(SOURCES[0])
            try:
                for body in bodies:
                    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                    await reader.readexactly(length)
            finally:
                writer.transport.abort()

        return [self.again("rounds of pods", send) for _ in range(4)]

    def costly_handshakes(self) -> list[Coroutine[None, None, None]]:
        """Handshakes that cost the server a signature, or would cost it 115 ms, and the attacker nothing."""

        def shake(group: int, share: int) -> Callable[[], Coroutine[None, None, None]]:
            async def once() -> None:
                reader, writer = await self.dial(SOURCES[0], tls=False)
                try:
                    writer.write(hello(group, share))
                    await asyncio.wait_for(reader.read(1), 5)
                finally:
                    writer.transport.abort()

            return once

        kinds = (("X25519", X25519, 32), ("ffdhe8192", FFDHE8192, 1024))
        return [self.again(name, shake(group, share)) for name, group, share in kinds for _ in range(32)]

    def held_bodies(self) -> list[Coroutine[None, None, None]]:
        """Bodies of 7 MB that come just fast enough, on a dozen connections."""

        async def hold() -> None:
            _, writer = await self.dial(SOURCES[0])
            try:
                writer.write(HEAD + b"Content-Length: 7000000\r\n\r\n")
                for _ in range(46):
                    writer.write(b" " * 150_000)
                    await writer.drain()
                    await asyncio.sleep(0.1)
                    if writer.transport.is_closing():
                        raise ConnectionError
            finally:
                writer.transport.abort()

        return [self.again("bodies", hold) for _ in range(12)]

    def greedy_addresses(self) -> list[Coroutine[None, None, None]]:
        """As many connections as there may be from two addresses, silent before or after the handshake."""

        def keep(source: str, *, tls: bool) -> Callable[[], Coroutine[None, None, None]]:
            async def once() -> None:
                reader, writer = await self.dial(source, tls=tls)
                try:
                    await asyncio.wait_for(reader.read(1), 30)
                except TimeoutError:
                    pass
                finally:
                    writer.transport.abort()
                await asyncio.sleep(1)

            return once

        return [
            self.again(f"{'idle' if tls else 'silent'} connections", keep(source, tls=tls))
            for source in SOURCES
            for tls in (True, False)
            for _ in range(700)
        ]


KINDS = {
    "costly pods": Attack.costly_pods,
    "costly handshakes": Attack.costly_handshakes,
    "held bodies": Attack.held_bodies,
    "greedy addresses": Attack.greedy_addresses,
}


def review(pod: dict) -> dict:
    """An AdmissionReview for *pod*."""
    request = {
        "uid": "an-attack",
        "operation": "CREATE",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": "team-a",
        "object": pod,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def pods() -> list[dict]:
    """Pods that anybody may make, each of which once took the server from 37 ms to a second."""

    def pod(annotation: str, count: int = 1, /, **spec: object) -> dict:
        containers = [{"name": f"c{number}"} for number in range(count)]
        return {"metadata": {"annotations": {"gpu-slice": annotation}}, "spec": {"containers": containers, **spec}}

    def affinity(terms: int, expressions: int, digits: int) -> dict:
        match = [{"key": "a", "operator": "Lt", "values": ["9" * digits]}] * expressions
        node = {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": match}] * terms
            }
        }
        return {"nodeAffinity": node}

    named = [f"c{number}=1g.5gb|2g.10gb|3g.20gb|1g.10gb" for number in range(256)]
    unknown = [f"c{number}=" + "|".join(f"1g.5gb@g{other}pu" for other in range(29)) for number in range(50)]
    many = pod("1g.5gb")
    many["metadata"]["annotations"] |= {f"gpu-slice{number}": "" for number in range(60_000)}
    limits = pod("1g.5gb")
    limits["spec"]["containers"][0]["resources"] = {
        "limits": {f"nvidia.com/mig-{number}": "1" for number in range(150_000)}
    }
    return [
        pod("a" + "1" * 32_760 + "!"),
        pod(",".join(named), 256),
        pod(",".join(unknown), 50),
        pod("1g.5gb", affinity=affinity(1, 1500, 4300)),
        pod("1g.5gb", affinity=affinity(1, 35_000, 100)),
        pod("1g.5gb", affinity=affinity(20_000, 1, 1)),
        pod("1g.5gb", nodeSelector={f"a{number}": "b" for number in range(150_000)}),
        pod("1g.5gb", tolerations=[{"key": f"a{number}", "operator": "Exists"} for number in range(65_000)]),
        limits,
        many,
    ]


async def main(port: int, ca: str, kind: str) -> None:
    """Say ``ready`` when all have begun, and what was done when stdin ends."""
    attack = Attack(port, ca)
    tasks = []
    for work in KINDS[kind](attack):
        tasks.append(asyncio.create_task(work))
        await asyncio.sleep(0.002)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(attack.done), flush=True)
    os._exit(0)  # with thousands of connections, whatever they are at


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), str(Path(sys.argv[2])), sys.argv[3]))
