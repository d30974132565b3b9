"""What each image installs: no more than it imports, no less, and in the versions of a plain install."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.running import Running
from webhook.cli.loopback import LOOPBACK

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"^(\S+)==([^\s;]+)", re.MULTILINE)

LISTED = """
import atexit, json, runpy, sys
from importlib.metadata import packages_distributions

def tell():
    of = packages_distributions()
    loaded = {name.partition(".")[0] for name, module in sys.modules.items() if module is not None}
    with open(sys.argv_of_test, "w") as file:
        json.dump(sorted({each for name in loaded for each in of.get(name, ())}), file)

sys.argv_of_test = sys.argv.pop(1)
atexit.register(tell)
sys.argv[0] = "gpu-slice"
runpy.run_module("webhook", run_name="__main__")
"""
"""``gpu-slice``, which writes into a file from which distributions it has imported when it ends."""

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a", "annotations": {"gpu-slice": "1g.5gb"}},
    "spec": {"containers": [{"name": "main", "image": "a/b:1"}]},
}
NOBODY = """
apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: a, context: {cluster: a}}]
current-context: a
"""
"""The configuration of a cluster where nobody answers."""

NOT_OURS = {"gpu-slice", "setuptools", "pip", "blinker", "chardet"}
"""Imported where it is, and not needed: setuptools by its ``.pth``, blinker by oauthlib, chardet by requests."""


def locked(name: str) -> dict[str, set[str]]:
    """The distributions of a lock, with their versions."""
    found: dict[str, set[str]] = {}
    for each, version in PINNED.findall((ROOT / f"requirements{name}.lock").read_text()):
        found.setdefault(canonicalize_name(each), set()).add(version)
    return found


@pytest.mark.parametrize(
    ("part", "whole"),
    [("-serve", ""), ("-keeper", ""), ("", "-dev")],
    ids=["the webhook's image", "the keeper's image", "a plain install"],
)
def test_a_lock_is_a_part_of_the_next_in_the_same_versions(part: str, whole: str) -> None:
    assert locked(part).items() <= locked(whole).items()


def needed(names: set[str]) -> set[str]:
    """*names*, and what they require in turn."""
    found: set[str] = set()
    while names:
        name = names.pop()
        found.add(name)
        for text in distribution(name).requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                names |= {canonicalize_name(requirement.name)} - found
    return found


def imported(path: Path) -> set[str]:
    """The distributions that `LISTED` wrote down."""
    return {canonicalize_name(each) for each in json.loads(path.read_text())} - NOT_OURS


@pytest.mark.parametrize("options", [[], ["--preview"]], ids=["the webhook", "with its page"])
def test_the_serving_path_imports_what_its_lock_has_and_nothing_else(
    options: list[str], tls: Path, tmp_path: Path
) -> None:
    """P40."""
    running = Running(tls, *options, program=(sys.executable, "-c", LISTED, str(tmp_path / "imported")))
    assert running.client.review(POD, "default")["patch"]
    if options:
        assert running.post("/preview", json.dumps(POD).encode())[0] == 200
        assert {running.get(path)[0] for path in ("/", "/catalogue", "/fleet", "/openapi.json", "/metrics")} == {200}
    assert running.stop() == 0

    found = imported(tmp_path / "imported")
    assert found <= locked("-serve").keys()
    if options:
        assert needed(found) == locked("-serve").keys()


def test_the_keeper_imports_what_its_lock_has_and_nothing_else(tmp_path: Path) -> None:
    """P40."""
    (tmp_path / "kubeconfig").write_text(NOBODY)
    modules = "".join(f"import certs.{path.stem}\n" for path in (ROOT / "certs").glob("[a-z]*.py"))
    command = [
        sys.executable,
        "-c",
        modules + LISTED,
        str(tmp_path / "imported"),
        "certs",
        "keep",
        "--port=0",
        "--host",
    ]
    environment = os.environ | {"KUBECONFIG": str(tmp_path / "kubeconfig")}
    with subprocess.Popen([*command, LOOPBACK], env=environment, stderr=subprocess.PIPE, text=True) as keeper:
        for line in keeper.stderr or ():  # it has tried to read the cluster, and goes on
            if '"level":"warning"' in line or '"level":"error"' in line:
                break
        else:
            pytest.fail(f"the keeper ended with {keeper.wait()}")
        keeper.terminate()
    assert keeper.returncode == 0

    found = imported(tmp_path / "imported")
    assert found <= locked("-keeper").keys()
    assert needed(found) == locked("-keeper").keys()


def test_only_the_keepers_image_has_the_client_of_the_kubernetes_api() -> None:
    assert "kubernetes" in locked("-keeper")
    assert "kubernetes" not in locked("-serve")
    assert "cryptography" not in locked("-serve")
