"""The page: a dry run in the browser.  Its files, the drawings, and the door that its editor calls.

The page asks nobody else for anything, and nothing of a pod is kept or logged.  What a person wrote stands in the
fragment of a link, which a browser does not send.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import Response

from webhook.admission.preview import DEFAULT_NAMESPACE
from webhook.draw.layout import draw
from webhook.fleet.file import DNS_LABEL
from webhook.fleet.fleet import Fleet
from webhook.server.api.posts import posted_as
from webhook.server.api.previews import Previews

FILES = Path(__file__).parent / "page"
MESSAGES = "messages.md"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
YAML = "application/yaml"
"""The kind of what the editor sends."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}
"""Of everything that the page consists of, beside `webhook.server.http.INERT`."""

OF_DRAWINGS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}
"""A drawing has a style of its own, and is an image: nothing in it runs."""

LONGEST_NAME = 253
"""Characters of a pool's name or of a resource: more than either has."""

LONGEST_WRITTEN = 4_000
"""Characters of an annotation that the page writes.  The headers of a request have room for them."""

_PARAGRAPH = re.compile(r"^### `([^`]+)`\n.*?^Why: (.*?)\n\nWhat to do: (.*?)(?=\n\n|\Z)", re.DOTALL | re.MULTILINE)


def open_page(app: FastAPI, fleet: Callable[[], Fleet], previews: Previews) -> None:
    """Add the page to *app*."""
    for path, kind, content in _files():
        _add_file(app, path, kind, content)

    @app.get("/drawing", include_in_schema=False, response_model=None)
    async def get_drawing(
        pool: Annotated[str, Query(max_length=LONGEST_NAME)],
        resource: Annotated[str, Query(max_length=LONGEST_NAME)] = "",
        count: Annotated[int, Query(ge=1, le=9_999)] = 1,
    ) -> Response:
        """One GPU of a pool, with what a pod gets marked."""
        named = next((each for each in fleet().pools if each.name == pool), None)
        if named is None:
            raise HTTPException(404, "no pool of this fleet has that name")
        drawing = draw(named, highlight=resource, count=count)
        return Response(drawing, media_type=KINDS[".svg"], headers=HEADERS | OF_DRAWINGS)

    @app.post("/dry-run", include_in_schema=False, response_model=None, dependencies=[posted_as(YAML)])
    async def post_dry_run(
        request: Request,
        namespace: Annotated[str, Query(pattern=DNS_LABEL)] = DEFAULT_NAMESPACE,
        line: Annotated[int, Query(ge=1, le=10_000_000)] = 1,
        index: Annotated[int | None, Query(ge=0, le=10_000_000)] = None,
        write: Annotated[str, Query(max_length=LONGEST_WRITTEN)] = "",
    ) -> Response:
        answer = await previews.page(await request.body(), fleet(), namespace, line, index, write)
        return Response(answer, media_type="application/json", headers=HEADERS | {"Cache-Control": "no-store"})


def _files() -> Iterator[tuple[str, str, bytes]]:
    """The path, kind and content of each file."""
    yield "/", KINDS[".html"], (FILES / "index.html").read_bytes()
    for file in sorted(FILES.iterdir()):
        if file.suffix in KINDS and file.name != "index.html":
            yield f"/page/{file.name}", KINDS[file.suffix], file.read_bytes()
    yield "/page/messages.json", KINDS[".json"], json.dumps(messages(), separators=(",", ":")).encode()


def messages() -> dict[str, list[str]]:
    """Why each code is said, and what to do: the paragraphs of ``docs/messages.md``."""
    places = (FILES / MESSAGES, FILES.parents[3] / "docs" / MESSAGES)  # as installed, and in a checkout
    text = next((place.read_text("utf-8") for place in places if place.is_file()), "")
    return {code: [" ".join(part.split()) for part in parts] for code, *parts in _PARAGRAPH.findall(text)}


def _add_file(app: FastAPI, path: str, kind: str, content: bytes) -> None:
    packed = gzip.compress(content, 9, mtime=0)
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:16]}"'  # weak: it is the same packed and unpacked
    headers = HEADERS | {"ETag": tag}

    async def get_file(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed, media_type=kind, headers=headers | {"Content-Encoding": "gzip"})
        return Response(content, media_type=kind, headers=headers)

    app.add_api_route(path, get_file, methods=["GET", "HEAD"], include_in_schema=False, response_model=None)
