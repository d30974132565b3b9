"""Previews on the second port, one at a time, in a thread beside the event loop.

The loop serves reviews.  A preview holds it for no longer than the interpreter lets one thread run, 5 ms.  Nobody waits
for the thread when the program ends.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Future
from itertools import chain
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

from fastapi import HTTPException

from webhook.admission.preview import previews
from webhook.admission.review import is_too_large
from webhook.admission.workloads import Subject, subjects
from webhook.documents import read_json
from webhook.errors import BadDocument
from webhook.fleet.fleet import Fleet
from webhook.server import settings
from webhook.server.api.dry_run import dry_run
from webhook.server.api.views import view, weight

_BEGIN_VALUES = (b"\n", b",", b"[", b"{", b": ", b"- ", b"*")
"""Each value of a YAML text but the first has one of these before it."""


class Previews:
    """Makes previews, a few of them in a queue."""

    def __init__(self) -> None:
        self.tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.thread: Thread | None = None
        self.waiting = 0
        self.ended = False

    async def of(self, body: bytes, fleet: Fleet, namespace: str) -> bytes:
        """The previews of the document in *body*, as JSON.  Raises HTTPException where it cannot be read, or they are
        too many."""
        return await self._in_turn(body, lambda body: self._previews(body, fleet, namespace))

    async def page(self, body: bytes, fleet: Fleet, namespace: str, line: int, index: int | None, write: str) -> bytes:
        """The dry run of the text in *body*, as JSON: see `dry_run`."""
        return await self._in_turn(body, lambda body: self._dry_run(body, fleet, namespace, line, index, write))

    async def _in_turn(self, body: bytes, make: Callable[[bytes], bytes]) -> bytes:
        if self.ended or self.waiting >= settings.MOST_PREVIEWS:
            raise HTTPException(503, "too many previews at once", headers={"Retry-After": "1"})
        if self.thread is None:
            self.thread = Thread(target=self._work, name="preview", daemon=True)
            self.thread.start()
        self.waiting += 1
        waiting = [body]
        answer: Future[bytes] = Future()

        def task() -> None:
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(make(waiting.pop()))
                except Exception as error:
                    answer.set_exception(error)

        self.tasks.put(task)
        try:
            return await asyncio.wrap_future(answer)
        finally:
            self.waiting -= 1
            waiting.clear()  # a caller that hangs up leaves its place in the queue, and must not leave its body

    def end(self) -> None:
        """Begin none any more, and end the one that is made after its pod."""
        self.ended = True
        self.tasks.put(lambda: None)

    def _work(self) -> None:
        while not self.ended:
            self.tasks.get()()

    def _dry_run(self, body: bytes, fleet: Fleet, namespace: str, line: int, index: int | None, write: str) -> bytes:
        if sum(map(body.count, _BEGIN_VALUES)) > settings.MOST_PREVIEW_VALUES:
            raise HTTPException(413, "the text has too many values. gpu-slice preview takes any number")
        end = monotonic() + settings.PREVIEW

        def check(size: int = 0) -> None:
            _fit(size)
            self._end_by(end)

        result = dry_run(body, fleet, namespace, line, index, write, settings.MOST_PREVIEWED, check)
        answer = result.model_dump_json().encode()
        _fit(len(answer))
        return answer

    def _previews(self, body: bytes, fleet: Fleet, namespace: str) -> bytes:
        document, most = _read(body), settings.MOST_PREVIEWED
        end = monotonic() + settings.PREVIEW
        found: list[Subject] = []
        size = 0
        for subject in subjects(document):
            if len(found) == most:
                raise HTTPException(413, f"there are more than {most} pods. gpu-slice preview takes any number")
            size += weight(subject)
            _fit(2 * size)  # a short text in a document may stand for much, by its aliases
            self._end_by(end)
            found.append(subject)
        parts, size = [], 0
        for each in chain.from_iterable(previews(subject, fleet, namespace) for subject in found):
            parts.append(json.dumps(view(each).model_dump(), separators=(",", ":")).encode())
            size += len(parts[-1])
            _fit(size)
            self._end_by(end)
        return b"[" + b",".join(parts) + b"]"

    def _end_by(self, end: float) -> None:
        if self.ended or monotonic() > end:
            raise HTTPException(503, "the previews took too long. gpu-slice preview has no limit")


def _fit(size: int) -> None:
    if size > settings.MOST_PREVIEWS_BYTES:
        raise HTTPException(413, "the previews are too large. gpu-slice preview has no limit")


def _read(body: bytes) -> dict[str, Any]:
    if is_too_large(body, settings.MOST_PREVIEW_VALUES, 0):
        raise HTTPException(413, "the body has too many values. gpu-slice preview takes any number")
    try:
        document: dict[str, Any] = read_json(body, name="the body")
    except BadDocument as error:
        raise HTTPException(400, str(error)) from None
    if not isinstance(document, dict):
        raise HTTPException(422, "the body is not a JSON object. Send a pod, a workload or a List")
    return document
