"""``gpu-slice certs``: certificates, in a folder or kept in a cluster."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from webhook.cli.terminal import echo

if TYPE_CHECKING:
    from datetime import timedelta

    from certs.cluster import Cluster


@click.group()
def certs() -> None:
    """Make certificates, and keep those of a cluster."""


_NAMESPACE = click.option(
    "--namespace", default="gpu-slice", show_default=True, help="Namespace of the Service and its Secrets."
)
_SERVICE = click.option("--service", default="webhook", show_default=True, help="Name of the Service.")


@certs.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="Where to write them.")
@click.option("--service", default="webhook", show_default=True, help="Name of the Service.")
@click.option("--namespace", default="gpu-slice", show_default=True, help="Namespace of the Service.")
@click.option("--name", "names", multiple=True, help="DNS name or IP address, instead of the Service's names.")
@click.option("--force", is_flag=True, help="Replace what is there.")
def init(directory: Path, service: str, namespace: str, names: tuple[str, ...], force: bool) -> None:
    """Make a CA and a serving certificate: ca.crt, tls.crt and tls.key.

    The CA's key is not kept: nobody can use it to make another certificate that the cluster trusts.
    """
    from datetime import UTC, datetime

    from certs import authority
    from certs.directory import ForeignDirectory, write

    if not force and (directory / "tls.crt").exists():
        raise click.UsageError(f"{directory}: has a certificate already. Add --force to replace it")
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
    "--interval", default=60.0, show_default=True, type=click.FloatRange(min=1), help="Seconds between looks."
)
@click.option("--port", default=8080, show_default=True, help="Plain HTTP: /metrics and /healthz.")
@click.option("--host", default="", help="Address of that port.  Default: all of them.")
def keep(service: str, namespace: str, interval: float, port: int, host: str) -> None:
    """Make, publish and renew the certificates of a cluster, for as long as this runs.

    The CA goes into caBundle of the webhook configuration a day before it is used, and leaves when the last certificate
    that it issued has ended.  The Secrets webhook-ca and webhook-tls must be there: manifests/keeper has them.
    """
    from certs.keeper import Keeper
    from certs.metrics import Metrics, serve
    from webhook.server import logs

    logger = logs.configure(sys.stderr, "info")
    for number in (signal.SIGTERM, signal.SIGINT):
        # At once, also in the middle of a request: it is made to be killed between any two writes.
        signal.signal(number, lambda *_: sys.exit(0))
    metrics = Metrics()
    keeper = Keeper(_cluster(namespace), metrics, service=service, interval=interval)
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
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(service: str, namespace: str, output: str) -> None:
    """Say how the certificates of a cluster are, and what happens next.  Exit 1: something is broken or late."""
    from certs.authority import service_names
    from certs.keeper import utc_now
    from certs.outlook import next_look, problems
    from certs.policy import Policy
    from certs.situation import Situation
    from certs.stored import made

    stored = _read(_cluster(namespace)).stored
    now, policy, names = utc_now(), Policy(), service_names(service, namespace)
    at = Situation(stored, now, policy, names)
    coming = next_look(stored, now, policy, names)
    wrong = problems(stored, now, policy, names)
    found: dict[str, Any] = {
        "authorities": [
            {
                "id": each.id,
                "until": each.parsed().not_valid_after_utc.isoformat(),
                "trusted": at.bundle is not None and each.parsed() in at.bundle,
                "issues": each.key is not None,
                "published": each.published.isoformat() if each.published else None,
                "retire": each.retire.isoformat() if each.retire else None,
            }
            for each in stored.authorities
        ],
        "leaf": {
            "issuer": at.leaf_issuer.id if at.leaf_issuer else None,
            "issued": made(at.chain[0]).isoformat(),
            "until": at.chain[0].not_valid_after_utc.isoformat(),
        }
        if at.chain
        else None,
        "next": {"when": coming.when.isoformat(), "what": coming.kind.value, "why": coming.why},
        "problems": list(wrong),
    }
    if output == "json":
        echo(json.dumps(found, indent=2))
    else:
        echo("\n".join(_told(found)))
    if wrong:
        raise click.exceptions.Exit(1)


def _told(found: dict[str, Any]) -> list[str]:
    lines = []
    for each in found["authorities"]:
        state = "trusted" if each["trusted"] else "not in caBundle"
        state += ", issues" if each["issues"] else f", leaves {_day(each['retire'])}"
        lines.append(f"CA {each['id']}: until {_day(each['until'])}, {state}")
    leaf = found["leaf"]
    lines.append(
        f"leaf: by {leaf['issuer'] or 'an unknown CA'}, issued {_day(leaf['issued'])}, until {_day(leaf['until'])}"
        if leaf
        else "leaf: none"
    )
    coming = found["next"]
    lines.append(
        f"next: {coming['what'].replace('_', ' ')}, {coming['when'][:16].replace('T', ' ')} UTC ({coming['why']})"
    )
    return [*lines, *(f"wrong: {each}" for each in found["problems"])]


def _day(text: str | None) -> str:
    return text[:10] if text else "when its successor issues"


@certs.command()
@_NAMESPACE
@click.option("--compromised", is_flag=True, help="A key was stolen: end the trust in all others as soon as may be.")
def rotate(namespace: str, compromised: bool) -> None:
    """Make a new CA now.  The keeper publishes it, waits, and issues the next certificate by it.

    With --compromised the others lose their keys, and leave caBundle as soon as the replicas have a new certificate.
    """
    from dataclasses import replace

    from certs.cluster import Conflict, Unreachable
    from certs.keeper import utc_now
    from certs.policy import Policy
    from certs.rotation import rotated

    cluster, policy = _cluster(namespace), Policy()
    for _ in range(5):
        snapshot = _read(cluster)
        after = rotated(snapshot.stored.authorities, utc_now(), policy, compromised=compromised)
        try:
            cluster.write(snapshot, replace(snapshot.stored, authorities=after))
            break
        except Conflict:
            continue
        except Unreachable as error:
            raise click.ClickException(str(error)) from None
    else:
        raise click.ClickException("somebody else writes the same Secret, again and again. Try again")
    wait = _words(policy.urgent_wait if compromised else policy.wait)
    echo(f"CA {after[-1].id}: made. The keeper publishes it within a minute, and issues by it {wait} after that.")
    if compromised:
        handover = _words(policy.handover)
        echo(f"The others have lost their keys, and leave caBundle {handover} after the new certificate was issued.")
    echo("Follow it with: gpu-slice certs status", err=True)


def _words(time: timedelta) -> str:
    """As in ``24 hours``.

    >>> from datetime import timedelta
    >>> _words(timedelta(days=1)), _words(timedelta(minutes=1)), _words(timedelta(minutes=15))
    ('24 hours', 'a minute', '15 minutes')
    """
    minutes = int(time.total_seconds()) // 60
    if minutes == 1:
        return "a minute"
    return f"{minutes // 60} hours" if minutes >= 120 else f"{minutes} minutes"


def _cluster(namespace: str) -> Cluster:
    """The cluster of ``$KUBECONFIG`` (one file or several) or ``~/.kube/config``; where there is neither, of the pod
    that this is."""
    from kubernetes import client, config
    from yaml import YAMLError

    from certs.cluster import Cluster, Names

    settings = client.Configuration()
    settings.retries = 0  # or each time-out is waited for four times; what fails is tried again by whoever asked
    paths = os.environ.get("KUBECONFIG") or "~/.kube/config"
    try:
        if os.environ.get("KUBECONFIG") or Path(paths).expanduser().exists():
            config.load_kube_config(paths, client_configuration=settings, persist_config=False)  # type: ignore[no-untyped-call]
        else:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    except (config.ConfigException, YAMLError, OSError) as error:
        problem = " ".join(str(error).split()).rstrip(".")
        raise click.UsageError(f"no cluster in {paths}: {problem}. Set KUBECONFIG, or run this in a pod") from None
    return Cluster(client.ApiClient(settings), Names(namespace=namespace))


def _read(cluster: Cluster) -> Any:
    from certs.cluster import Unreachable
    from certs.stored import BadRecords

    try:
        return cluster.read()
    except (Unreachable, BadRecords) as error:
        raise click.ClickException(str(error)) from None
