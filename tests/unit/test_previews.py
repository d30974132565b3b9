"""Previews on the second port: what is refused, and what waits for its turn."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import weakref
from functools import cache
from threading import Event
from typing import Any

import pytest
from fastapi import HTTPException
from hypothesis import given
from hypothesis import strategies as st

from tests.pods import broken, cases, fleet_of, pod_of
from webhook.admission.contents import MOST_STRAYS
from webhook.server import settings
from webhook.server.api.app import application, open_doors
from webhook.server.api.asgi import Asgi
from webhook.server.api.previews import Previews
from webhook.server.http import Request, Response
from webhook.server.metrics import Metrics


class Body(bytearray):
    """A body that can be watched."""


def body_of(document: Any) -> bytes:
    return json.dumps(document).encode()


@cache
def door() -> Asgi:
    """The second port's application, without a network."""
    app = application(lambda: "", Metrics())
    open_doors(app, lambda: fleet_of("built-in"), Previews())
    return Asgi(app, settings.MOST_PREVIEW_BODY)


def post(body: bytes, query: bytes = b"") -> Response:
    """The answer to a preview; an exception is our own fault, a 500."""
    request = Request(0)
    request.method, request.path, request.query, request.body = b"POST", b"/preview", query, body
    request.headers = [(b"Content-Type", b"application/json")]
    return asyncio.run(door().answer(request))


ANNOTATED = '{"kind": "Pod", "metadata": {"annotations": {"gpu-slice": "1g.5gb"}}, "spec": {"containers": [%s]}}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"NaN",
        b"[NaN]",
        b'["\\ud800"]',
        b"\xff\xfe",
        b'{"a":' * 40_000,
        (ANNOTATED % r'{"name": "main", "x": "\ud800"}').encode(),
        (ANNOTATED % r'{"name": "main", "\udc00": 1}').encode(),
        (ANNOTATED % '{"name": "main", "x": "\ud800"}').encode(errors="surrogatepass"),
        (ANNOTATED % '{"name": "main", "x": NaN}').encode(),
        (ANNOTATED % '{"name": "main", "x": -Infinity}').encode(),
        (ANNOTATED % '{"name": "main", "x": 1e999}').encode(),
        (ANNOTATED % '{"name": "main", "name": "other"}').encode(),
    ],
)
def test_what_is_no_json_object_is_refused_in_plain_text(body: bytes) -> None:
    answer = post(body)
    assert answer.status in (400, 422)
    assert answer.kind.startswith(b"text/plain")
    assert len(answer.body) < 500


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_previewed_or_refused(value: object) -> None:
    assert post(body_of(value)).status in (200, 400, 413, 422)


@given(cases(), st.data())
def test_any_pod_with_something_odd_in_it_is_previewed_or_refused(case: tuple[dict, str], data: st.DataObject) -> None:
    assert post(body_of(data.draw(broken({"kind": "Pod", **case[0]})))).status in (200, 400, 413, 422)


def test_a_number_beyond_64_bits_is_previewed() -> None:
    assert post((ANNOTATED % f'{{"name": "main", "x": {10**30}}}').encode()).status == 200


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    answer = post(body_of(pod_of()), query=b"namespace=Canary%1b")
    assert (answer.status, answer.kind) == (422, b"text/plain; charset=utf-8")
    assert answer.body.startswith(b"namespace: no namespace can have this name. Write at most 63 lower-case letters")
    assert b"anary" not in answer.body


def test_an_answer_steers_no_terminal() -> None:
    answer = post(body_of({"kind": "Pod", "metadata": {"name": "\x7f\x9b\u2028\u202eé"}, "spec": {"containers": []}}))
    assert answer.body.decode("ascii").isprintable()
    assert json.loads(answer.body)[0]["name"] == "\x7f\x9b\u2028\u202eé"


def test_where_too_many_wait_a_body_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "MOST_PREVIEWS", 0)
    assert post(b"{").status == 503


def test_the_description_of_the_doors_is_ready_before_anybody_asks() -> None:
    app = application(lambda: "", Metrics())
    open_doors(app, lambda: None, Previews())
    assert app.openapi_schema is not None
    assert app.openapi_schema["paths"]["/preview"]["post"]["requestBody"]["required"]
    assert application(lambda: "", Metrics()).openapi_schema is None


def test_a_caller_that_hangs_up_leaves_no_body_in_the_queue() -> None:
    """P16."""

    async def run() -> None:
        previews, busy = Previews(), Event()
        previews.tasks.put(busy.wait)
        body = Body(body_of(pod_of()))
        watched = weakref.ref(body)
        asking = asyncio.create_task(previews.of(body, fleet_of("built-in"), "default"))
        del body
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


def test_nobody_waits_for_a_preview_when_the_program_ends() -> None:
    """P16."""
    program = (
        "import asyncio; from threading import Event; from webhook.server.api.previews import Previews\n"
        "async def run():\n"
        "    previews = Previews()\n"
        "    previews.tasks.put(Event().wait)\n"
        "    asking = asyncio.create_task(previews.of(b'{}', None, 'default'))\n"
        "    await asyncio.sleep(0)\n"
        "    previews.end()\n"
        "asyncio.run(run())\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0


def test_after_the_end_no_preview_begins() -> None:
    previews = Previews()
    previews.end()
    with pytest.raises(HTTPException, match="503"):
        asyncio.run(previews.of(b"{}", fleet_of("built-in"), "default"))


def test_a_fault_in_one_preview_leaves_the_next_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    previews = Previews()
    with monkeypatch.context() as broken_reader:
        broken_reader.setattr("webhook.server.api.previews.read_json", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            asyncio.run(previews.of(b"{}", fleet_of("built-in"), "default"))
    assert asyncio.run(previews.of(b"{}", fleet_of("built-in"), "default")).startswith(b"[")
    previews.end()


def test_a_document_with_many_pod_templates_is_refused() -> None:
    """P16."""
    document = {"kind": "Whatever", "spec": [{"spec": {"containers": []}}] * 5_000}
    previews = Previews()
    with pytest.raises(HTTPException, match="413"):
        asyncio.run(previews.of(body_of(document), fleet_of("built-in"), "default"))
    previews.end()


@pytest.mark.parametrize("inner", ["[" * 300 + "]" * 300, "[]", "{}", "1.5"])
def test_a_body_of_very_many_values_is_not_even_decoded(inner: str) -> None:
    """P16."""
    assert post(f'{{"kind": "Pod", "x": [{",".join([inner] * 60_000)}]'.encode()).status == 413


def test_previews_that_are_too_large_together_are_refused() -> None:
    """P16."""
    pod = {"kind": "Pod", "spec": {"containers": [], "x": "x" * 5_000_000}}
    assert post(body_of(pod)).status == 413
    assert post(body_of({"kind": "List", "items": [pod_of(), pod_of()]})).status == 200


def test_texts_that_stand_for_very_much_are_refused() -> None:
    """P16."""
    pod = "kind: Pod\nmetadata: {annotations: {gpu-slice: 1g.5gb}}\nspec: {containers: [{name: m}]}\n"
    text = f"{pod}x: &a {'x' * 50_000}\ny: [{'*a, ' * 50}]\n"
    assert post(body_of({"kind": "List", "items": [{"kind": "ConfigMap", "data": {"a": text}}] * 5})).status == 413


@pytest.mark.parametrize("kind", ["x" * 50_000, "List" * 10_000])
def test_however_long_names_are_an_answer_is_short(kind: str) -> None:
    """P16."""
    templates = [{"spec": {"containers": []}}] * 50
    metadata = {"name": "n" * 50_000, "namespace": "s" * 50_000}
    document: Any = {"kind": kind, "metadata": metadata, "spec": templates, "items": [{"metadata": metadata}] * 50}
    for _ in range(8):
        assert len(post(body_of(document)).body) < 200_000
        document = {"kind": "List", "items": [document]}


def test_the_annotations_of_a_notebook_are_not_multiplied() -> None:
    """P16: its controller gives them to the pods of its one template."""
    annotations = {f"a{number}": "" for number in range(20_000)}
    template = {"spec": {"containers": [{}]}}
    notebook = {"apiVersion": "kubeflow.org/v1", "kind": "Notebook", "metadata": {"annotations": annotations}}
    body = body_of(notebook | {"spec": {"template": template}, "x": [template] * 5_000})
    assert [each["template"] for each in json.loads(post(body).body)] == ["spec.template"]


def test_texts_in_a_document_have_no_more_aliases_than_one() -> None:
    """P16."""
    lists = f"l: &b [{', '.join(['*a'] * 99)}]\nm: [{', '.join(['*b'] * 200)}]"
    text = f"apiVersion: v1\nkind: Foo\nmetadata: {{gpu-slice: 1g.5gb}}\nk: &a {{x: 1}}\n{lists}"
    [result] = json.loads(post(body_of({"kind": "ConfigMap", "data": {"a": text}})).body)
    assert "cannot be read" in result["advice"][0]["message"]


def test_of_many_wrong_values_some_are_told() -> None:
    document = {"kind": "Whatever", "spec": [{"gpu-slice": "1g5gb"}] * 5_000}
    previews = Previews()
    body = asyncio.run(previews.of(body_of(document), fleet_of("built-in"), "default"))
    assert body.count(b'"outcome":"denied"') == MOST_STRAYS
    previews.end()


def test_a_search_that_takes_too_long_ends_between_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "PREVIEW", -1)
    previews = Previews()
    document = {"kind": "List", "items": [pod_of(), pod_of()]}
    with pytest.raises(HTTPException, match="503"):
        asyncio.run(previews.of(body_of(document), fleet_of("built-in"), "default"))
    previews.end()
