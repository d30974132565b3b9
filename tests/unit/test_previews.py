"""Previews on the second port: what waits for its turn."""

from __future__ import annotations

import asyncio
import gc
import weakref
from threading import Event

import pytest
from fastapi import HTTPException

from tests.pods import fleet_of, pod_of
from webhook.admission.contents import MOST_STRAYS
from webhook.server import settings
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


def test_a_document_with_many_pod_templates_is_refused() -> None:
    """P16."""
    document = {"kind": "Whatever", "spec": [{"spec": {"containers": []}}] * 5_000}
    previews = Previews()
    with pytest.raises(HTTPException, match="413"):
        asyncio.run(previews.of(document, fleet_of("built-in"), "default"))
    previews.end()


def test_of_many_wrong_values_some_are_told() -> None:
    document = {"kind": "Whatever", "spec": [{"gpu-slice": "1g5gb"}] * 5_000}
    previews = Previews()
    body = asyncio.run(previews.of(document, fleet_of("built-in"), "default"))
    assert body.count(b'"outcome":"denied"') == MOST_STRAYS
    previews.end()


def test_a_search_that_takes_too_long_ends_between_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "PREVIEW", -1)
    previews = Previews()
    with pytest.raises(HTTPException, match="503"):
        asyncio.run(previews.of({"kind": "List", "items": [pod_of(), pod_of()]}, fleet_of("built-in"), "default"))
    previews.end()
