"""The sdist and the wheel, built twice, and installed alone into an environment that has nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import hatch_build
from tests.packages import skip
from tests.unit.test_house import tracked
from webhook import __version__

pytestmark = pytest.mark.slow  # it installs

ROOT = Path(__file__).parents[2]
WHEEL, SDIST = f"gpu_slice-{__version__}-py3-none-any.whl", f"gpu_slice-{__version__}.tar.gz"
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "GPU_SLICE", "VIRTUAL"))}


def build(source: Path, into: Path) -> Path:
    """A folder with the sdist and the wheel of *source*."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(into)]
    environment = CLEAN | {"SOURCE_DATE_EPOCH": "1700000000"}
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return into


@pytest.fixture(scope="module", name="built")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is built of a clean checkout."""
    if problem := hatch_build.build():
        skip(f"the page's editor cannot be built: {problem}")
    checkout = tmp_path_factory.mktemp("checkout")
    for path in [*tracked(), hatch_build.BUNDLE]:
        (checkout / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, checkout / path.relative_to(ROOT))
    return build(checkout, tmp_path_factory.mktemp("built"))


def test_building_again_makes_the_same_bytes(built: Path, tmp_path: Path) -> None:
    again = build(ROOT, tmp_path)

    assert sorted(path.name for path in built.iterdir()) == [WHEEL, SDIST]
    for name in (WHEEL, SDIST):
        assert (again / name).read_bytes() == (built / name).read_bytes(), name


def test_a_wheel_of_the_sdist_is_the_same_and_needs_no_node(built: Path, tmp_path: Path) -> None:
    with tarfile.open(built / SDIST) as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / SDIST.removesuffix(".tar.gz")
    (tmp_path / "empty").mkdir()
    build(source, tmp_path / "out")

    assert (tmp_path / "out" / WHEEL).read_bytes() == (built / WHEEL).read_bytes()


def test_they_hold_what_is_needed_and_nothing_that_lies_about(built: Path) -> None:
    with tarfile.open(built / SDIST) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(built / WHEEL) as wheel:
        packed = set(wheel.namelist())

    assert {name.partition("/")[0] for name in names} == {
        "webhook", "certs", "docs", "hatch_build.py", "pyproject.toml", "requirements.lock", "README.md", "LICENSE",
        "CHANGELOG.md", "PKG-INFO", ".gitignore",
    }  # fmt: skip
    assert {name.partition("/")[0] for name in packed} == {"webhook", "certs", f"gpu_slice-{__version__}.dist-info"}
    for each in (names, packed):
        assert [name for name in each if "__pycache__" in name or "node_modules" in name] == []
        assert "webhook/server/api/page/editor.bundle.js" in each
    assert "webhook/server/api/page/messages.md" in packed
    code = {
        str(path.relative_to(ROOT)) for path in tracked() if path.relative_to(ROOT).parts[0] in ("webhook", "certs")
    }
    assert code <= names
    assert {name for name in code if "/editor/" not in name} <= packed


@pytest.fixture(scope="module", name="installed")
def _installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of an environment with what the lock has, and the wheel."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, env=CLEAN)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    locked = subprocess.run(
        [*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(ROOT / "requirements.lock")],
        env=CLEAN, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    if locked.returncode:
        skip(f"the lock cannot be installed here: {locked.stderr.strip()[-300:]}")
    subprocess.run([*pip, "--no-deps", "--no-index", str(built / WHEEL)], env=CLEAN, check=True)
    return folder / "bin"


def run(program: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), *arguments], cwd=cwd, env=CLEAN | {"PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip


def test_all_that_the_commands_need_comes_with_a_plain_install(installed: Path, tmp_path: Path) -> None:
    checked = run(installed / "python", "-m", "pip", "check", cwd=tmp_path)
    assert checked.stdout == "No broken requirements found.\n", checked.stdout

    every = "import pkgutil, webhook, certs\nfor each in (webhook, certs):\n for module in pkgutil.walk_packages("
    every += "each.__path__, each.__name__ + '.'):\n  if not module.name.endswith('__main__'): __import__(module.name)"
    done = run(installed / "python", "-I", "-c", every, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("program", "arguments", "said"),
    [
        ("gpu-slice", ["--version"], f"gpu-slice, version {__version__}"),
        ("gpu-slice", ["preview", "pod.yaml"], '+        nvidia.com/mig-1g.5gb: "1"'),
        ("gpu-slice", ["fit", "--need", "1g.5gb=9"], "1g.5gb"),
        ("gpu-slice", ["draw", "layout", "a100-1g-5gb"], "<svg"),
        ("gpu-slice", ["render", "--only", "node-pools"], "kind: NodePool"),
        ("gpu-slice", ["demo", "pod.yaml"], "1 sliced."),
        ("gpu-slice", ["certs", "init", "--dir", "tls"], ""),
        ("kubectl-gpu_slice", ["--version"], __version__),
        ("python", ["-I", "-m", "webhook", "profiles"], "a100-1g-5gb"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else None,
)
def test_a_command_runs_from_an_empty_folder(
    installed: Path, tmp_path: Path, program: str, arguments: list[str], said: str
) -> None:
    shutil.copy(ROOT / "manifests" / "examples" / "01-one-slice.yaml", tmp_path / "pod.yaml")

    done = run(installed / program, *arguments, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert said in done.stdout


@contextmanager
def page(installed: Path, cwd: Path) -> Iterator[str]:
    """The address of the page of what is installed."""
    command = [str(installed / "gpu-slice"), "page", "--no-browser"]
    environment = CLEAN | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def test_the_page_of_what_is_installed_has_its_editor_and_its_messages(installed: Path, tmp_path: Path) -> None:
    with page(installed, tmp_path) as address:
        index = urllib.request.urlopen(address, timeout=60).read().decode()
        linked = re.findall(r'(?:src|href)="(/[^"]+)"', index)
        answers = {path: urllib.request.urlopen(address.rstrip("/") + path, timeout=60) for path in linked}

        assert "/page/editor.bundle.js" in answers
        assert {answer.status for answer in answers.values()} == {200}
        assert len(answers["/page/editor.bundle.js"].read()) > 100_000
