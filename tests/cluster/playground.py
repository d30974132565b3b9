"""``make playground``: a toy cluster with the fleet's nodes and the webhook, until Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import queue
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from tests.cluster import programs
from tests.cluster.cluster import cluster
from tests.cluster.install import Installation
from tests.cluster.nodes import nodes
from tests.running import Running
from webhook.cli import files
from webhook.cli.loopback import certify
from webhook.fleet.shadow import in_shadow

TRY = """
Try, in another terminal, from here:

  . {env}

  kubectl apply -f manifests/examples/01-one-slice.yaml && kubectl get pods -o wide
  kubectl apply -f manifests/examples/10-wrong-on-purpose.yaml     # a denial, with the cure
  kubectl run two --image=any --annotations=gpu-slice=2x1g.5gb     # a warning
  sed s/1g.5gb/1g5gb/ manifests/examples/03-job.yaml | kubectl apply -f -    # a Job that is told at once

Pods are bound to nodes and called Running, but nothing runs in them.  Below is what the webhook decides.
Ctrl-C ends everything.
"""


@click.command()
@click.option(
    "--fleet",
    "fleet_path",
    type=click.Path(path_type=Path, exists=True),
    help="Fleet file.  Default: the built-in one.",
)
@click.option("--folder", type=click.Path(path_type=Path), default=Path(".playground"), show_default=True)
def main(fleet_path: Path | None, folder: Path) -> None:
    """A toy cluster: a real API server and scheduler, a node of each pool of the fleet, the webhook and its guard."""
    for number in (signal.SIGTERM, signal.SIGINT):  # which a shell may have told its background jobs to ignore
        signal.signal(number, signal.default_int_handler)
    fleet = files.fleet_at(fleet_path)
    begun = time.monotonic()
    try:
        with alone(folder), cluster(folder / "control-plane") as found:
            tls = folder / "tls"
            certify(tls, "gpu-slice playground")
            options = ["--fleet", str(fleet_path)] if fleet_path else []
            server = Running(tls, "--log-level", "debug", *options)
            try:
                made = nodes(fleet)
                for each in made:
                    found.add_node(each)
                text = fleet_path.read_text() if fleet_path else files.default_fleet_text().decode()
                found.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gpu-slice"}})
                metadata = {"name": "fleet", "namespace": "gpu-slice"}  # for `gpu-slice explain` and `usage`
                found.create(
                    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"fleet.yaml": text}}
                )
                installation = Installation(found)
                shadow = bool(in_shadow(fleet.file))

                def asked(said: str) -> bool:
                    answered = server.metric("gpu_slice_admission_duration_seconds_count") > 0
                    return answered and "ValidatingAdmission" not in said

                installation.guard(shadow=shadow)
                installation.point_at(server.port, tls / "ca.crt", asked, shadow=shadow)
                installation.advise_at(server.port, tls / "ca.crt")
                env = write_env(folder, found.plane.kubeconfig, found.plane.kubectl)
                version = programs.version(f"kubernetes-{programs.kubernetes()}")
                click.echo(f"Kubernetes {version} with {len(made)} nodes, in {time.monotonic() - begun:.0f} s.")
                click.echo(TRY.format(env=env))
                server.lines.queue.clear()  # about our own probes
                while True:
                    tell(server)
            finally:
                server.stop()
    except programs.BuildError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        click.echo("\nended.")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """*folder*, fresh, and nobody else's; gone afterwards."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"another playground runs in {folder}. End that one, or name another folder: --folder")
        for each in folder.iterdir():  # left by one that was killed
            if each.name != "lock":
                shutil.rmtree(each) if each.is_dir() else each.unlink()
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def write_env(folder: Path, kubeconfig: Path, kubectl: Path) -> Path:
    """A file for a shell to read, after which kubectl is there and means this cluster."""
    programs_here = folder.resolve() / "bin"
    programs_here.mkdir()
    (programs_here / "kubectl").symlink_to(kubectl)
    env = folder / "env"
    env.write_text(
        f"export KUBECONFIG={shlex.quote(str(kubeconfig.resolve()))}\n"
        f"export PATH={shlex.quote(str(programs_here))}:$PATH\n"
    )
    return Path(os.path.relpath(env))


def tell(server: Running) -> None:
    """Show the next decision, if there is one soon.  The second visit to a pod, which changes nothing, is not shown."""
    try:
        line = server.lines.get(timeout=1)
    except queue.Empty:
        if server.process.poll() is not None:
            raise click.ClickException("the webhook ended") from None
        return
    if line["message"] != "decided":
        click.echo(line["message"])
    elif line["outcome"] != "unchanged":
        resources, pools = line.get("resources"), line.get("pools")
        given = f"{', '.join(resources)} of {', '.join(pools)}" if resources else line.get("reason", "")
        click.echo(f"{line['outcome']:<10} {given}")


if __name__ == "__main__":
    main()
