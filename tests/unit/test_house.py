"""What holds for the whole tree: its walls, its names, its words."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from webhook.admission.plan import OWN_NAMESPACE, UNTOUCHED_NAMESPACES
from webhook.server.settings import Settings
from webhook.server.webhook import ADVISE, MUTATE

ROOT = Path(__file__).parents[2]


def tracked() -> list[Path]:
    """The files that git tracks, and those that it would."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


STANDARD = {"app", "bin", "boot", "dev", "etc", "home", "lib", "media", "mnt", "opt", "proc", "run", "sbin", "srv",
            "sys", "tmp", "usr", "var"}  # fmt: skip
"""Top folders of any Linux, and of our image: a path may begin with one of them and be nobody's own."""


def of_a_machine(checkout: Path, home: Path) -> re.Pattern[str]:
    """Matches a path that only the machine of a developer has: below a home, or where this checkout is."""
    folders = ["/(?:home|Users)/[\\w.-]+", "/root"]
    for folder in (checkout, home):
        if len(folder.parts) > 2:
            folders.append(re.escape(folder.as_posix()))
        if len(folder.parts) > 1 and folder.parts[1] not in STANDARD:
            folders.append(re.escape(f"/{folder.parts[1]}"))
    return re.compile(rf"(?<![\w.~-])(?:{'|'.join(folders)})/|[A-Z]:\\Users\\")


def test_no_file_names_a_path_of_a_machine() -> None:
    pattern = of_a_machine(ROOT, Path.home())
    texts = {path: path.read_text(errors="replace") for path in tracked() if path != Path(__file__)}  # it has examples

    assert [f"{path}: {match[0]}" for path, text in texts.items() if (match := pattern.search(text))] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("see /home/ada/notes", True, id="a home"),
        pytest.param("'/Users/ada/gpu-slice'", True, id="a home on a Mac"),
        pytest.param("C:\\Users\\ada", True, id="a home on Windows"),
        pytest.param("cd /root/x", True, id="root's home"),
        pytest.param("cd /data/other/x", True, id="beside the checkout, in a folder that no Linux has"),
        pytest.param("=/srv/ada/x", True, id="the home of whoever runs the tests"),
        pytest.param("https://example.com/home/ada/", False, id="a page"),
        pytest.param("/var/lib/kubelet/device-plugins", False, id="a path that every node has"),
        pytest.param("/spec/root/x", False, id="a field"),
        pytest.param("/database/x", False, id="a name that begins like the folder of the checkout"),
    ],
)
def test_a_path_of_a_machine_is_seen(text: str, expected: bool) -> None:
    pattern = of_a_machine(Path("/data/src/gpu-slice"), Path("/srv/ada"))

    assert bool(pattern.search(text)) is expected


@pytest.mark.parametrize(
    ("checkout", "text", "expected"),
    [
        pytest.param("/tmp/clone", "/tmp/clone/README.md", True, id="the checkout itself"),
        pytest.param("/tmp/clone", "/tmp/other", False, id="a neighbour in a folder that every Linux has"),
        pytest.param("/", "/etc/gpu-slice", False, id="a checkout that is the root of a container"),
    ],
)
def test_it_depends_on_where_the_checkout_is(checkout: str, text: str, expected: bool) -> None:
    assert bool(of_a_machine(Path(checkout), Path("/")).search(text)) is expected


def test_no_file_names_a_package_registry() -> None:
    registry = re.compile("|".join([r"pypi\." + "org", r"pythonhosted\." + "org", r"proxy\.golang\." + "org"]))

    assert [path for path in tracked() if registry.search(path.read_text(errors="replace"))] == []


LOCKED = re.compile(r"\.lock$|^go\.(mod|sum)$|^package-lock\.json$")
CRATES = "registry+https://github.com/rust-lang/crates.io-index"
"""What cargo calls its default registry in each lock, whichever mirror it loads from."""


def test_no_lock_says_where_packages_were_loaded_from() -> None:
    locks = [path for path in tracked() if LOCKED.search(path.name)]
    source = re.compile(r"[a-z+]+://|--(extra-)?index-url|--find-links|--trusted-host")

    assert {path.name for path in locks} >= {
        *(f"requirements{part}.lock" for part in ("", "-dev", "-serve", "-keeper")),
        "go.sum",
        "package-lock.json",
    }
    assert [path for path in locks if source.search(path.read_text().replace(CRATES, ""))] == []


def test_the_locks_have_a_hash_for_every_package() -> None:
    """P40."""
    for path in ROOT.glob("requirements*.lock"):
        name, packages = path.name, re.split(r"\n(?=[a-z0-9])", path.read_text().strip())
        assert len(packages) > 20
        assert all("--hash=sha256:" in package and "==" in package for package in packages), name


def test_every_declared_dependency_is_in_the_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (ROOT / "requirements.lock").read_text()
    for each in project["dependencies"]:
        name = re.match(r"[A-Za-z0-9-]+", each)[0].lower()
        assert re.search(rf"^{name}==", lock, re.MULTILINE), name


def test_the_manifests_and_the_code_agree_on_names_ports_and_paths() -> None:
    webhook = (ROOT / "manifests" / "webhook" / "webhook.yaml").read_text()
    deployment = (ROOT / "manifests" / "webhook" / "deployment.yaml").read_text()
    assert f"path: {MUTATE}" in webhook
    assert f"path: {ADVISE}" in (ROOT / "manifests" / "webhook" / "advice.yaml").read_text()
    excluded = re.search(r"key: kubernetes.io/metadata.name\s+operator: NotIn\s+values: \[([^]]*)\]", webhook)
    assert excluded is not None
    assert {name.strip() for name in excluded[1].split(",")} == UNTOUCHED_NAMESPACES
    assert f"namespace: {OWN_NAMESPACE}" in deployment
    assert f"containerPort: {Settings.port}" in deployment
    assert f"containerPort: {Settings.ops_port}" in deployment


BUILT = re.compile(r"\.bundle\.js$|\.min\.js$|(^|/)node_modules/|\.map$")


def test_nothing_that_is_built_is_kept() -> None:
    assert [path for path in tracked() if BUILT.search(path.as_posix())] == []


def test_most_files_are_small() -> None:
    long = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in tracked()
        if path.suffix in (".py", ".js") and path.parts[len(ROOT.parts)] in ("webhook", "certs")
    }
    assert {name for name, lines in long.items() if lines > 350} <= set()
