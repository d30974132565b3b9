"""What every test may ask for: the catalogue, fleets, and the real server on loopback."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.stories import FLEETS
from webhook.cli import files
from webhook.cli.loopback import Client, certify, server
from webhook.fleet.fleet import Fleet
from webhook.slices.catalogue import Catalogue

# No deadline: a busy machine is no bug.  In CI the same examples every time, so that red means a change.
settings.register_profile(
    "here", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("quick", settings.get_profile("here"), max_examples=20)
settings.load_profile("here")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-stories", action="store_true", help="rewrite the answers of the stories; read the diff")


@pytest.fixture(scope="session", name="catalogue")
def _catalogue() -> Catalogue:
    """The built-in catalogue."""
    return files.catalogue()


@pytest.fixture(scope="session", name="fleet")
def _fleet() -> Fleet:
    """The built-in fleet."""
    return files.fleet_at(None)


@pytest.fixture(scope="session", name="tls")
def _tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.crt, tls.crt and tls.key for the Service and for loopback."""
    folder = tmp_path_factory.mktemp("certificates") / "tls"
    certify(folder, "gpu-slice tests")
    return folder


@pytest.fixture(scope="session", name="client_of")
def _client_of(tls: Path) -> Iterator[Callable[[str], Client]]:
    """A client of a real server that serves the fleet of that name; one server a fleet."""
    clients: dict[str, Client] = {}
    with ExitStack() as stack:

        def client_of(name: str) -> Client:
            if name not in clients:
                port = stack.enter_context(server(tls, FLEETS[name]))
                clients[name] = Client(port, tls / "ca.crt")
                stack.callback(clients[name].close)
            return clients[name]

        yield client_of
