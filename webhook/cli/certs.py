"""``gpu-slice certs``: make certificates in a folder, or keep those of a cluster."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from webhook.cli.cluster import CONTEXT, program
from webhook.cli.terminal import PORT, CouldNotLook, Group, echo
from webhook.cluster.cures import Here

if TYPE_CHECKING:
    from datetime import timedelta

    from certs.cluster import Cluster


@click.group(cls=Group)
def certs() -> None:
    """Make certificates, and manage those of a cluster."""


_NAMESPACE = click.option(
    "--namespace", default="gpu-slice", show_default=True, help="Namespace of the Service and its Secrets."
)
_SERVICE = click.option("--service", default="webhook", show_default=True, help="Name of the Service.")


@certs.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="Folder to write them to.")
@click.option("--service", default="webhook", show_default=True, help="Name of the Service.")
@click.option("--namespace", default="gpu-slice", show_default=True, help="Namespace of the Service.")
@click.option("--name", "names", multiple=True, help="DNS name or IP address to use instead of the Service's names.")
@click.option("--force", is_flag=True, help="Replace existing files.")
def init(directory: Path, service: str, namespace: str, names: tuple[str, ...], force: bool) -> None:
    """Make a CA and a serving certificate: ca.crt, tls.crt and tls.key.

    The CA's key is not kept, so it cannot sign another certificate that the cluster trusts.
    """
    from datetime import UTC, datetime

    from certs import authority
    from certs.directory import CERTIFICATE, ForeignDirectory, write

    if not force and (directory / CERTIFICATE).exists():
        raise click.UsageError(f"{directory}: it already has a certificate. Add --force to replace it")
    now = datetime.now(UTC)
    try:
        root = authority.create_authority("gpu-slice", now=now)
        leaf = authority.issue_leaf(root, names or authority.service_names(service, namespace), now=now)
        write(directory, leaf, root.certificate)
    except (ValueError, ForeignDirectory, OSError) as error:
        raise click.UsageError(str(error)) from None
    valid = leaf.parsed().not_valid_after_utc
    echo(f"{directory}: ca.crt, tls.crt, tls.key; valid until {valid:%Y-%m-%d}", err=True)


@certs.command()
@_SERVICE
@_NAMESPACE
@click.option(
    "--interval", default=60.0, show_default=True, type=click.FloatRange(min=1), help="Seconds between checks."
)
@click.option(
    "--port",
    default=8080,
    show_default=True,
    type=PORT,
    help="Plain HTTP port: /metrics and /healthz.",
)
@click.option("--host", default="", help="Address to listen on.  Default: all addresses.")
@click.option(
    "--configuration",
    type=click.Path(path_type=Path),
    help="The manifest of the webhook configuration.  A metric tells when the one in the cluster differs from it.",
)
@click.option("--advice", type=click.Path(path_type=Path), help="Likewise, that of the configuration of advice.")
def keep(
    service: str,
    namespace: str,
    interval: float,
    port: int,
    host: str,
    configuration: Path | None,
    advice: Path | None,
) -> None:
    """Make, publish and renew the certificates of a cluster until stopped.

    A new CA is added to caBundle of the webhook configuration a day before it is used, and removed when the last
    certificate that it issued has expired.  The Secrets webhook-ca and webhook-tls must exist: manifests/keeper creates
    them.
    """
    from certs.keeper import Keeper
    from certs.metrics import KeeperMetrics, serve
    from certs.shipped import Shipped
    from webhook.server import logs

    logger = logs.configure(sys.stderr, "info")
    for number in (signal.SIGTERM, signal.SIGINT):
        # Stops at once, even in the middle of a request: the keeper may be killed between any two writes.
        signal.signal(number, lambda *_: sys.exit(0))
    metrics = KeeperMetrics()
    keeper = Keeper(
        _cluster(namespace),
        metrics,
        service=service,
        interval=interval,
        shipped=Shipped(configuration, namespace) if configuration else None,
        advice=Shipped(advice, namespace) if advice else None,
    )
    try:
        server = serve(metrics, host, port, interval)
    except OSError as error:
        logger.error("cannot start", extra={"fields": {"problem": f"port {port}: {error.strerror}"}})
        raise click.exceptions.Exit(1) from None
    logger.info("keeping certificates", extra={"fields": {"namespace": namespace, "port": server.server_port}})
    try:
        keeper.run()
    finally:
        logger.info("stopped")


@certs.command()
@_SERVICE
@_NAMESPACE
@CONTEXT
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(service: str, namespace: str, context: str | None, output: str) -> None:
    """Show the state of a cluster's certificates, and the next step.  Exit code 1: something is broken or late."""
    from certs.authority import service_names
    from certs.keeper import utc_now
    from certs.outlook import next_look, problems
    from certs.policy import RotationPolicy
    from certs.situation import Situation
    from certs.stored import made

    cluster = _cluster(namespace, context)
    stored = _read(cluster).stored
    now, policy, names = utc_now(), RotationPolicy(), service_names(service, namespace)
    situation = Situation(stored, now, policy, names)
    outlook = next_look(stored, now, policy, names)
    wrong = problems(stored, now, policy, names)
    report: dict[str, Any] = {
        "authorities": [
            {
                "id": authority.id,
                "until": authority.parsed().not_valid_after_utc.isoformat(),
                "trusted": situation.bundle is not None and authority.parsed() in situation.bundle,
                "issues": authority.key is not None,
                "published": authority.published.isoformat() if authority.published else None,
                "retire": authority.retire.isoformat() if authority.retire else None,
            }
            for authority in stored.authorities
        ],
        "leaf": {
            "issuer": situation.leaf_issuer.id if situation.leaf_issuer else None,
            "issued": made(situation.chain[0]).isoformat(),
            "until": situation.chain[0].not_valid_after_utc.isoformat(),
        }
        if situation.chain
        else None,
        "next": {"when": outlook.when.isoformat(), "what": outlook.kind.value, "why": outlook.why},
        "keeper": _keeper(cluster),
        "problems": list(wrong),
    }
    if output == "json":
        echo(json.dumps(report, indent=2))
    else:
        echo("\n".join(_lines(report)))
    if wrong:
        raise click.exceptions.Exit(1)


def _lines(report: dict[str, Any]) -> list[str]:
    lines = []
    for authority in report["authorities"]:
        state = "trusted" if authority["trusted"] else "not in caBundle"
        state += ", issues" if authority["issues"] else f", leaves {_day(authority['retire'])}"
        lines.append(f"CA {authority['id']}: until {_day(authority['until'])}, {state}")
    leaf = report["leaf"]
    lines.append(
        f"leaf: by {leaf['issuer'] or 'an unknown CA'}, issued {_day(leaf['issued'])}, until {_day(leaf['until'])}"
        if leaf
        else "leaf: none"
    )
    step = report["next"]
    lines.append(f"next: {step['what'].replace('_', ' ')}, {step['when'][:16].replace('T', ' ')} UTC ({step['why']})")
    lines.append(f"keeper: {report['keeper']['state']}")
    return [*lines, *(f"wrong: {problem}" for problem in report["problems"])]


def _keeper(cluster: Cluster) -> dict[str, Any]:
    """Whether the keeper runs; null where nobody knows.  The exit code is about certificates: it may run elsewhere."""
    from certs.cluster import Unreachable

    try:
        why = cluster.keeper()
    except Unreachable as error:
        return {"runs": None, "state": f"not known. {_for_people(error)}"}
    return {"runs": not why, "state": f"does not run: {why}. Nothing renews the certificates" if why else "runs"}


def _day(text: str | None) -> str:
    return text[:10] if text else "when its successor issues"


@certs.command()
@_NAMESPACE
@CONTEXT
@click.option("--compromised", is_flag=True, help="Use this if a key was stolen: end trust in all other CAs quickly.")
def rotate(namespace: str, context: str | None, compromised: bool) -> None:
    """Make a new CA now.  The keeper publishes it, waits, and then issues the next certificate with it.

    With --compromised all other CAs lose their keys, and are removed from caBundle as soon as the replicas have a new
    certificate.
    """
    from dataclasses import replace

    from certs.cluster import Conflict, Unreachable
    from certs.keeper import utc_now
    from certs.policy import RotationPolicy
    from certs.rotation import rotated

    cluster, policy = _cluster(namespace, context), RotationPolicy()
    for _ in range(5):
        snapshot = _read(cluster)
        after = rotated(snapshot.stored.authorities, utc_now(), policy, compromised=compromised)
        try:
            cluster.write(snapshot, replace(snapshot.stored, authorities=after))
            break
        except Conflict:
            continue
        except Unreachable as error:
            raise CouldNotLook(_for_people(error)) from None
    else:
        raise CouldNotLook("another client keeps writing the same Secret. Try again")
    wait = _words(policy.urgent_wait if compromised else policy.wait)
    echo(f"CA {after[-1].id}: made. The keeper publishes it within a minute and issues with it {wait} later.")
    if compromised:
        handover = _words(policy.handover)
        echo(
            f"The other CAs have lost their keys. They leave caBundle {handover} after the new certificate was issued."
        )
    follow = Here(own=namespace, context=context or "", program=program()).told("gpu-slice certs status")
    echo(f"To follow the rotation, run: {follow}", err=True)


def _words(time: timedelta) -> str:
    """A time span in words, such as ``24 hours``.

    >>> from datetime import timedelta
    >>> _words(timedelta(days=1)), _words(timedelta(minutes=1)), _words(timedelta(minutes=15))
    ('24 hours', 'a minute', '15 minutes')
    """
    minutes = int(time.total_seconds()) // 60
    if minutes == 1:
        return "a minute"
    return f"{minutes // 60} hours" if minutes >= 120 else f"{minutes} minutes"


def _cluster(namespace: str, context: str | None = None) -> Cluster:
    """The cluster of *context* in ``$KUBECONFIG`` (one file or several) or ``~/.kube/config``; without either and a
    context, the one that this pod runs in."""
    from kubernetes import client, config
    from yaml import YAMLError

    from certs.cluster import Cluster, Names

    settings = client.Configuration()
    settings.retries = 0  # The client would wait for each timeout four times; the caller retries instead.
    paths = os.environ.get("KUBECONFIG") or "~/.kube/config"
    try:
        if os.environ.get("KUBECONFIG") or Path(paths).expanduser().exists() or context is not None:
            config.load_kube_config(paths, context, client_configuration=settings, persist_config=False)  # type: ignore[no-untyped-call]
        else:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    except (config.ConfigException, YAMLError, OSError) as error:
        problem = " ".join(str(error).split()).rstrip(".")
        raise CouldNotLook(f"no cluster in {paths}: {problem}. Set KUBECONFIG, or run this in a pod") from None
    return Cluster(client.ApiClient(settings), Names(namespace=namespace))


def _read(cluster: Cluster) -> Any:
    from certs.cluster import Unreachable
    from certs.stored import BadRecords

    try:
        return cluster.read()
    except Unreachable as error:
        raise CouldNotLook(_for_people(error)) from None
    except BadRecords as error:
        raise CouldNotLook(str(error)) from None


def _for_people(error: Exception) -> str:
    """What *error* tells somebody at a terminal: its own words are for the account of the keeper."""
    from certs.cluster import Refused

    if isinstance(error, Refused) and error.status in _HINTS:
        return f"{error.problem}. {_HINTS[error.status]}"
    return str(error)


_HINTS = {
    401: "Log in again: the credential of the kubeconfig may have expired",
    403: "You lack the right: ask whoever administers gpu-slice, because its Secrets hold keys. With fewer rights, "
    "gpu-slice check says until when the certificate is valid",
}
