"""The page without a browser: its files and their headers, and the door that its editor calls."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import logging
import re
import signal
import socket
import subprocess
import sys
from functools import cache
from queue import Queue
from threading import Timer
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.pods import broken, cases, fleet_of, pod_of
from webhook import documents
from webhook.cli.main import main
from webhook.codes import DENIALS, NOTES, WARNINGS
from webhook.server import settings
from webhook.server.api.app import application, open_doors
from webhook.server.api.asgi import Asgi
from webhook.server.api.marks import span
from webhook.server.api.previews import Previews
from webhook.server.api.site import FILES
from webhook.server.http import Refusal, Request, Response
from webhook.server.metrics import Metrics

POD = documents.write(pod_of("1g5gb"))
YAML = b"application/yaml"


@cache
def door() -> Asgi:
    """The second port's application, without a network."""
    app = application(lambda: "", Metrics())
    open_doors(app, lambda: fleet_of("built-in"), Previews())
    return Asgi(app, settings.MOST_PREVIEW_BODY)


def ask(path: str, body: bytes | None = None, *, query: str = "", **headers: str) -> Response:
    request = Request(0)
    request.method, request.path, request.query = b"GET" if body is None else b"POST", path.encode(), query.encode()
    request.body = body or b""
    request.headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return asyncio.run(door().answer(request))


def dry_run(text: str | bytes, query: str = "", kind: str = YAML.decode()) -> Response:
    return ask("/dry-run", text.encode() if isinstance(text, str) else text, query=query, content_type=kind)


def told(text: str | bytes, query: str = "") -> Any:
    answer = dry_run(text, query)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


POSTS = {"/dry-run": "application/yaml", "/preview": "application/json"}
STATIC = ["/", *(f"/page/{file.name}" for file in FILES.iterdir() if file.suffix and file.suffix != ".html")]


def headers_of(answer: Response) -> dict[bytes, bytes]:
    return dict(answer.headers)


@pytest.mark.parametrize("path", [*STATIC, "/page/messages.json", "/dry-run", "/drawing"])
def test_nothing_of_the_page_may_load_or_be_framed_or_guessed(path: str) -> None:
    query = "pool=a100-mixed" if path == "/drawing" else ""
    answer = dry_run(POD) if path == "/dry-run" else ask(path, query=query)
    headers = headers_of(answer)
    policy = dict(part.strip().partition(" ")[::2] for part in headers[b"content-security-policy"].decode().split(";"))

    assert answer.status == 200
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    if path != "/drawing":  # an image, which has a style of its own
        assert set(policy.values()) == {"'none'", "'self'"}
    assert "unsafe" not in policy.get("script-src", "")
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"referrer-policy"] == b"no-referrer"
    assert headers[b"cross-origin-opener-policy"] == b"same-origin"
    assert headers[b"cross-origin-resource-policy"] == b"same-origin"
    assert headers[b"cache-control"] == (b"no-store" if path == "/dry-run" else b"no-cache")
    assert b"set-cookie" not in headers
    assert not any(name.startswith(b"access-control-") for name in headers)


def test_the_document_has_no_script_or_style_of_its_own_and_names_nobody_else() -> None:
    html = ask("/").body.decode()
    assert not re.search(r"<script(?![^>]* src=\"/)|<style|\sstyle=|\son[a-z]+=", html)
    sources = [
        path for path in FILES.iterdir() if path.suffix in (".html", ".js", ".css") and "bundle" not in path.name
    ]
    for file in sources:
        assert "http://www.w3.org/" in file.name or not re.search(r"(https?:)?//[a-z]+\.", file.read_text()), file.name


def test_files_are_packed_where_the_browser_can_unpack_them() -> None:
    plain, packed = ask("/page/page.css"), ask("/page/page.css", accept_encoding="gzip, br")
    assert headers_of(packed)[b"content-encoding"] == b"gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert b"content-encoding" not in headers_of(plain)


def test_a_file_that_the_browser_has_is_not_sent_again() -> None:
    first = ask("/page/page.js", accept_encoding="gzip")
    tag = headers_of(first)[b"etag"].decode()
    again = ask("/page/page.js", accept_encoding="gzip", if_none_match=tag)
    assert (again.status, again.body) == (304, b"")
    assert headers_of(again)[b"content-security-policy"] == headers_of(first)[b"content-security-policy"]
    assert ask("/page/page.js", if_none_match='W/"another"').body
    assert headers_of(ask("/page/link.js"))[b"etag"].decode() != tag


@pytest.mark.parametrize("path", ["/page/../site.py", "/page/editor/package.json", "/page/", "/page/nothing.js"])
def test_only_the_files_of_the_page_are_served(path: str) -> None:
    assert ask(path).status == 404


def test_the_page_is_there_only_where_it_is_asked_for() -> None:
    site = Asgi(application(lambda: "", Metrics()), settings.MOST_PREVIEW_BODY)
    for path in ("/", "/page/page.js", "/dry-run", "/drawing"):
        request = Request(0)
        request.method, request.path = b"GET", path.encode()
        assert asyncio.run(site.answer(request)).status == 404


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
@pytest.mark.parametrize("path", POSTS)
def test_no_form_of_another_site_can_post(path: str, kind: str) -> None:
    """These kinds need no leave, which is never given."""
    assert ask(path, b"{}", content_type=kind).status == 415


@pytest.mark.parametrize("site", ["cross-site", "same-site", "whatever"])
@pytest.mark.parametrize("path", POSTS)
def test_no_script_of_another_site_can_post(path: str, site: str) -> None:
    assert ask(path, b"{}", content_type=POSTS[path], sec_fetch_site=site).status == 403
    for ours in ("same-origin", "none"):
        assert ask(path, b"{}", content_type=POSTS[path], sec_fetch_site=ours).status == 200


def test_all_that_takes_a_post_is_known_here() -> None:
    app = application(lambda: "", Metrics())
    open_doors(app, lambda: fleet_of("built-in"), Previews())
    assert {route.path for route in app.routes if "POST" in route.methods} == set(POSTS)


def test_a_text_of_a_kind_with_a_parameter_is_taken() -> None:
    assert dry_run(POD, kind="application/YAML; charset=utf-8").status == 200


@pytest.mark.parametrize(
    "path", ["/", "/page/page.js", "/fleet", "/catalogue", "/openapi.json", "/metrics", "/healthz"]
)
@pytest.mark.parametrize("query", ["", "pool=x", "namespace=Bad%1b"])
def test_every_answer_is_taken_as_what_it_says_and_by_no_other_site(path: str, query: str) -> None:
    answers = [
        ask(path, query=query),
        ask(f"{path}x", query=query),
        ask(path, b"{}"),
        ask("/preview", b"{"),
        ask("/drawing"),
    ]
    answers += [Refusal(408, "the headers took too long").response]
    for answer in answers:
        headers = [name for name, _ in answer.headers]
        assert headers_of(answer)[b"x-content-type-options"] == b"nosniff"
        assert headers_of(answer)[b"cross-origin-resource-policy"] == b"same-origin"
        assert len(headers) == len(set(headers))


REPEATED = "".join(f"      {number % 150}\n" for number in range(30_000))
HEAD = "kind: Pod\nmetadata: {name: a, annotations: {gpu-slice: 1g.5gb}}\nspec:\n  containers:\n  - name: m\n"


def test_of_a_short_text_that_stands_for_many_lines_what_changes_is_shown() -> None:
    """P16."""
    shown = told(f"{HEAD}    args:\n    - &t |\n{REPEATED}" + "    - *t\n" * 5)["shown"]
    assert (shown["outcome"], len(shown["diff"]) < 100) == ("sliced", True)


WIDE = "\U000e0001" * 20_000
MANY = f"l: &l [{', '.join(['*a'] * 100)}]\n  m: [{', '.join(['*l'] * 400)}]"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"kind: Pod\nx: &a {WIDE}\nspec: {{containers: [], y: [{'*a, ' * 140}]}}", id="a pod"),
        pytest.param(f"kind: Foo\nx: &a {WIDE}\ny: [{'*a, ' * 140}]", id="an object without pods"),
        pytest.param(f"kind: Pod\nx:\n  a: &a {{}}\n  {MANY}\n---\n" * 90, id="many objects"),
    ],
)
def test_a_short_text_that_stands_for_very_much_is_refused(text: str) -> None:
    """P16."""
    assert len(text.encode()) < settings.MOST_PREVIEW_BODY
    assert dry_run(text).status == 413


def test_no_answer_is_larger_than_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    """P16."""
    size = len(dry_run(POD).body)
    monkeypatch.setattr(settings, "MOST_PREVIEWS_BYTES", size)
    assert dry_run(POD).status == 200
    monkeypatch.setattr(settings, "MOST_PREVIEWS_BYTES", size - 1)
    assert dry_run(POD).status == 413


def test_a_line_that_repeats_the_annotation_is_read_once() -> None:
    """P16: each of the keys has all the others after it, as a tag that does not end."""
    line = f'metadata: {{annotations: {{gpu-slice: "1g{chr(92)}x35gb"}}}} # ' + "gpu-slice:!" * 40_000
    (mark,) = told(f"kind: Pod\n{line}\nspec: {{containers: [{{name: m}}]}}")["marks"]
    assert (mark["line"], mark["start"], mark["end"]) == (2, 0, len(line))


def test_between_two_messages_it_is_asked_whether_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """P16."""
    values = [f"gpu-slice: 1g5gb{number}" for number in range(50)]
    text = "kind: Whatever\nspec:\n" + "".join(f"- {value}\n" for value in values)
    asked = iter([0.0] * 60)
    monkeypatch.setattr("webhook.server.api.previews.monotonic", lambda: next(asked, 99.0))
    assert dry_run(text).status == 503


def test_every_code_has_its_paragraph() -> None:
    paragraphs = json.loads(ask("/page/messages.json").body)
    assert list(paragraphs) == [*DENIALS, *WARNINGS, *NOTES]
    assert all(why and what for why, what in paragraphs.values())


def test_a_denial_has_its_place_its_correction_and_no_pools() -> None:
    result = told(POD)
    (mark,), shown = result["marks"], result["shown"]
    line = POD.splitlines()[mark["line"] - 1]
    assert line[mark["start"] : mark["end"]] == "5gb"
    assert (shown["correction"], shown["denial"]["position"]) == ("1g.5gb", 2)
    edit = told(POD, f"write={shown['correction']}")["edit"]
    assert (POD[edit["start"] : edit["end"]], edit["insert"], edit["index"]) == ("1g5gb", "1g.5gb", 0)
    assert shown["pools"] == []


def test_the_pod_under_the_cursor_is_shown() -> None:
    text = "---\n".join(documents.write(pod_of(asked) | {"kind": "Pod"}) for asked in ("1g.5gb", "2g.10gb", "8g.1gb"))
    lines = [entry["line"] for entry in told(text)["entries"]]
    for inside in (0, 1):
        assert [told(text, f"line={line + inside}")["index"] for line in lines] == [0, 1, 2]
    assert [told(text, f"line={line - 1}")["index"] for line in lines[1:]] == [0, 1]
    assert told(text, "index=1")["shown"]["given"][0]["slice"] == "2g.10gb"
    assert told(text, "index=99")["index"] == 2
    assert told(text, "line=999")["shown"]["outcome"] == "denied"


def test_a_pool_says_how_many_such_pods_its_node_takes() -> None:
    init = {"name": "warm-up", "resources": {"limits": {"nvidia.com/mig-1g.5gb": 3}}}
    pools = told(documents.write(pod_of("2x1g.5gb", initContainers=[init])))["shown"]["pools"]
    assert {pool["name"]: (pool["pods"], pool["left"]) for pool in pools if pool["serves"]} == {
        "a100-1g-5gb": (18, {"nvidia.com/mig-1g.5gb": 53}),
        "a100-mixed": (5, {"nvidia.com/mig-3g.20gb": 8, "nvidia.com/mig-2g.10gb": 8, "nvidia.com/mig-1g.5gb": 13}),
    }


@pytest.mark.parametrize(
    ("line", "value", "position", "expected"),
    [
        pytest.param("    gpu-slice: 1g5gb", "1g5gb", 2, "5gb", id="plain"),
        pytest.param("    gpu-slice: '1g5gb' # x", "1g5gb", 2, "5gb", id="in quotes"),
        pytest.param('    "gpu-slice": "1g5gb"', "1g5gb", 2, "5gb", id="the key in quotes"),
        pytest.param("{annotations: {gpu-slice: 1g5gb}}", "1g5gb", 2, "5gb", id="in a flow mapping"),
        pytest.param("gpu-slice: é=1g5gb", "é=1g5gb", 4, "5gb", id="after another letter"),
        pytest.param("gpu-slice: 🚀=1g5gb", "🚀=1g5gb", 4, "5gb", id="after a letter of two units"),
        pytest.param("gpu-slice: a | ", "a | ", 2, "|", id="a separator"),
        pytest.param("gpu-slice: !!str 1g5gb", "1g5gb", 2, "5gb", id="after a tag"),
        pytest.param("gpu-slice: &a 1g5gb", "1g5gb", 2, "5gb", id="after an anchor"),
        pytest.param("  gpu-slice: >-", "1g5gb", 2, "gpu-slice: >-", id="written below"),
        pytest.param('  gpu-slice: "1g\\x35gb"', "1g5gb", 2, 'gpu-slice: "1g\\x35gb"', id="written with an escape"),
        pytest.param("  limits: {a: 1}  ", None, None, "limits: {a: 1}", id="another field"),
        pytest.param("gpu-slice: a=1g.5gb,b", "a=1g.5gb,b", None, "a=1g.5gb,b", id="the whole value"),
    ],
)
def test_what_is_underlined(line: str, value: str | None, position: int | None, expected: str) -> None:
    found = span(["x", line], 2, value, position)
    units = line.encode("utf-16-le")
    assert units[2 * found.start : 2 * found.end].decode("utf-16-le") == expected


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"\xff\xfe", 200),
        (b"a: [", 200),
        (b"- 1\n" * 60_000, 413),
        (b"[" * 60_000, 413),
        (b"a: &a [" + b"*a, " * 60_000, 413),
    ],
)
def test_a_text_is_read_or_refused(body: bytes, status: int) -> None:
    """P16."""
    assert dry_run(body).status == status


def test_the_first_hundred_pods_are_looked_at() -> None:
    """P16."""
    result = told("---\n".join([documents.write(pod_of())] * 300))
    assert (len(result["entries"]), result["more"]) == (100, True)


@pytest.mark.parametrize(
    "query",
    ["namespace=Canary%1b", f"write={'canary' * 1000}", "line=0", "line=x", "index=-1", "line=99999999999999999999"],
)
def test_a_query_is_checked_and_not_repeated(query: str) -> None:
    answer = dry_run(POD, query)
    assert answer.status == 422
    assert b"anary" not in answer.body
    assert b"pattern" not in answer.body


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("pool=a100-mixed&resource=nvidia.com/mig-1g.5gb", 200),
        ("pool=a100-mixed&resource=%3Cscript%3E", 200),
        ("pool=no-such-pool", 404),
        ("pool=" + "x" * 300, 422),
        ("", 422),
        ("pool=a100-mixed&count=0", 422),
        ("pool=a100-mixed&count=1000000", 422),
    ],
)
def test_a_drawing_is_of_a_pool(query: str, status: int) -> None:
    answer = ask("/drawing", query=query)
    assert answer.status == status
    assert b"<script" not in answer.body


@given(st.text() | st.binary())
def test_any_text_has_an_answer(text: str | bytes) -> None:
    body = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    assert dry_run(body).status in (200, 413)


@given(cases(), st.data())
def test_any_pod_with_something_odd_in_it_has_an_answer(case: tuple[dict[str, Any], str], data: st.DataObject) -> None:
    pod = data.draw(broken({"kind": "Pod", **case[0]}))
    assert dry_run(json.dumps(pod)).status in (200, 413)
    assert dry_run(json.dumps(pod, ensure_ascii=False, indent=1).encode(errors="surrogatepass")).status in (200, 413)


def test_nothing_of_a_pod_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """P39."""
    with caplog.at_level(logging.DEBUG):
        dry_run(POD.replace("notebook", "canary"))
        dry_run("canary: [")
    assert "canary" not in caplog.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("ignored", [False, True], ids=["in the foreground", "as a background job"])
def test_the_page_command_prints_its_address_and_serves_loopback_names_alone(
    number: signal.Signals, *, ignored: bool
) -> None:
    shell = "trap '' INT; " * ignored + f"exec {sys.executable} -m webhook page --no-browser"
    with subprocess.Popen(["sh", "-c", shell], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        give_up = Timer(60, process.kill)
        give_up.start()
        address = urlsplit(process.stdout.readline().strip())
        statuses = []
        for host in (address.netloc, f"localhost:{address.port}", "attacker.example"):
            connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=60)
            connection.request("GET", "/fleet", headers={"Host": host})
            statuses.append(connection.getresponse().status)
            connection.close()
        process.send_signal(number)
        output, remarks = process.communicate()
        give_up.cancel()
    assert (address.hostname, statuses) == ("127.0.0.1", [200, 200, 400])
    assert (process.returncode, output, remarks) == (0, "", "Ctrl-C ends it.\n")


def test_a_port_that_is_taken_is_a_wrong_call() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = CliRunner().invoke(main, ["page", "--no-browser", "--port", str(taken.getsockname()[1])])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Address already in use" in result.stderr


def test_the_browser_is_opened_with_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Queue[str] = Queue()

    async def end(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("webbrowser.open", opened.put)
    monkeypatch.setattr("webhook.cli.page._serve", end)
    result = CliRunner().invoke(main, ["page"])
    assert (result.exit_code, result.stdout) == (0, f"{opened.get(timeout=60)}\n")


@pytest.mark.parametrize("kind", ["x" * 50_000, "List" * 10_000])
def test_however_long_names_are_a_dry_run_is_short(kind: str) -> None:
    """P16."""
    templates = [{"spec": {"containers": []}}] * 50
    metadata = {"name": "n" * 50_000, "namespace": "s" * 50_000}
    document: Any = {"kind": kind, "metadata": metadata, "spec": templates, "items": [{"metadata": metadata}] * 50}
    for _ in range(8):
        assert len(dry_run(json.dumps(document)).body) < 400_000
        document = {"kind": "List", "items": [document]}
