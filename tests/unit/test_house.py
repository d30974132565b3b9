"""What holds for the whole tree: its walls, its names, its words."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

from webhook import __version__
from webhook.admission.plan import OWN_NAMESPACE, UNTOUCHED_NAMESPACES
from webhook.server.settings import Settings
from webhook.server.webhook import MUTATE

ROOT = Path(__file__).parents[2]


def tracked() -> list[Path]:
    """The files that git tracks, and those that it would."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_no_file_names_a_path_of_a_machine_or_a_package_registry() -> None:
    machine = re.compile(r"(^|[^A-Za-z0-9_.-])/(" + "|".join(["work", "farm", "root"]) + r")/")
    registry = re.compile("|".join([r"pypi\." + "org", r"pythonhosted\." + "org", r"proxy\.golang\." + "org"]))
    for path in tracked():
        text = path.read_text(errors="replace")
        assert not machine.search(text), path
        assert not registry.search(text), path


def test_the_locks_have_a_hash_for_every_package_and_no_address() -> None:
    """P40."""
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        packages = re.split(r"\n(?=[a-z0-9])", text.strip())
        assert len(packages) > 30
        assert all("--hash=sha256:" in package and "==" in package for package in packages), name
        assert "://" not in text


def test_every_declared_dependency_is_in_the_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (ROOT / "requirements.lock").read_text()
    for each in project["dependencies"]:
        name = re.match(r"[A-Za-z0-9-]+", each)[0].lower()
        assert re.search(rf"^{name}==", lock, re.MULTILINE), name


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert f"newTag: {__version__}" in (ROOT / "manifests" / "webhook" / "kustomization.yaml").read_text()


def test_the_manifests_and_the_code_agree_on_names_ports_and_paths() -> None:
    webhook = (ROOT / "manifests" / "webhook" / "webhook.yaml").read_text()
    deployment = (ROOT / "manifests" / "webhook" / "deployment.yaml").read_text()
    assert f"path: {MUTATE}" in webhook
    assert all(name in webhook for name in UNTOUCHED_NAMESPACES)
    assert f"namespace: {OWN_NAMESPACE}" in deployment
    assert f"containerPort: {Settings.port}" in deployment
    assert f"containerPort: {Settings.ops_port}" in deployment


def test_most_files_are_small() -> None:
    long = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in tracked()
        if path.suffix == ".py" and path.parts[len(ROOT.parts)] in ("webhook", "certs")
    }
    assert {name for name, lines in long.items() if lines > 350} <= {"webhook/documents.py"}
