"""What is on the HTTPS port: ``POST /mutate`` and ``/advise``, and health for those who can only reach this port."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from webhook.errors import BadReview
from webhook.server.decide import Decide, NoFleet
from webhook.server.http import AGAIN, JSON, Refusal, Request, Response, require_json, wrong_method
from webhook.server.settings import MOST_BODY

MUTATE = "/mutate"
ADVISE = "/advise"
HEALTH = ("/healthz", "/readyz")

_READING = (b"GET", b"HEAD")
_MUTATE = MUTATE.encode()
_ADVISE = ADVISE.encode()
_HEALTH = tuple(path.encode() for path in HEALTH)


class Webhook:
    """The site of the HTTPS port."""

    most_body = MOST_BODY

    def __init__(self, decide: Decide, unready: Callable[[], str]) -> None:
        self.decide = decide
        self.unready = unready
        """Why nothing more should be sent here; empty while all is well."""

    def check(self, request: Request) -> None:
        """See `Site.check`."""
        if request.path in (_MUTATE, _ADVISE):
            if request.method != b"POST":
                raise wrong_method(b"POST")
            require_json(request)
        elif request.path in _HEALTH:
            if request.method not in _READING:
                raise wrong_method(*_READING)
        else:
            raise Refusal(404, f"nothing is here. Reviews go to {MUTATE}")
        request.headers.clear()  # they are not needed any more, and the body may take a while

    def answer(self, request: Request) -> Response:
        """See `Site.answer`."""
        if request.path == _MUTATE:
            decide: Callable[[bytes | bytearray], bytes] = self.decide
        elif request.path == _ADVISE:
            decide = self.decide.advise
        else:
            return health(request.path, self.unready())
        try:
            answer = decide(request.body)
        except BadReview as error:
            raise Refusal(400, str(error)) from None
        except NoFleet:
            raise Refusal(503, "no fleet yet", close=True, headers=AGAIN) from None
        waited = monotonic() - request.begun
        if waited > 1 and late(request.query, waited):
            raise Refusal(503, "the caller does not wait any more", close=True, headers=AGAIN)
        return Response(200, answer, JSON)


def late(query: bytes, waited: float) -> bool:
    """Whether the caller, who says ``timeout=2s``, has given up after *waited* seconds."""
    for field in query.split(b"&"):
        name, _, value = field.partition(b"=")
        if name == b"timeout" and value[-1:] == b"s" and value[:-1].isdigit():
            return waited >= int(value[:-1][:9])
    return False


def health(path: bytes, unready: str) -> Response:
    """``/healthz``: the process answers.  ``/readyz``: reviews should be sent to it."""
    if path == b"/readyz" and unready:
        return Response(503, unready.encode())
    return Response(200, b"ok")
