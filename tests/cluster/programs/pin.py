"""Pins the programs of one Kubernetes release as Go tools: `python tests/cluster/programs/pin.py v1.37.2`.

Writes `kubernetes-1.37/go.mod` and its `go.sum`. The module `k8s.io/kubernetes` points at its own `./staging` folders
for `k8s.io/api` and some thirty others, which nobody who imports it has; here each is replaced by the published module
of the same release (v1.37.2 is v0.37.2 there).
"""

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
COMMANDS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")


def pin(version: str) -> None:
    """Write the module that names the programs of Kubernetes `version`, such as v1.37.2."""
    minor = ".".join(version.removeprefix("v").split(".")[:2])
    folder = HERE / f"kubernetes-{minor}"
    folder.mkdir(exist_ok=True)
    downloaded = go(folder, "mod", "download", "-json", f"k8s.io/kubernetes@{version}")
    published = json.loads(go(folder, "mod", "edit", "-json", json.loads(downloaded)["GoMod"]))
    staged = [r["Old"]["Path"] for r in published["Replace"] if r["New"]["Path"].startswith("./staging/")]
    library = "v0." + version.removeprefix("v1.")
    (folder / "go.mod").write_text(
        f"module gpu-slice/tests/cluster/kubernetes\n\ngo {published['Go']}\n\n"
        + "".join(f"tool k8s.io/kubernetes/cmd/{command}\n" for command in COMMANDS)
        + f"\nrequire k8s.io/kubernetes {version}\n\nreplace (\n"
        + "".join(f"\t{path} => {path} {library}\n" for path in staged)
        + ")\n"
    )
    go(folder, "mod", "tidy")


def go(folder: pathlib.Path, *arguments: str) -> str:
    return subprocess.run(["go", *arguments], cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    pin(sys.argv[1])
