"""etcd, Kubernetes, Karpenter, Helm, NVIDIA's device plugin and mig-parted, and a caller, built from pinned Go modules.

Each folder here is a Go module that names programs as its tools: their dependencies disagree, so each has
its own.  What is built lies in ``$XDG_CACHE_HOME/gpu-slice``, in a folder named after the module, its sums, its
own code and the Go version, so that a fresh clone finds it.

    python -m tests.cluster.programs          builds what is missing, with progress; K8S=1.34 picks a release
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster.programs import toolchain

HERE = Path(__file__).parent
NEWEST = "1.37"
"""The Kubernetes release that is used where ``K8S`` does not name another."""


class BuildError(RuntimeError):
    """The programs cannot be had here, and why."""


def kubernetes() -> str:
    """The Kubernetes release to use, such as 1.37: from ``K8S`` in the environment, or the newest."""
    return os.environ.get("K8S") or NEWEST


def has_mutating_policies() -> bool:
    """Whether that release has v1 of MutatingAdmissionPolicy."""
    return toolchain.numbers(kubernetes()) >= (1, 36)


def control_plane() -> Path:
    """A folder with kube-apiserver, kube-controller-manager, kube-scheduler and kubectl.  Raises `BuildError`."""
    return build(f"kubernetes-{kubernetes()}")


def etcd() -> Path:
    """The program etcd.  Raises `BuildError`."""
    return build("etcd", output="etcd") / "etcd"


def karpenter_module() -> str:
    """The module of Karpenter's core: the newest release, or that of ``KARPENTER`` in the environment, such as 1.14."""
    release = os.environ.get("KARPENTER")
    return f"karpenter-{release}" if release else "karpenter"


def karpenter() -> Path:
    """Karpenter with its kwok provider, whose nodes exist in the API alone.  Raises `BuildError`."""
    return build(karpenter_module(), output="karpenter") / "karpenter"


def karpenter_aws() -> Path:
    """A folder with Karpenter for AWS, ``controller``, and EKS' ``nodeadm``.  Raises `BuildError`."""
    return build("karpenter-aws")


def device_plugin() -> Path:
    """NVIDIA's device plugin.  Raises `BuildError`."""
    return build("device-plugin", output="nvidia-device-plugin") / "nvidia-device-plugin"


def helm(major: int = 4) -> Path:
    """Helm 4 or 3.  Raises `BuildError`."""
    return build(f"helm-{major}") / "helm"


def kubeconform() -> Path:
    """Who holds manifests to the schemas of an API server.  Raises `BuildError`."""
    return build("kubeconform") / "kubeconform"


def actionlint() -> Path:
    """Who checks the workflows of GitHub.  Raises `BuildError`."""
    return build("actionlint", output="actionlint") / "actionlint"


def validate_krew_manifest() -> Path:
    """Who checks what krew installs.  Raises `BuildError`."""
    return build("krew", output="validate-krew-manifest") / "validate-krew-manifest"


def mig_parted() -> Path:
    """What the GPU Operator's MIG manager cuts with.  Raises `BuildError`."""
    return build("mig-parted", output="nvidia-mig-parted") / "nvidia-mig-parted"


def caller() -> Path:
    """Who calls a webhook as the API server does, with the API server's own client.  Raises `BuildError`."""
    return build("caller", output="caller") / "caller"


def sources(module: str, path: str) -> Path:
    """The folder of *path*, a Go module that *module* requires, with its sources.  Raises `BuildError`."""
    folder = HERE / module
    try:
        go = toolchain.find(_go_of(folder))
        return Path(json.loads(go.run("mod", "download", "-json", path, folder=folder))["Dir"])
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(f"{path} cannot be had: {_told(error)}") from error


def version(module: str) -> str:
    """The version of what *module* builds, such as v1.37.2: that of the module which its first tool is part of.

    For a tool whose code is here, it is that of the first module that it is made of.
    """
    text = (HERE / module / "go.mod").read_text()
    tool = re.search(r"^tool (\S+)", text, re.MULTILINE)[1]
    required = re.findall(r"^\s*(?:require )?([\w.-]+/\S+) (v\S+)", text, re.MULTILINE)
    if tool == re.search(r"^module (\S+)", text, re.MULTILINE)[1]:
        return required[0][1]
    return max((len(path), each) for path, each in required if f"{tool}/".startswith(f"{path}/"))[1]


def build(module: str, *, output: str = "") -> Path:
    """The folder with the programs of *module*; they are built if they are not there yet.

    *output* names the program of a module that has only one.  Raises `BuildError`.
    """
    folder = HERE / module
    if not (folder / "go.mod").is_file():
        known = ", ".join(sorted(path.parent.name for path in HERE.glob("*/go.mod")))
        raise BuildError(f"tests/cluster/programs has no module '{module}', only {known}; pin.py makes one")
    flags = ["-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {_say_version(module)}".strip()]
    with toolchain.locked(toolchain.cache() / f"{module}.lock"):
        try:
            go = toolchain.find(_go_of(folder))
        except (OSError, subprocess.CalledProcessError) as error:
            raise BuildError(f"no Go toolchain: {_told(error)}") from error
        key = hashlib.sha256()
        for part in ((folder / "go.mod").read_bytes(), (folder / "go.sum").read_bytes(), go.version.encode()):
            key.update(part)
        key.update(" ".join([*flags, output]).encode())
        if (folder / "main.go").is_file():
            for path in sorted(folder.glob("*.go")):
                key.update(path.read_bytes())
        built = toolchain.cache() / f"{module}-{version(module)}-{key.hexdigest()[:16]}"
        if not built.is_dir():
            _build(module, go, flags, output, built)
    return built


def _build(module: str, go: toolchain.Go, flags: list[str], output: str, built: Path) -> None:
    folder = HERE / module
    with tempfile.TemporaryDirectory(dir=built.parent, prefix=f"{module}.") as unfinished:
        target = Path(unfinished) / "bin"
        target.mkdir()
        command = [go.path, "build", "-v", *flags, "-o", f"{target}/{output}", "tool"]
        try:
            listed = go.run("list", "-deps", "tool", folder=folder)
            with Progress(f"{module} {version(module)}", len(listed.splitlines())) as progress:
                _follow(command, folder, go.environment(), progress)
        except subprocess.CalledProcessError as error:
            raise BuildError(f"{module} cannot be built: {_told(error)}") from error
        target.rename(built)


def _follow(command: list[str], folder: Path, environment: dict[str, str], progress: Progress) -> None:
    """Run the build, and count the packages that it names.  Raises `subprocess.CalledProcessError`."""
    last: list[str] = []
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            last = [*last[-9:], line]
            if not line.startswith("go: "):
                progress.step()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr="".join(last))


class Progress:
    """A line on stderr that tells how far a build is: rewritten on a terminal, else once in half a minute."""

    def __init__(self, what: str, packages: int) -> None:
        self.what, self.packages = what, packages
        self.done = 0
        self.start = time.monotonic()
        self.told = 0.0
        self.every = 0.5 if sys.stderr.isatty() else 30

    def __enter__(self) -> Progress:
        self._tell(f"building {self.what}: once, then it is kept in {toolchain.cache()}", end="\n")
        return self

    def __exit__(self, *_: object) -> None:
        self._tell(f"built {self.what} in {time.monotonic() - self.start:.0f} s", end="\n")

    def step(self) -> None:
        """One package more."""
        self.done += 1
        now = time.monotonic()
        if now - self.told >= self.every:
            self.told = now
            text = f"building {self.what}: {self.done} of {self.packages} packages, {now - self.start:.0f} s"
            self._tell(text, end="" if sys.stderr.isatty() else "\n")

    def _tell(self, text: str, end: str) -> None:
        clear = "\r\033[K" if sys.stderr.isatty() else ""
        print(clear + text, end=end, file=sys.stderr, flush=True)


def _go_of(folder: Path) -> tuple[int, ...]:
    """The oldest Go that builds the module."""
    return toolchain.numbers(re.search(r"^go (\S+)$", (folder / "go.mod").read_text(), re.MULTILINE)[1])


def _say_version(module: str) -> str:
    """Without it Kubernetes' programs call themselves v0.0.0-master, which kubectl cannot read."""
    return f"-X k8s.io/component-base/version.gitVersion={version(module)}" if module.startswith("kubernetes-") else ""


def _told(error: Exception) -> str:
    return " ".join((getattr(error, "stderr", None) or str(error)).split())[-600:]
