"""The HTTPS port as those see it who call it: an API server, a probe, and an attacker."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from webhook.cli.loopback import LOOPBACK, Client
from webhook.server.settings import MOST_BODY

POD = {"metadata": {"annotations": {"gpu-slice": "1g.5gb"}}, "spec": {"containers": [{"name": "main"}]}}
JSON = {"Content-Type": "application/json"}


def review(pod: object = POD, **request: object) -> dict:
    """A whole AdmissionReview for *pod*."""
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "a-uid",
            "operation": "CREATE",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "namespace": "team-a",
            "object": pod,
            **request,
        },
    }


@pytest.fixture(name="port")
def _port(client_of: Callable[[str], Client]) -> int:
    return client_of("default").connection.port


@pytest.fixture(name="call")
def _call(port: int, tls: Path) -> Callable[..., http.client.HTTPResponse]:
    """One request on a connection of its own."""

    def call(
        method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str, dict[str, str]]:
        context = ssl.create_default_context(cafile=str(tls / "ca.crt"))
        connection = http.client.HTTPSConnection(LOOPBACK, port, context=context, timeout=60)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text, {name.lower(): value for name, value in answer.getheaders()}

    return call


def test_an_annotated_pod_comes_back_sliced(call) -> None:
    status, text, headers = call("POST", "/mutate?timeout=2s", json.dumps(review()), JSON)

    assert (status, headers["content-type"]) == (200, "application/json")
    answer = json.loads(text)
    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert answer["response"]["uid"] == "a-uid"
    assert answer["response"]["allowed"] is True
    assert answer["response"]["patchType"] == "JSONPatch"
    paths = [operation["path"] for operation in json.loads(base64.b64decode(answer["response"]["patch"]))]
    assert "/spec/containers/0/resources" in paths


def test_a_bad_annotation_is_a_denial_and_no_failed_call(call) -> None:
    """P10."""
    pod = {**POD, "metadata": {"annotations": {"gpu-slice": "1g5gb"}}}

    status, text, _ = call("POST", "/mutate", json.dumps(review(pod)), JSON)

    response = json.loads(text)["response"]
    assert (status, response["allowed"]) == (200, False)
    assert response["status"]["code"] == 422
    assert response["status"]["message"].endswith("Write '1g.5gb'.")
    assert "patch" not in response
    assert "patchType" not in response


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        pytest.param("POST", "/mutate", "{", JSON, 400, id="half a JSON text"),
        pytest.param("POST", "/mutate", "", JSON, 400, id="nothing"),
        pytest.param("POST", "/mutate", "null", JSON, 400, id="JSON null"),
        pytest.param("POST", "/mutate", "[]", JSON, 400, id="a list"),
        pytest.param("POST", "/mutate", "{}", JSON, 400, id="no review"),
        pytest.param("POST", "/mutate", '{"a": NaN}', JSON, 400, id="NaN is not JSON"),
        pytest.param("POST", "/mutate", '{"a": "\\ud800"}', JSON, 400, id="a lone surrogate"),
        pytest.param("POST", "/mutate", json.dumps(review()).encode("utf-16"), JSON, 400, id="UTF-16"),
        pytest.param("POST", "/mutate", b"\xef\xbb\xbf" + json.dumps(review()).encode(), JSON, 400, id="with a BOM"),
        pytest.param("POST", "/mutate", "[" * 100_000, JSON, 400, id="100,000 levels deep"),
        pytest.param("POST", "/mutate", '{"a":' * 1_500 + "1" + "}" * 1_500, JSON, 400, id="deep and well-formed"),
        pytest.param("POST", "/mutate", "1" * 100_000, JSON, 400, id="a number of 100,000 digits"),
        pytest.param(
            "POST",
            "/mutate",
            json.dumps({**review(), "apiVersion": "admission.k8s.io/v1beta1"}),
            JSON,
            400,
            id="v1beta1",
        ),
        pytest.param("POST", "/mutate", json.dumps(review(uid="")), JSON, 400, id="no uid to answer to"),
        pytest.param(
            "POST", "/mutate", json.dumps(review()), {"Content-Type": "text/plain"}, 415, id="not called JSON"
        ),
        pytest.param("POST", "/mutate", json.dumps(review()), {}, 415, id="not called anything"),
        pytest.param(
            "POST", "/mutate", json.dumps(review()), {**JSON, "Content-Encoding": "gzip"}, 415, id="called compressed"
        ),
        pytest.param("GET", "/mutate", None, {}, 405, id="a browser"),
        pytest.param("PUT", "/mutate", json.dumps(review()), JSON, 405, id="not a POST"),
        pytest.param("POST", "/mutate/", json.dumps(review()), JSON, 404, id="a trailing slash is no redirect"),
        pytest.param("POST", "//mutate", json.dumps(review()), JSON, 404, id="two slashes"),
        pytest.param("GET", "/", None, {}, 404, id="the root"),
        pytest.param("GET", "/docs", None, {}, 404, id="no docs"),
        pytest.param("GET", "/openapi.json", None, {}, 404, id="no schema"),
        pytest.param("GET", "/metrics", None, {}, 404, id="no metrics on this port"),
        pytest.param("POST", "/preview", json.dumps(POD), JSON, 404, id="no preview on this port"),
        pytest.param("POST", "/healthz", "", {}, 405, id="health is read"),
    ],
)
def test_what_is_no_review_is_a_clean_4xx(
    call, method: str, path: str, body: object, headers: dict, status: int
) -> None:
    """P4, P19, P20."""
    found, text, answered = call(method, path, body, headers)

    assert found == status
    assert text
    assert "\n" not in text
    assert "Traceback" not in text
    assert "location" not in answered


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_every_way_to_call_json_json_is_read(call, kind: str) -> None:
    assert call("POST", "/mutate", json.dumps(review()), {"Content-Type": kind})[0] == 200


def test_a_body_at_the_limit_is_read_and_one_byte_more_is_not(call, port: int, tls: Path) -> None:
    """P16."""
    text = json.dumps(review())
    fits = (text + " " * (MOST_BODY - len(text))).encode()
    head = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

    assert call("POST", "/mutate", fits, JSON)[0] == 200
    claimed = raw(port, tls, head + b"Content-Length: %d\r\n\r\n" % (MOST_BODY + 1))
    chunked = raw(port, tls, head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s \r\n0\r\n\r\n" % (MOST_BODY + 1, fits))
    for answer in (claimed, chunked):
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in answer


def raw(port: int, tls: Path, text: bytes) -> bytes:
    """What comes back for *text*, to a client that goes on sending though it was refused."""
    context = ssl.create_default_context(cafile=str(tls / "ca.crt"))
    with (
        socket.create_connection((LOOPBACK, port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=LOOPBACK) as connection,
    ):
        with contextlib.suppress(OSError):
            connection.sendall(text)
        return connection.recv(4096)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_are_answered(call, path: str) -> None:
    assert call("GET", path)[:2] == (200, "ok")


def test_answers_do_not_tell_what_serves_them(call) -> None:
    assert "server" not in call("GET", "/healthz")[2]


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"operation": "UPDATE"}, id="UPDATE"),
        pytest.param({"operation": "DELETE", "object": None}, id="DELETE"),
        pytest.param({"subResource": "ephemeralcontainers"}, id="a subresource"),
        pytest.param({"namespace": "kube-system"}, id="kube-system"),
        pytest.param({"namespace": "gpu-slice"}, id="our own namespace"),
        pytest.param({"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}}, id="another kind"),
    ],
)
def test_what_is_none_of_our_business_passes_untouched(call, request_: dict) -> None:
    """P2."""
    _, text, _ = call("POST", "/mutate", json.dumps(review(**request_)), JSON)

    assert json.loads(text)["response"] == {"uid": "a-uid", "allowed": True}


def test_a_client_without_the_ca_breaks_off(port: int) -> None:
    connection = http.client.HTTPSConnection(LOOPBACK, port, context=ssl.create_default_context(), timeout=60)
    with pytest.raises(ssl.SSLCertVerificationError):
        connection.request("GET", "/healthz")


def test_a_client_that_asks_for_another_name_breaks_off(port: int, tls: Path) -> None:
    """P21."""
    context = ssl.create_default_context(cafile=str(tls / "ca.crt"))
    with socket.create_connection((LOOPBACK, port), timeout=60) as plain, pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(plain, server_hostname="webhook.other.svc")


def test_the_service_name_verifies_and_only_tls_1_3_is_spoken(port: int, tls: Path) -> None:
    """P21."""
    context = ssl.create_default_context(cafile=str(tls / "ca.crt"))
    with (
        socket.create_connection((LOOPBACK, port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="webhook.gpu-slice.svc") as connection,
    ):
        assert connection.version() == "TLSv1.3"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection((LOOPBACK, port), timeout=60) as plain, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(plain, server_hostname=LOOPBACK)


def test_plain_http_on_the_https_port_gets_nothing(port: int) -> None:
    with socket.create_connection((LOOPBACK, port), timeout=60) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionError):  # reset: as good
            assert b"200" not in plain.recv(4096)


def test_one_connection_carries_many_reviews(client_of: Callable[[str], Client]) -> None:
    client = client_of("default")
    before = client.connection.sock
    for _ in range(50):
        assert client.review(POD, "team-a")["allowed"]
    assert client.connection.sock is before or before is None
