"""The second port, for probes, Prometheus, people and their programs: typed, with OpenAPI.

Health and metrics are always there.  Previews, the catalogue and the fleet change nothing and hold nothing, but they
are not needed to serve: `serve --preview` opens those doors.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

from webhook import __version__
from webhook.admission.preview import DEFAULT_NAMESPACE
from webhook.fleet.file import DNS_LABEL
from webhook.fleet.fleet import Fleet
from webhook.fleet.listing import Known, known, offered
from webhook.server.api.posts import asked_as, posted_as
from webhook.server.api.previews import Previews
from webhook.server.api.site import open_page
from webhook.server.api.views import FleetView, PreviewView
from webhook.server.metrics import Metrics
from webhook.server.webhook import HEALTH, health

_DOCUMENT = {
    "description": "A pod, a workload with a pod template, or a List",
    "required": True,
    "content": {"application/json": {"schema": {"type": "object"}}},
}
"""What is posted to ``/preview``.  FastAPI would read it on the event loop."""

_WRONG = {
    "namespace": "no namespace can have this name. Write at most 63 lower-case letters, digits and '-', with a letter "
    "or digit at both ends"
}
"""What is wrong with a parameter, where people write it."""


def application(unready: Callable[[], str], metrics: Metrics) -> FastAPI:
    """Health and metrics.  *unready*: why nothing should be sent here; empty while all is well."""
    app = FastAPI(
        title="gpu-slice",
        version=__version__,
        description="Previews of what the admission webhook would do.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )

    async def get_health(request: Request) -> Response:
        answer = health(request.url.path.encode(), unready())
        return PlainTextResponse(answer.body, answer.status)

    for path in HEALTH:
        app.add_api_route(path, get_health, methods=["GET", "HEAD"], include_in_schema=False, response_model=None)

    async def get_metrics() -> Response:
        return Response(metrics.text(), media_type=metrics.content_type)

    app.add_api_route("/metrics", get_metrics, methods=["GET", "HEAD"], include_in_schema=False, response_model=None)

    @app.exception_handler(StarletteHTTPException)
    async def refuse(_: Request, error: StarletteHTTPException) -> Response:
        text = "nothing is here. Metrics are at /metrics" if error.status_code == 404 else error.detail
        return PlainTextResponse(text, error.status_code, error.headers)

    return app


def open_doors(
    app: FastAPI, fleet: Callable[[], Fleet | None], previews: Previews, hosts: Collection[str] = ()
) -> None:
    """Add previews, the catalogue, the fleet and the page to *app*, which is also called by the names *hosts*."""
    app.openapi_url = "/openapi.json"
    app.setup()
    app.router.dependencies.append(asked_as(hosts))  # of all that is added from here on

    def current() -> Fleet:
        result = fleet()
        if result is None:
            raise HTTPException(503, "no fleet yet", headers={"Retry-After": "1"})
        return result

    @app.post(
        "/preview",
        response_model=list[PreviewView],
        openapi_extra={"requestBody": _DOCUMENT},
        dependencies=[posted_as("application/json")],
    )
    async def post_preview(
        request: Request,
        namespace: Annotated[
            str, Query(pattern=DNS_LABEL, description="For objects that name none")
        ] = DEFAULT_NAMESPACE,
    ) -> Response:
        """What the webhook would do, per object; nothing is created."""
        return Response(await previews.of(await request.body(), current(), namespace), media_type="application/json")

    @app.get("/catalogue")
    async def get_catalogue() -> list[Known]:
        """Every MIG profile of every GPU, with its source."""
        return list(known(current().catalogue))

    @app.get("/fleet")
    async def get_fleet(
        namespace: Annotated[
            str, Query(pattern=DNS_LABEL, description="Whose permission the slices tell")
        ] = DEFAULT_NAMESPACE,
    ) -> FleetView:
        """What this cluster offers."""
        result = current()
        return FleetView(cluster=result.cluster, slices=list(offered(result, namespace)), file=result.file)

    open_page(app, current, previews)

    @app.exception_handler(RequestValidationError)
    async def refuse(_: Request, error: RequestValidationError) -> Response:
        """Without what was sent, which FastAPI would repeat."""
        problems = ((str(each["loc"][-1]), each["msg"]) for each in error.errors())
        return PlainTextResponse("; ".join(f"{name}: {_WRONG.get(name, text)}" for name, text in problems), 422)

    app.openapi()  # it takes as long as many reviews, so not when somebody asks for it
