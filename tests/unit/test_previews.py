"""Previews on the second port: what waits for its turn."""

from __future__ import annotations

import asyncio
import gc
import weakref
from threading import Event

from tests.pods import fleet_of, pod_of
from webhook.server.api.previews import Previews


class Document(dict):
    """A document that can be watched."""


def test_a_caller_that_hangs_up_leaves_no_document_in_the_queue() -> None:
    """P16."""

    async def run() -> None:
        previews, busy = Previews(), Event()
        previews.threads.submit(busy.wait)
        document = Document(pod_of())
        watched = weakref.ref(document)
        asking = asyncio.create_task(previews.of(document, fleet_of("built-in"), "default"))
        del document
        await asyncio.sleep(0)
        assert watched() is not None
        asking.cancel()
        await asyncio.wait([asking])
        del asking
        gc.collect()
        assert watched() is None
        busy.set()
        previews.end()

    asyncio.run(run())
