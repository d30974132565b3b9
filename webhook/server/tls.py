"""TLS from a directory with ``tls.crt`` and ``tls.key``, whoever wrote them, looked at again and again.

A context that serves is never loaded anew: a pair that does not match would leave it without a key, and every later
handshake would fail.  A new one is built and tried aside, and takes the place of the old through ``sni_callback``,
which OpenSSL calls for every handshake, with a server name or without.
"""

from __future__ import annotations

import _ssl
import ctypes
import logging
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from webhook.server.metrics import Metrics

CERTIFICATE = "tls.crt"
KEY = "tls.key"
AUTHORITY = "ca.crt"
"""Optional: who issued the certificate.  Where it is there, the certificate must be by one of those in it."""

GROUPS = "X25519:P-256"
"""Key exchanges, in OpenSSL's names."""

_SET_GROUPS_LIST = 92
"""``SSL_CTRL_SET_GROUPS_LIST`` of OpenSSL's ``ssl.h``, behind the macro ``SSL_CTX_set1_groups_list``."""

_TURNS = 4
"""A TLS 1.3 handshake is over after two turns of each side."""

_log = logging.getLogger("gpu_slice")


class BadCertificate(Exception):
    """The directory has no pair that can be served.  The text says why."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A pair that is ready to serve: a handshake was made with it."""

    context: ssl.SSLContext
    not_after: float
    """When the certificate expires, as a Unix time."""
    authority_not_after: float | None
    """The same of who issued it, where that is known."""


class CertificateWatch:
    """Holds the pair in use, and `context`, with which a server listens."""

    def __init__(self, directory: Path, names: tuple[str, ...], metrics: Metrics) -> None:
        """*names*: host names for which the certificate must be good."""
        self.directory = directory
        self.names = names
        self.metrics = metrics
        self.current: Serving | None = None
        self._taken: tuple[bytes | None, ...] = ()
        self._refused: tuple[object, ...] = ()
        self.context = _new_context()
        self.context.sni_callback = self._hand_out

    def _hand_out(self, handshake: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> int | None:
        if self.current is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        handshake.context = self.current.context
        return None

    def look(self) -> None:
        """Read the directory, and take the pair in it if it is new and good."""
        # Resolved once, so that all three are of one generation of a Secret volume.
        folder = (self.directory / CERTIFICATE).resolve().parent
        found = _contents(folder)
        if found == self._taken:
            if self._refused:
                self._refused = ()
                self.metrics.certificate_loaded.set(1)
                _log.info("the certificate in use is back", extra={"fields": {"directory": str(folder)}})
            return
        try:
            serving = load(folder, self.names)
        except BadCertificate as error:
            self._refuse(found, str(error), folder)
            return
        if _contents(folder) != found:  # it is being written just now: the next look will see
            return
        self._taken = found
        self._refused = ()
        self.current = serving
        self.metrics.certificate_loaded.set(1)
        self.metrics.certificate_reloads.labels("taken").inc()
        self.metrics.not_after.set(serving.not_after)
        self.metrics.authority_not_after.set(serving.authority_not_after or 0)
        _log.info("certificate taken", extra={"fields": {"notAfter": serving.not_after}})

    def _refuse(self, found: tuple[bytes | None, ...], problem: str, folder: Path) -> None:
        # The same pair is tried again at each look, as it may only be too early for it, but told of once.
        if self._refused == (found, problem) or _contents(folder) != found:
            return
        self._refused = found, problem
        self.metrics.certificate_loaded.set(0)
        self.metrics.certificate_reloads.labels("refused").inc()
        goes_on = "the old one goes on" if self.current else "not ready until there is a good one"
        _log.error("certificate refused: %s", goes_on, extra={"fields": {"problem": problem}})


def load(directory: Path, names: tuple[str, ...] = ()) -> Serving:
    """Read the pair in *directory*, and try it.  Raises `BadCertificate`."""
    try:
        context = _new_context()
        context.load_cert_chain(directory / CERTIFICATE, directory / KEY)
        return _tried(context, directory, names)
    except FileNotFoundError:
        raise BadCertificate(
            f"{directory}: no {CERTIFICATE} and {KEY}. `gpu-slice certs init --dir DIR` makes a pair, "
            f"`gpu-slice certs keep` one in a cluster"
        ) from None
    except ssl.SSLCertVerificationError as error:
        raise BadCertificate(f"{directory / CERTIFICATE}: {error.verify_message}") from error
    except (OSError, ValueError) as error:
        raise BadCertificate(f"{directory}: {error}") from error


def _new_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # the API server has it since Go 1.12
    context.set_alpn_protocols(["http/1.1"])  # all that the API server speaks to a webhook
    context.num_tickets = 0  # which it never resumes
    _limit_groups(context)
    return context


def _limit_groups(context: ssl.SSLContext) -> None:
    """Allow X25519 and P-256 alone.

    OpenSSL's default includes finite-field groups: a ClientHello with an ffdhe8192 key share costs the server 115 ms
    and its sender nothing.  X25519 alone would refuse an API server in FIPS mode; P-256 alone costs all others a
    second round trip.  Before Python 3.15 an SSLContext takes only one group, so the list is set in the OpenSSL context
    that it holds as its first field; where that cannot be done, P-256 alone is allowed.
    """
    if hasattr(context, "set_groups"):
        context.set_groups(GROUPS)
        return
    with suppress(OSError, AttributeError):
        control = ctypes.CDLL(_ssl.__file__).SSL_CTX_ctrl
        control.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p]
        control.restype = ctypes.c_long
        field = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
        if control(field, _SET_GROUPS_LIST, 0, GROUPS.encode()) == 1:
            return
    context.set_ecdh_curve("prime256v1")


def _contents(folder: Path) -> tuple[bytes | None, ...]:
    return tuple(_bytes(folder / name) for name in (CERTIFICATE, KEY, AUTHORITY))


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _tried(context: ssl.SSLContext, directory: Path, names: tuple[str, ...]) -> Serving:
    """Shake hands in memory with a client that trusts what a caller is told to trust."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority = directory / AUTHORITY
    if authority.is_file():
        trusting.load_verify_locations(authority)
    else:
        trusting.load_verify_locations(directory / CERTIFICATE)
        trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # its issuer need not be there
    leaf: dict[str, object] = {}
    for name in names or ("",):
        trusting.check_hostname = bool(name)
        leaf = _shaken(context, trusting, name)
    if "subjectAltName" not in leaf:
        raise ValueError("the certificate has no subject alternative name, and the API server looks at nothing else")
    issuers = [each for each in trusting.get_ca_certs() if each.get("subject") == leaf.get("issuer")]
    ends = [ssl.cert_time_to_seconds(str(each["notAfter"])) for each in issuers]
    return Serving(context, ssl.cert_time_to_seconds(str(leaf["notAfter"])), max(ends, default=None))


def _shaken(context: ssl.SSLContext, trusting: ssl.SSLContext, name: str) -> dict[str, object]:
    """The server's certificate, as a client sees it that asks for *name*."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(back, there, server_hostname=name or None)
    server = context.wrap_bio(there, back, server_side=True)
    for side in (client, server) * _TURNS:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return dict(client.getpeercert() or {})
