"""The playground, as a person uses it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import playground

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "tests.cluster.playground"]


@pytest.fixture(scope="module", name="running")
def _running(cluster: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Its folder, and what it said; *cluster* is asked for so that the programs are there."""
    folder = tmp_path_factory.mktemp("playground")
    with subprocess.Popen([*COMMAND, "--folder", folder], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("Ctrl-C"):
                break
        yield folder, said
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert rest.endswith("\nended.\n")
    assert "denied     grammar" in rest
    assert not folder.exists()


def tries(said: str) -> list[str]:
    return [line.split("  #")[0].strip() for line in said.splitlines() if line.startswith("  kubectl")]


def in_a_shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f". {folder / 'env'} && {command}"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_what_it_says_to_try_shows_a_slice_a_denial_and_a_warning(running) -> None:
    folder, said = running
    first, second, third = (in_a_shell(folder, command) for command in tries(said))

    assert first.stdout.startswith("pod/one-slice created\n")
    assert "one-slice" in first.stdout.splitlines()[2]
    assert "Write '1g.5gb'." in second.stderr
    assert second.returncode == 1
    assert third.stderr.startswith("Warning: gpu-slice: ")
    bound = "kubectl wait pod/one-slice --for=condition=Ready --timeout=30s && kubectl get pods -o wide"
    assert re.search(r"^one-slice +1/1 .* a100-(1g-5gb|mixed)-1 ", in_a_shell(folder, bound).stdout, re.MULTILINE)


def test_the_guard_is_there(running) -> None:
    found = in_a_shell(running[0], "kubectl get validatingadmissionpolicybinding gpu-slice -o name")
    assert found.stdout == "validatingadmissionpolicybinding.admissionregistration.k8s.io/gpu-slice\n"


def test_a_second_one_in_the_same_folder_is_refused(running) -> None:
    folder, _ = running
    second = subprocess.run([*COMMAND, "--folder", folder], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert second.stderr == f"another playground runs in {folder}. End that one, or name another folder: --folder\n"


def test_the_first_page_says_to_try_the_same() -> None:
    page = (ROOT / "docs" / "getting-started.md").read_text()
    assert all(command in page for command in tries(playground.TRY))
