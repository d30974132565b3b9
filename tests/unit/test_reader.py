"""How the commands that look at a cluster find it: the kubeconfig, its credential, and an API server that is silent."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench.usage import config
from webhook.cli.main import main
from webhook.cluster import reader

NOBODY = "http://127.0.0.1:1"
COMMANDS = pytest.mark.parametrize(
    "command", [["check"], ["usage"], ["explain", "pod/a"], ["fleet", "discover"]], ids=lambda command: command[0]
)


def run(path: Path, *arguments: str) -> Result:
    """What ``gpu-slice`` says with that kubeconfig."""
    return CliRunner().invoke(main, arguments, env={"KUBECONFIG": str(path), "KUBERNETES_SERVICE_HOST": None})


def said(result: Result) -> str:
    """What a command says that could not look; it is one line."""
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("Error: ").strip()


def written(folder: Path, server: str = NOBODY, user: Any = None, **changed: Any) -> Path:
    document = config(server) | changed
    document["users"][0]["user"] = user or {}
    path = folder / "kubeconfig"
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
    return path


@contextmanager
def answering(status: int, message: str) -> Iterator[str]:
    """An API server that says the same to everybody."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps({"kind": "Status", "message": message}).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@COMMANDS
def test_a_file_that_is_not_there_is_named(command: list[str], tmp_path: Path) -> None:
    path = tmp_path / "none"
    assert said(run(path, *command)) == f"no kubeconfig: {path} does not exist. Name a file in KUBECONFIG"


@COMMANDS
def test_a_context_that_is_not_there_is_named_with_those_that_are(command: list[str], tmp_path: Path) -> None:
    path = written(tmp_path)
    expected = f"kubeconfig {path} has no context 'prod'. It has bench"
    assert said(run(path, *command, "--context", "prod")) == expected
    assert said(run(written(tmp_path, **{"current-context": "prod"}), *command)) == expected


@pytest.mark.parametrize("current", [None, ""])
def test_without_a_current_context_one_is_asked_for(current: str | None, tmp_path: Path) -> None:
    path = written(tmp_path, **{"current-context": current})
    assert said(run(path, "check")) == (
        f"kubeconfig {path} has no current-context. Name one with --context. It has bench"
    )


@pytest.mark.parametrize("text", ["", "{", "- a", "contexts: 3", "contexts: [{}]\ncurrent-context: a"])
def test_a_file_that_is_no_kubeconfig_is_no_traceback(text: str, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    assert str(path) in said(run(path, "check"))


def plugin(code: str) -> dict[str, Any]:
    version = "client.authentication.k8s.io/v1"
    return {
        "exec": {"apiVersion": version, "command": sys.executable, "args": ["-c", code], "interactiveMode": "Never"}
    }


@COMMANDS
def test_a_credential_plugin_that_fails_is_quoted_and_nobody_goes_on_without(
    command: list[str], tmp_path: Path
) -> None:
    path = written(tmp_path, user=plugin("import sys; sys.exit('The SSO session has\\nexpired')"))
    expected = f"no credential for user 'bench' of context 'bench' in {path}: "
    assert said(run(path, *command)) == f"{expected}exec: process returned 1. The SSO session has expired"


@pytest.mark.parametrize(
    "user",
    [
        pytest.param(plugin("print('no JSON')"), id="it prints something else"),
        pytest.param(plugin("print('{}')"), id="it prints no credential"),
        pytest.param({"exec": {"apiVersion": "v1", "command": "/no/such/program"}}, id="it is not installed"),
    ],
)
def test_whatever_a_credential_plugin_does_wrong_is_told(user: Any, tmp_path: Path) -> None:
    path = written(tmp_path, user=user)
    assert said(run(path, "check")).startswith(f"no credential for user 'bench' of context 'bench' in {path}: ")


@COMMANDS
@pytest.mark.parametrize(
    ("status", "message"),
    [
        pytest.param(401, "Unauthorized", id="expired"),
        pytest.param(403, 'nodes is forbidden: User "system:anonymous" cannot list resource', id="no credential"),
    ],
)
def test_a_credential_that_is_not_accepted_is_told_and_no_file_is_asked_for(
    status: int, message: str, command: list[str], tmp_path: Path
) -> None:
    with answering(status, message) as url:
        told = said(run(written(tmp_path, url, {"token": "old"}), *command))
    assert told == (
        f"the API server at {url} does not accept the credential of the kubeconfig: {message}."
        " Log in again: it may have expired"
    )


@COMMANDS
def test_an_api_server_that_never_answers_is_asked_once(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "FIRST", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert said(run(written(tmp_path, url), *command)) == f"the API server at {url} does not answer within 0.2 s"
        server.setblocking(False)
        tries = 0
        with suppress(BlockingIOError):
            while True:
                server.accept()[0].close()
                tries += 1
    assert tries == 1


def test_without_a_setting_the_kubeconfig_is_the_one_in_the_home(tmp_path: Path) -> None:
    home = tmp_path / ".kube"
    home.mkdir()
    (home / "config").write_text(json.dumps(config("http://127.0.0.1:1/of-the-home")))
    env = {"KUBECONFIG": None, "HOME": str(tmp_path), "KUBERNETES_SERVICE_HOST": None}
    result = CliRunner().invoke(main, ["usage"], env=env)
    assert said(result).startswith("the API server at http://127.0.0.1:1/of-the-home: ")
