"""New certificates in the directory of a running server: good ones are taken, others are not."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from certs.authority import KeyPair, create_authority, issue_leaf, service_names
from certs.directory import write
from tests.https.calling import GOOD, answer, connect
from tests.running import Running
from tests.waiting import wait_for
from webhook.cli.loopback import LOOPBACK
from webhook.server.tls import load

pytestmark = pytest.mark.slow  # each test starts a server of its own

NAMES = (*service_names("webhook", "gpu-slice"), LOOPBACK)
SERVED = "webhook.gpu-slice.svc"


def now() -> datetime:
    return datetime.now(UTC)


AUTHORITY = create_authority("gpu-slice tests", now=now())
OTHER = create_authority("gpu-slice others", now=now())


def leaf(authority: KeyPair = AUTHORITY, **how: object) -> KeyPair:
    return issue_leaf(authority, how.pop("names", NAMES), **{"now": now(), **how})


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    write(tmp_path / "tls", leaf(), AUTHORITY.certificate)
    (tmp_path / "ca.crt").write_bytes(AUTHORITY.certificate)
    return tmp_path / "tls"


@pytest.fixture(name="server")
def _server(folder: Path) -> Iterator[Running]:
    server = Running(folder, "--poll", "0.05", "--tls-name", SERVED)
    yield server
    server.stop()


def serial(server: Running, ca: Path, **how: object) -> int:
    """Of the certificate that a new connection is shown."""
    with connect(server.port, ca, **how) as connection:
        return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True)).serial_number


def reloads(server: Running, result: str) -> float:
    return server.metric(f'gpu_slice_certificate_reloads_total{{result="{result}"}}')


@pytest.mark.parametrize(
    "name", [LOOPBACK, None, SERVED], ids=["by address", "without a name", "by the Service's name"]
)
def test_a_new_pair_is_shown_to_new_connections_and_old_ones_go_on(server, folder: Path, name: str | None) -> None:
    """P22."""
    ca = folder.parent / "ca.crt"
    with connect(server.port, ca) as old:
        fresh = leaf()
        write(folder, fresh, AUTHORITY.certificate)
        server.wait_for("certificate taken")
        assert serial(server, ca, name=name) == fresh.parsed().serial_number
        old.sendall(GOOD)
        assert answer(old).startswith(b"HTTP/1.1 200 ")
    assert reloads(server, "taken") == 2
    not_after = fresh.parsed().not_valid_after_utc.timestamp()
    assert server.metric("gpu_slice_certificate_not_after_seconds") == not_after
    assert server.metric("gpu_slice_ca_not_after_seconds") == AUTHORITY.parsed().not_valid_after_utc.timestamp()


def torn() -> tuple[KeyPair, bytes]:
    return KeyPair(leaf().certificate, leaf().key), AUTHORITY.certificate


BAD: dict[str, Callable[[], tuple[KeyPair, bytes]]] = {
    "the key of another": torn,
    "expired": lambda: (leaf(now=now() - timedelta(days=2), lifetime=timedelta(days=1)), AUTHORITY.certificate),
    "not valid yet": lambda: (leaf(now=now() + timedelta(hours=2)), AUTHORITY.certificate),
    "by somebody else": lambda: (leaf(OTHER), AUTHORITY.certificate),
    "for another name": lambda: (leaf(names=["webhook.other.svc", LOOPBACK]), AUTHORITY.certificate),
    "no certificate": lambda: (KeyPair(b"torn", leaf().key), AUTHORITY.certificate),
    "empty": lambda: (KeyPair(b"", b""), AUTHORITY.certificate),
    "no CA": lambda: (leaf(), b"torn"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_pair_that_cannot_serve_is_refused_and_the_old_one_goes_on(server, folder: Path, bad) -> None:
    """P24."""
    ca = folder.parent / "ca.crt"
    before = serial(server, ca)
    write(folder, *bad())

    refused = server.wait_for("certificate refused")
    assert refused["message"] == "certificate refused: the old one goes on"
    assert refused["problem"]
    assert "PRIVATE" not in str(refused)
    assert serial(server, ca) == before
    assert server.get("/readyz") == (200, "ok")
    assert server.metric("gpu_slice_certificate_loaded") == 0

    fresh = leaf()
    write(folder, fresh, AUTHORITY.certificate)
    server.wait_for("certificate taken")
    assert [line["message"] for line in server.seen].count(refused["message"]) == 1
    assert reloads(server, "refused") == 1
    assert server.metric("gpu_slice_certificate_loaded") == 1
    assert serial(server, ca) == fresh.parsed().serial_number


def test_the_same_pair_put_back_is_no_longer_refused(server, folder: Path) -> None:
    good = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    write(folder, *torn())
    server.wait_for("certificate refused")
    assert server.metric("gpu_slice_certificate_loaded") == 0
    for name, content in good.items():
        (folder / name).write_bytes(content)
    server.wait_for("the certificate in use is back")
    assert server.metric("gpu_slice_certificate_loaded") == 1


def test_a_replica_is_not_ready_once_its_certificate_has_expired(server, folder: Path) -> None:
    ends_soon = leaf(now=now() - timedelta(days=1), lifetime=timedelta(days=1, seconds=3))
    write(folder, ends_soon, AUTHORITY.certificate)
    server.wait_for("certificate taken")
    wait_for("it has expired", lambda: server.get("/readyz") == (503, "the certificate has expired"))
    write(folder, leaf(), AUTHORITY.certificate)
    wait_for("a new one is there", lambda: server.get("/readyz") == (200, "ok"))


def test_files_that_are_gone_are_refused_too(server, folder: Path) -> None:
    """P24."""
    before = serial(server, folder.parent / "ca.crt")
    shutil.rmtree(folder)
    assert "no tls.crt and tls.key" in server.wait_for("certificate refused")["problem"]
    assert serial(server, folder.parent / "ca.crt") == before


def test_a_pair_that_is_too_early_is_taken_when_its_time_comes(server, folder: Path) -> None:
    """P27."""
    early = leaf(now=now() + timedelta(hours=1, seconds=3))
    write(folder, early, AUTHORITY.certificate)
    server.wait_for("certificate refused")
    server.wait_for("certificate taken")
    assert serial(server, folder.parent / "ca.crt") == early.parsed().serial_number


@pytest.mark.parametrize("minutes", [-5, 5], ids=["slow", "fast"])
def test_a_keeper_whose_clock_is_off_by_minutes_does_no_harm(server, folder: Path, minutes: int) -> None:
    """P27."""
    fresh = leaf(now=now() + timedelta(minutes=minutes))
    write(folder, fresh, AUTHORITY.certificate)
    server.wait_for("certificate taken")
    assert serial(server, folder.parent / "ca.crt") == fresh.parsed().serial_number


def test_without_a_pair_it_starts_and_is_ready_when_one_comes(tmp_path: Path) -> None:
    """P24."""
    folder = tmp_path / "tls"
    folder.mkdir(mode=0o700)
    server = Running(folder, "--poll", "0.05")
    try:
        assert not server.ready
        assert server.get("/readyz") == (503, "no certificate yet")
        assert server.get("/healthz") == (200, "ok")
        (tmp_path / "ca.crt").write_bytes(AUTHORITY.certificate)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connect(server.port, tmp_path / "ca.crt")
        write(folder, leaf(), AUTHORITY.certificate)
        server.wait_for("certificate taken")
        assert server.get("/readyz") == (200, "ok")
        assert serial(server, tmp_path / "ca.crt")
    finally:
        assert server.stop() == 0


def test_no_handshake_fails_while_pairs_are_swapped_and_torn_ones_offered(server, folder: Path) -> None:
    """P22, P24."""
    ca = folder.parent / "ca.crt"
    swaps, over = 30, threading.Event()

    def swap() -> None:
        try:
            for _ in range(swaps):
                fresh = leaf()
                write(folder, *torn())
                write(folder, fresh, AUTHORITY.certificate)
                ends = fresh.parsed().not_valid_after_utc.timestamp()
                taken = reloads(server, "taken")
                wait_for(
                    "the new one is served",
                    lambda ends=ends, taken=taken: (
                        reloads(server, "taken") > taken
                        or server.metric("gpu_slice_certificate_not_after_seconds") == ends
                    ),
                )
        finally:
            over.set()

    swapping = threading.Thread(target=swap)
    swapping.start()
    shown = set()
    while not over.is_set():
        shown.add(serial(server, ca))  # raises where a handshake fails
    swapping.join()
    assert len(shown) > 3


def test_a_strict_client_is_satisfied_and_an_old_protocol_is_refused(server, folder: Path) -> None:
    """P21."""
    context = ssl.create_default_context(cafile=str(folder.parent / "ca.crt"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        socket.create_connection((LOOPBACK, server.port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=SERVED) as strict,
    ):
        assert strict.version() == "TLSv1.3"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection((LOOPBACK, server.port), timeout=60) as plain, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(plain, server_hostname=SERVED)


@pytest.mark.parametrize(
    ("group", "welcome"), [("X25519", True), ("prime256v1", True), ("secp384r1", False), ("secp521r1", False)]
)
def test_only_cheap_key_exchanges_are_offered(tls: Path, group: str, welcome: bool) -> None:
    """A ClientHello with a finite-field key share costs a server 115 ms and its sender nothing."""
    server = load(tls).context
    client = ssl.create_default_context(cafile=str(tls / "ca.crt"))
    client.set_ecdh_curve(group)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (client.wrap_bio(back, there, server_hostname=SERVED), server.wrap_bio(there, back, server_side=True))
    refused = False
    for side in sides * 4:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError:
            refused = True
            break
    assert refused is not welcome
