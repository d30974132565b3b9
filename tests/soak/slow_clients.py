"""``python -m tests.soak.slow_clients PORT CA SOURCE COUNT KIND…``: clients that never finish, until stdin ends.

Each comes back when it was cut off.  At the end it says, for each kind, how often that was and after how many seconds
at most.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
import time
from collections import Counter

from webhook.cli.loopback import LOOPBACK

HEAD = b"POST /mutate?timeout=2s HTTP/1.1\r\nHost: webhook\r\nContent-Type: application/json\r\n"
KINDS = {
    "no handshake": None,
    "half a header": (HEAD, b"X-Slow: "),
    "a header byte by byte": (HEAD + b"X-Slow: ", b"x"),
    "a body byte by byte": (HEAD + b"Content-Length: 100000\r\n\r\n{", b" "),
    "half a body": (HEAD + b"Content-Length: 100000\r\n\r\n" + b" " * 5000, b""),
    "silent": (b"", b""),
}
"""What is sent at once, and then each second; None: not even a handshake."""


async def slow(kind: str, port: int, context: ssl.SSLContext, source: str, cuts: Counter, most: dict) -> None:
    """One client, for ever."""
    sent = KINDS[kind]
    while True:
        start = time.monotonic()
        writer = None
        try:
            reader, writer = await asyncio.open_connection(
                LOOPBACK, port, ssl=context if sent is not None else None, local_addr=(source, 0)
            )
            start = time.monotonic()
            if sent is not None:
                writer.write(sent[0])
            ended = asyncio.create_task(reader.read())
            while not (await asyncio.wait([ended], timeout=1))[0]:
                if sent is not None:
                    writer.write(sent[1])
            ended.exception()
        except OSError:
            pass
        finally:
            if writer is not None:
                writer.transport.abort()
        cuts[kind] += 1
        most[kind] = max(most[kind], time.monotonic() - start)
        await asyncio.sleep(random.uniform(0, 1))  # else all that began together come back together


async def main(port: int, ca: str, source: str, count: int, kinds: list[str]) -> None:
    """Say ``ready`` when all have begun, and the figures when stdin ends."""
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    cuts: Counter = Counter()
    most = dict.fromkeys(kinds, 0.0)
    tasks = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        tasks.append(asyncio.create_task(slow(kind, port, context, source, cuts, most)))
        await asyncio.sleep(0.005)  # not all at once: it is not the handshakes that are to be many
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps({kind: {"cut": cuts[kind], "seconds": most[kind]} for kind in kinds}), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5:]))
