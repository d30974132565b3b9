"""What is issued is verified by those who will meet it: Python's strict TLS, OpenSSL and Go."""

from __future__ import annotations

import ipaddress
import os
import shutil
import ssl
import stat
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs import directory
from certs.authority import (
    AUTHORITY_LIFETIME,
    BACKDATE,
    LEAF_LIFETIME,
    LONGEST_AUTHORITY_NAME,
    KeyPair,
    create_authority,
    issue_leaf,
    service_names,
)
from tests.cluster.programs import toolchain
from tests.packages import needed, skip

NAMES = service_names("webhook", "gpu-slice")
NOON = datetime(2026, 7, 24, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture(scope="module", name="authority")
def _authority() -> KeyPair:
    return create_authority("gpu-slice", now=datetime.now(UTC))


@pytest.fixture(scope="module", name="leaf")
def _leaf(authority: KeyPair) -> KeyPair:
    return issue_leaf(authority, [*NAMES, "127.0.0.1", "::1"], now=datetime.now(UTC))


def test_an_authority_may_sign_leaves_and_nothing_below_them() -> None:
    authority = create_authority("gpu-slice", now=NOON).parsed()

    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = authority.extensions.get_extension_for_class(x509.KeyUsage)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert (usage.critical, _uses(usage.value)) == (True, {"key_cert_sign", "crl_sign"})


def test_a_leaf_serves_tls_and_does_nothing_else(leaf: KeyPair) -> None:
    extensions = leaf.parsed().extensions

    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    purpose = extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    assert (usage.critical, _uses(usage.value)) == (True, {"digital_signature"})
    assert list(purpose.value) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_a_leaf_names_dns_names_and_addresses_each_as_what_it_is(leaf: KeyPair) -> None:
    names = leaf.parsed().extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert names.get_values_for_type(x509.DNSName) == list(NAMES)
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
    ]


def test_the_names_of_a_service_are_those_that_callers_use() -> None:
    assert NAMES == ("webhook.gpu-slice.svc", "webhook.gpu-slice.svc.cluster.local")


def test_key_identifiers_lead_from_the_leaf_to_the_authority(authority: KeyPair, leaf: KeyPair) -> None:
    above = authority.parsed().extensions
    below = leaf.parsed().extensions

    identifier = above.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert above.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == identifier
    assert below.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == identifier
    assert below.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest != identifier


def test_no_two_authorities_share_a_subject_or_a_serial_number() -> None:
    authorities = [create_authority("gpu-slice", now=NOON).parsed() for _ in range(20)]

    assert len({a.subject.rfc4514_string() for a in authorities}) == 20
    assert len({a.serial_number for a in authorities}) == 20
    assert max(a.serial_number for a in authorities).bit_length() > 128


@pytest.mark.parametrize("made", ["authority", "leaf"])
def test_keys_are_p256_in_unencrypted_pkcs8(made: str, request: pytest.FixtureRequest) -> None:
    pair: KeyPair = request.getfixturevalue(made)
    key = load_pem_private_key(pair.key, password=None)

    assert pair.key.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert key.public_key() == pair.parsed().public_key()


def test_a_private_key_is_not_in_the_repr(leaf: KeyPair) -> None:
    assert "PRIVATE" not in repr(leaf)


def test_certificates_are_valid_an_hour_before_they_were_made() -> None:
    authority = create_authority("gpu-slice", now=NOON)
    leaf = issue_leaf(authority, NAMES, now=NOON)

    start = datetime(2026, 7, 24, 11, 0, 0, tzinfo=UTC)
    assert timedelta(hours=1) == BACKDATE
    assert authority.parsed().not_valid_before_utc == start
    assert leaf.parsed().not_valid_before_utc == start


def test_a_leaf_lives_a_year_and_its_authority_three() -> None:
    authority = create_authority("gpu-slice", now=NOON)
    leaf = issue_leaf(authority, NAMES, now=NOON)

    assert leaf.parsed().not_valid_after_utc == datetime(2027, 7, 24, 12, 0, 0, tzinfo=UTC)
    assert authority.parsed().not_valid_after_utc == datetime(2029, 7, 23, 12, 0, 0, tzinfo=UTC)
    assert timedelta(days=365) == LEAF_LIFETIME
    assert timedelta(days=1095) == AUTHORITY_LIFETIME


def test_a_time_in_another_zone_is_the_same_moment() -> None:
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))

    there = create_authority("gpu-slice", now=tokyo).parsed()
    here = create_authority("gpu-slice", now=NOON).parsed()
    assert there.not_valid_before_utc == here.not_valid_before_utc
    assert there.not_valid_after_utc == here.not_valid_after_utc


def test_a_leaf_may_end_with_its_authority() -> None:
    authority = create_authority("gpu-slice", now=NOON, lifetime=timedelta(days=7))
    leaf = issue_leaf(authority, NAMES, now=NOON, lifetime=timedelta(days=7))

    assert leaf.parsed().not_valid_after_utc == authority.parsed().not_valid_after_utc


def test_a_leaf_that_would_outlive_its_authority_is_refused_with_both_ends() -> None:
    authority = create_authority("gpu-slice", now=NOON, lifetime=timedelta(days=7))

    with pytest.raises(ValueError, match="valid until") as refusal:
        issue_leaf(authority, NAMES, now=NOON + timedelta(seconds=1), lifetime=timedelta(days=7, minutes=1))
    assert str(refusal.value) == (
        "leaf: it would be valid until 2026-07-31 12:01 UTC, its authority only until 2026-07-31 12:00 UTC. "
        "Give it a shorter lifetime, or create a new authority."
    )


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        pytest.param([], "is not a list of names", id="a leaf without names serves nobody"),
        pytest.param("localhost", "is not a list of names", id="a lone text would be read letter by letter"),
        pytest.param([""], "neither a DNS name nor", id="empty"),
        pytest.param(["https://webhook"], "neither a DNS name nor", id="a URL is no name"),
        pytest.param(["webhook:443"], "neither a DNS name nor", id="nor is a port part of one"),
        pytest.param(["127.0.0.256"], "neither a DNS name nor", id="a mistyped address is no DNS name"),
        pytest.param(["a" * 64 + ".svc"], "neither a DNS name nor", id="a label has 63 characters at most"),
        pytest.param(["webhook.svc\n"], "neither a DNS name nor", id="a line end is not passed over"),
    ],
)
def test_names_that_no_client_would_ask_for_are_refused(names: list[str], complaint: str, authority: KeyPair) -> None:
    with pytest.raises(ValueError, match=complaint):
        issue_leaf(authority, names, now=datetime.now(UTC))


@pytest.mark.parametrize("name", ["", "x" * (LONGEST_AUTHORITY_NAME + 1)])
def test_an_authority_needs_a_name_that_a_subject_can_hold(name: str) -> None:
    with pytest.raises(ValueError, match="Give it 1 to 47"):
        create_authority(name, now=NOON)


def test_the_longest_name_still_fits() -> None:
    create_authority("x" * LONGEST_AUTHORITY_NAME, now=NOON)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no zone"):
        create_authority("gpu-slice", now=NOON.replace(tzinfo=None))


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(days=-1)])
def test_a_life_that_ends_before_it_begins_is_refused(lifetime: timedelta) -> None:
    with pytest.raises(ValueError, match="is not above zero"):
        create_authority("gpu-slice", now=NOON, lifetime=lifetime)


def test_a_leaf_signs_no_leaf(leaf: KeyPair) -> None:
    with pytest.raises(ValueError, match="may not sign others"):
        issue_leaf(leaf, NAMES, now=datetime.now(UTC), lifetime=timedelta(days=1))


def test_an_authority_with_the_key_of_another_is_refused(authority: KeyPair) -> None:
    other = create_authority("gpu-slice", now=datetime.now(UTC))

    with pytest.raises(ValueError, match="key is not the certificate's"):
        issue_leaf(KeyPair(authority.certificate, other.key), NAMES, now=datetime.now(UTC))


@pytest.mark.parametrize("name", [*NAMES, "127.0.0.1", "::1"])
def test_a_strict_client_that_trusts_the_authority_shakes_hands(
    name: str, authority: KeyPair, leaf: KeyPair, tmp_path: Path
) -> None:
    assert _handshake(_server(leaf, tmp_path), _client(authority), name) == "TLSv1.3"


def test_a_client_that_trusts_another_authority_hangs_up(leaf: KeyPair, tmp_path: Path) -> None:
    other = create_authority("gpu-slice", now=datetime.now(UTC))

    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        _handshake(_server(leaf, tmp_path), _client(other), NAMES[0])


@pytest.mark.parametrize("name", ["webhook.other.svc", "webhook", "127.0.0.2"])
def test_a_client_that_asked_for_another_name_hangs_up(
    name: str, authority: KeyPair, leaf: KeyPair, tmp_path: Path
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"Hostname mismatch|IP address mismatch"):
        _handshake(_server(leaf, tmp_path), _client(authority), name)


@pytest.mark.parametrize("order", [pytest.param(1, id="the old one first"), pytest.param(-1, id="the new one first")])
def test_a_client_that_trusts_two_generations_finds_the_right_one(
    order: int, authority: KeyPair, leaf: KeyPair, tmp_path: Path
) -> None:
    other = create_authority("gpu-slice", now=datetime.now(UTC))
    both = KeyPair(b"".join([authority.certificate, other.certificate][::order]), b"")

    assert _handshake(_server(leaf, tmp_path), _client(both), NAMES[0]) == "TLSv1.3"


def test_a_client_whose_clock_is_half_an_hour_behind_shakes_hands(tmp_path: Path) -> None:
    """P27."""
    later = datetime.now(UTC) + timedelta(minutes=30)
    authority = create_authority("gpu-slice", now=later)
    leaf = issue_leaf(authority, NAMES, now=later)

    assert _handshake(_server(leaf, tmp_path), _client(authority), NAMES[0]) == "TLSv1.3"


def test_a_client_refuses_a_leaf_that_has_ended(tmp_path: Path) -> None:
    authority = create_authority("gpu-slice", now=datetime.now(UTC))
    leaf = issue_leaf(authority, NAMES, now=datetime.now(UTC) - timedelta(days=2), lifetime=timedelta(days=1))

    with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        _handshake(_server(leaf, tmp_path), _client(authority), NAMES[0])


def test_openssl_verifies_a_leaf_strictly_as_a_server(authority: KeyPair, leaf: KeyPair, tmp_path: Path) -> None:
    """P21."""
    directory.write(tmp_path / "tls", leaf, authority.certificate)

    def verify(name: str) -> subprocess.CompletedProcess[str]:
        words = [needed("openssl"), "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "ca.crt"]
        return subprocess.run(
            [*words, "-verify_hostname", name, "tls.crt"],
            cwd=tmp_path / "tls",
            capture_output=True,
            text=True,
            check=False,
        )

    assert verify(NAMES[0]).stdout == "tls.crt: OK\n"
    assert "hostname mismatch" in verify("webhook.other.svc").stderr


@pytest.mark.slow
def test_go_verifies_a_leaf_as_the_api_server_does(authority: KeyPair, leaf: KeyPair, tmp_path: Path) -> None:
    """P21."""
    other = create_authority("gpu-slice", now=datetime.now(UTC))
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    (tmp_path / "other.crt").write_bytes(other.certificate)
    (tmp_path / "both.crt").write_bytes(other.certificate + authority.certificate)
    (tmp_path / "tls.crt").write_bytes(leaf.certificate)
    (tmp_path / "go.mod").write_text("module verify\n\ngo 1.21\n")
    shutil.copy(Path(__file__).with_name("verify_leaf.go"), tmp_path)
    try:
        go = toolchain.find((1, 21))
    except (OSError, subprocess.CalledProcessError) as error:
        skip(f"no Go: {error}")
    here_only = go.environment() | {"GOFLAGS": "", "GOPROXY": "off"}
    subprocess.run([go.path, "build", "-o", "verify", "."], cwd=tmp_path, env=here_only, check=True)

    def verify(trusted: str, name: str) -> str:
        ran = subprocess.run(
            ["./verify", trusted, "tls.crt", name], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return ran.stdout + ran.stderr

    assert verify("ca.crt", NAMES[0]) == "verified\n"
    assert verify("both.crt", NAMES[1]) == "verified\n"
    assert verify("ca.crt", "127.0.0.1") == "verified\n"
    assert "unknown authority" in verify("other.crt", NAMES[0])
    assert "not webhook.other.svc" in verify("ca.crt", "webhook.other.svc")


@pytest.fixture(name="umask", params=[0o000, 0o022, 0o077, 0o777], ids=lambda mask: f"umask {mask:03o}")
def _umask(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    # after tmp_path, which must be there before
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_modes_are_tight_whatever_the_umask(umask: int, authority: KeyPair, leaf: KeyPair, tmp_path: Path) -> None:
    directory.write(tmp_path / "tls", leaf, authority.certificate)

    modes = {name: _mode(tmp_path / "tls" / name) for name in ("", "..data", "tls.crt", "tls.key", "ca.crt")}
    assert modes == {"": 0o700, "..data": 0o700, "tls.crt": 0o644, "tls.key": 0o600, "ca.crt": 0o644}


def test_the_directory_has_the_shape_of_a_mounted_secret(authority: KeyPair, leaf: KeyPair, tmp_path: Path) -> None:
    directory.write(tmp_path / "tls", leaf, authority.certificate)

    generation = os.readlink(tmp_path / "tls" / "..data")
    assert "/" not in generation
    assert {path.name: os.readlink(path) for path in (tmp_path / "tls").iterdir() if path.is_symlink()} == {
        "..data": generation,
        "tls.crt": "..data/tls.crt",
        "tls.key": "..data/tls.key",
        "ca.crt": "..data/ca.crt",
    }
    assert (tmp_path / "tls" / "tls.crt").read_bytes() == leaf.certificate
    assert (tmp_path / "tls" / "tls.key").read_bytes() == leaf.key
    assert (tmp_path / "tls" / "ca.crt").read_bytes() == authority.certificate


def test_a_second_write_replaces_the_first_and_leaves_nothing_of_it(
    authority: KeyPair, leaf: KeyPair, tmp_path: Path
) -> None:
    target = tmp_path / "tls"
    directory.write(target, KeyPair(b"old", b"old"), b"old")
    (target / "..generation-of-a-writer-that-was-killed").mkdir()
    (target / "..data_tmp").symlink_to("nowhere")
    directory.write(target, leaf, authority.certificate)

    assert (target / "tls.key").read_bytes() == leaf.key
    assert sorted(path.name for path in target.iterdir()) == sorted(
        ["..data", os.readlink(target / "..data"), "tls.crt", "tls.key", "ca.crt"]
    )


def test_a_reader_that_resolves_data_once_never_sees_two_generations(tmp_path: Path) -> None:
    target = tmp_path / "tls"
    directory.write(target, KeyPair(b"0" * 5000, b"0" * 5000), b"0" * 5000)
    seen: list[set[bytes]] = []
    first_read, stop = threading.Event(), threading.Event()

    def read_on() -> None:
        while not stop.is_set():
            generation = os.readlink(target / "..data")
            try:
                seen.append({(target / generation / name).read_bytes() for name in ("tls.crt", "tls.key", "ca.crt")})
            except FileNotFoundError:  # a swap fell between: resolve again
                continue
            first_read.set()

    reader = threading.Thread(target=read_on)
    reader.start()
    assert first_read.wait(10)
    for number in range(200):
        content = b"%d" % number * 5000
        directory.write(target, KeyPair(content, content), content)
    stop.set()
    reader.join()

    assert all(len(contents) == 1 for contents in seen)
    assert len({contents.pop() for contents in seen}) > 20


def test_writers_take_turns(tmp_path: Path) -> None:
    target = tmp_path / "tls"
    failures: list[BaseException] = []

    def write_on(content: bytes) -> None:
        try:
            for _ in range(25):
                directory.write(target, KeyPair(content, content), content)
        except BaseException as failure:
            failures.append(failure)

    writers = [threading.Thread(target=write_on, args=[b"%d" % number]) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert failures == []
    assert len({(target / name).read_bytes() for name in ("tls.crt", "tls.key", "ca.crt")}) == 1
    assert len(list(target.iterdir())) == 5


def test_a_write_that_fails_leaves_what_was_there(authority: KeyPair, leaf: KeyPair, tmp_path: Path) -> None:
    target = tmp_path / "tls"
    directory.write(target, leaf, authority.certificate)
    before = sorted(path.name for path in target.iterdir())

    with pytest.raises(TypeError):
        directory.write(target, KeyPair(b"new", None), b"new")  # type: ignore[arg-type]
    assert sorted(path.name for path in target.iterdir()) == before
    assert (target / "tls.crt").read_bytes() == leaf.certificate


@pytest.mark.parametrize("name", ["tls.crt", "tls.key", "ca.crt", "..data"])
def test_files_of_someone_else_are_not_overwritten(
    name: str, authority: KeyPair, leaf: KeyPair, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("mine")

    with pytest.raises(directory.ForeignDirectory) as refusal:
        directory.write(tmp_path, leaf, authority.certificate)
    assert str(refusal.value) == (
        f"{tmp_path / name}: exists and was not written by gpu-slice. Move it away, or name another directory."
    )
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "target"),
    [
        pytest.param("tls.key", "/etc/ssl/private/own.key", id="a link of someone else's"),
        pytest.param("..data", "..2026_07_24_12_00_00.123456789", id="a Secret that the kubelet mounted"),
    ],
)
def test_links_of_someone_else_are_not_replaced(
    name: str, target: str, authority: KeyPair, leaf: KeyPair, tmp_path: Path
) -> None:
    (tmp_path / name).symlink_to(target)

    with pytest.raises(directory.ForeignDirectory, match="was not written by gpu-slice"):
        directory.write(tmp_path, leaf, authority.certificate)
    assert os.readlink(tmp_path / name) == target


@pytest.mark.parametrize("mode", [0o1777, 0o770, 0o707, 0o720], ids=["all, sticky", "group", "others", "group, blind"])
def test_a_directory_that_others_may_write_to_gets_no_key(
    authority: KeyPair, leaf: KeyPair, tmp_path: Path, mode: int
) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(mode)

    with pytest.raises(directory.ForeignDirectory, match="Run chmod go-w on it"):
        directory.write(tmp_path / "open", leaf, authority.certificate)
    assert list((tmp_path / "open").iterdir()) == []


def test_a_directory_of_another_user_gets_no_key(
    authority: KeyPair, leaf: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)

    with pytest.raises(directory.ForeignDirectory) as refusal:
        directory.write(tmp_path, leaf, authority.certificate)
    assert str(refusal.value) == (
        f"{tmp_path}: belongs to another user (uid {owner}), who could replace the key. "
        f"Run this as that user, or name a directory that does not exist yet."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("exists", [True, False], ids=["to a directory", "to nothing"])
def test_no_key_is_written_through_a_symbolic_link(
    exists: bool, authority: KeyPair, leaf: KeyPair, tmp_path: Path
) -> None:
    if exists:
        (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "tls").symlink_to("real")

    with pytest.raises(directory.ForeignDirectory, match=r"tls: is a symbolic link, .* Name the directory itself"):
        directory.write(tmp_path / "tls", leaf, authority.certificate)
    assert not exists or list((tmp_path / "real").iterdir()) == []


def test_a_file_in_the_place_of_the_directory_is_an_error_of_the_system(
    authority: KeyPair, leaf: KeyPair, tmp_path: Path
) -> None:
    (tmp_path / "tls").write_text("mine")
    with pytest.raises(NotADirectoryError):
        directory.write(tmp_path / "tls", leaf, authority.certificate)


def test_files_land_in_the_directory_that_was_looked_at(
    authority: KeyPair, leaf: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though another stands in its place a moment later."""
    target, other = tmp_path / "tls", tmp_path / "other"
    other.mkdir()
    fchmod = os.fchmod

    def swap(descriptor: int, mode: int) -> None:
        if target.exists() and not target.is_symlink():
            target.rename(tmp_path / "moved")
            target.symlink_to(other)
        fchmod(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", swap)
    directory.write(target, leaf, authority.certificate)

    assert (tmp_path / "moved" / "tls.key").read_bytes() == leaf.key
    assert list(other.iterdir()) == []


def test_an_existing_directory_keeps_its_mode_and_its_other_files(
    authority: KeyPair, leaf: KeyPair, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    tmp_path.chmod(0o755)
    directory.write(tmp_path, leaf, authority.certificate)

    assert _mode(tmp_path) == 0o755
    assert _mode(tmp_path / "..data") == 0o700
    assert (tmp_path / "notes.txt").read_text() == "mine"


def _uses(usage: x509.KeyUsage) -> set[str]:
    always = ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment"]
    always += ["key_agreement", "key_cert_sign", "crl_sign"]
    return {name for name in always if getattr(usage, name)}


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _server(leaf: KeyPair, folder: Path) -> ssl.SSLContext:
    directory.write(folder / "served", leaf, b"")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder / "served" / "tls.crt", folder / "served" / "tls.key")
    return context


def _client(authority: KeyPair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # what Python 3.13 and later start from
    context.load_verify_locations(cadata=authority.certificate.decode())
    return context


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str | None:
    """Both ends in this thread, joined by memory.  Returns the protocol version."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(ends)
    while waiting:
        for end in list(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(end)
    return ends[0].version()
