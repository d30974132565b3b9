"""A control plane as processes on loopback: etcd, API server, controller manager and scheduler.

It differs from a cluster in what it leaves out: no kubelet (`tests.cluster.kubelet` plays one), no service
accounts, no node lifecycle (nothing sends heartbeats), no network.  Extended resources are tolerated by the
API server itself, as on EKS.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import programs
from tests.waiting import wait_for
from webhook.cli.loopback import LOOPBACK, certify

Document = dict[str, Any]

CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "daemonset-controller",
    "job-controller",
    "cronjob-controller",
    "resourcequota-controller",
    "namespace-controller",
    "garbage-collector-controller",
    "validatingadmissionpolicy-status-controller",  # checks the types of expressions
)


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """What is needed to talk to a running control plane."""

    url: str
    ca: Path
    token: str
    """Of a user in ``system:masters``."""
    kubeconfig: Path
    kubectl: Path
    logs: Path
    """A folder with one file for each program."""

    def run(
        self, *arguments: str, stdin: str | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """kubectl, whatever it says."""
        home = self.kubeconfig.parent
        here = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(self.kubeconfig)}
        command = [str(self.kubectl), *arguments]
        return subprocess.run(
            command, input=stdin, env=here | dict(environment or {}), capture_output=True, text=True, timeout=120
        )

    def metrics(self) -> str:
        """What the API server counts, in Prometheus' text format."""
        return self._get("/metrics")

    def ready(self) -> bool:
        """Whether the API server answers."""
        try:
            return self._get("/readyz") == "ok"
        except OSError:
            return False

    def _get(self, path: str) -> str:
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        context = ssl.create_default_context(cafile=str(self.ca))
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            return answer.read().decode()


@contextmanager
def control_plane(
    folder: Path, plugins: Sequence[str] = (), admission: Document | None = None, services: str = "10.0.0.0/24"
) -> Iterator[ControlPlane]:
    """Start everything, with its data, keys and logs in *folder*; end everything.

    *plugins*: admission plugins that EKS does not have enabled; *admission*: an AdmissionConfiguration; *services*: the
    addresses of Services, behind which nothing is unless they are on loopback.

    Raises `tests.cluster.programs.BuildError` where the programs cannot be had.
    """
    binaries, etcd = programs.control_plane(), programs.etcd()
    folder = folder.resolve()
    logs = folder / "logs"
    logs.mkdir(parents=True)
    store, peer, secure = free_ports(3)
    keys = folder / "keys"
    certify(keys, "control plane")
    token = secrets.token_hex(16)
    tokens = folder / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text(f"{token},admin,admin,system:masters\n")
    found = ControlPlane(
        url=f"https://{LOOPBACK}:{secure}",
        ca=keys / "ca.crt",
        token=token,
        kubeconfig=folder / "kubeconfig",
        kubectl=binaries / "kubectl",
        logs=logs,
    )
    _write_kubeconfig(found)
    configured = []
    if admission is not None:
        path = folder / "admission.yaml"
        path.write_text(json.dumps(admission))
        configured = [f"--admission-control-config-file={path}"]
    client, peers = f"http://{LOOPBACK}:{store}", f"http://{LOOPBACK}:{peer}"
    with ExitStack() as stack:
        start = Starter(stack, logs)
        start(
            etcd,
            f"--data-dir={folder / 'etcd'}",
            "--unsafe-no-fsync",  # nobody misses these data after a crash
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--log-level=warn",
        )
        api_server = start(
            binaries / "kube-apiserver",
            f"--etcd-servers={client}",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={secure}",
            f"--tls-cert-file={keys / 'tls.crt'}",
            f"--tls-private-key-file={keys / 'tls.key'}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",  # as on EKS
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={keys / 'tls.crt'}",
            f"--service-account-signing-key-file={keys / 'tls.key'}",
            f"--service-cluster-ip-range={services}",
            # Pods here have no service account, as nothing makes them.
            "--disable-admission-plugins=ServiceAccount",
            f"--enable-admission-plugins={','.join(['ExtendedResourceToleration', *plugins])}",
            *configured,
        )

        def answers() -> bool:
            if api_server.poll() is not None:
                raise RuntimeError(f"kube-apiserver ended: {_tail(logs / 'kube-apiserver.log')}")
            return found.ready()

        wait_for("the API server is ready", answers)
        alone = [f"--kubeconfig={found.kubeconfig}", "--leader-elect=false", "--secure-port=0"]
        start(binaries / "kube-controller-manager", f"--controllers={','.join(CONTROLLERS)}", *alone)
        start(binaries / "kube-scheduler", *alone)
        yield found


class Starter:
    """Starts programs that end when *stack* does, the last first."""

    def __init__(self, stack: ExitStack, logs: Path, environment: Mapping[str, str] | None = None) -> None:
        self.stack, self.logs = stack, logs
        self.environment = os.environ | dict(environment or {})
        # Also when we are killed, and can end nothing: part of util-linux.
        self.leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []

    def __call__(self, program: Path, *flags: str) -> subprocess.Popen[bytes]:
        log = self.stack.enter_context((self.logs / f"{program.name}.log").open("wb"))
        command = [*self.leash, str(program), *flags]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=self.environment,
        )
        self.stack.callback(_end, process)
        return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:  # an API server waits a minute for its watchers
        process.kill()
        process.wait()


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses, outside of those that the kernel gives to outgoing connections."""
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            port = random.randrange(10_000, 30_000)
            try:
                stack.enter_context(socket.create_server((LOOPBACK, port)))
            except OSError:
                continue
            found.append(port)
        return found


def _write_kubeconfig(found: ControlPlane) -> None:
    found.kubeconfig.touch(mode=0o600)
    cluster = {"server": found.url, "certificate-authority": str(found.ca)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "gpu-slice", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": found.token}}],
        "contexts": [{"name": "gpu-slice", "context": {"cluster": "gpu-slice", "user": "admin"}}],
        "current-context": "gpu-slice",
    }
    found.kubeconfig.write_text(json.dumps(content, indent=2))


def _tail(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").splitlines()[-5:])
