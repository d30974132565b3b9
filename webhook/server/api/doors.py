"""The doors for people and their programs: preview, catalogue and fleet, typed, with OpenAPI.

They change nothing and hold nothing, but they are not needed to serve: `serve --preview` opens them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException, Query
from starlette.responses import PlainTextResponse

from webhook import __version__
from webhook.admission.preview import DEFAULT_NAMESPACE, preview
from webhook.fleet.file import DNS_LABEL
from webhook.fleet.fleet import Fleet
from webhook.fleet.listing import Known, known, offered
from webhook.server.api.views import FleetView, PreviewView, view
from webhook.server.http import App, Disconnected, Receive, Scope, Send, read_body
from webhook.server.settings import MOST_BODY


def doors(fleet: Callable[[], Fleet | None]) -> App:
    """The FastAPI application, behind a limit on the body."""
    app = FastAPI(
        title="gpu-slice",
        version=__version__,
        description="Previews of what the admission webhook would do.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )

    def current() -> Fleet:
        found = fleet()
        if found is None:
            raise HTTPException(503, "no fleet yet", headers={"Retry-After": "1"})
        return found

    @app.post("/preview")
    def post_preview(
        document: Annotated[dict[str, Any], Body(description="A pod, a workload with a pod template, or a List")],
        namespace: Annotated[
            str, Query(pattern=DNS_LABEL, description="For objects that name none")
        ] = DEFAULT_NAMESPACE,
    ) -> list[PreviewView]:
        """What the webhook would do, per object; nothing is created."""
        return [view(each) for each in preview(document, current(), namespace)]

    @app.get("/catalogue")
    def get_catalogue() -> list[Known]:
        """Every MIG profile of every GPU, with its source."""
        return list(known(current().catalogue))

    @app.get("/fleet")
    def get_fleet() -> FleetView:
        """What this cluster offers."""
        found = current()
        return FleetView(cluster=found.cluster, slices=list(offered(found)), file=found.file)

    @app.exception_handler(RecursionError)
    def too_deep(*_: object) -> PlainTextResponse:
        return PlainTextResponse("the body is nested too deeply", 400)

    return limited(app, MOST_BODY)


def limited(app: App, most: int) -> App:
    """*app*, with bodies of at most *most* bytes."""

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("POST", "PUT", "PATCH"):
            await app(scope, receive, send)
            return
        try:
            body = await read_body(scope, receive, most)
        except Disconnected:
            return
        sent = False

        async def replay() -> Any:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await app(scope, replay, send)

    return inner
