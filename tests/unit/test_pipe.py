"""What a command does when nobody reads its output any more, as after ``| head``, and when the disk is full."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pods import pod_of
from webhook import documents

MANY = "---\n".join([documents.write({"kind": "Pod", **pod_of("1g.5gb")})] * 60)


COMMANDS = pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["preview", "many.yaml"], id="a diff"),
        pytest.param(["preview", "-o", "json", "many.yaml"], id="JSON"),
        pytest.param(["preview", "-o", "sarif", "many.yaml"], id="SARIF"),
        pytest.param(["profiles", "--all"], id="a table"),
        pytest.param(["render"], id="manifests"),
        pytest.param(["fleet", "schema"], id="a command of a group"),
        pytest.param(["draw", "request"], id="a command that is imported late"),
        pytest.param(["--help"], id="the help"),
        pytest.param(["preview", "--help"], id="the help of a command"),
    ],
)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@COMMANDS
def test_a_command_ends_quietly_when_nobody_reads(tmp_path: Path, arguments: list[str], stream: str) -> None:
    """As a program does that SIGPIPE ends."""
    (tmp_path / "many.yaml").write_text(MANY)
    command = [sys.executable, "-m", "webhook", *arguments]
    gone = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=tmp_path, text=True, stdout=gone, stderr=gone if stream == "stdout" else subprocess.STDOUT
    ) as process:
        process.stdout.close()
        remarks = process.stderr.read() if process.stderr else ""
        code = process.wait(timeout=120)
    assert code == 128 + signal.SIGPIPE
    assert "Error" not in remarks
    assert "Traceback" not in remarks


@COMMANDS
def test_a_command_whose_output_has_no_room_says_so(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "many.yaml").write_text(MANY)
    command = [sys.executable, "-m", "webhook", *arguments]
    with Path("/dev/full").open("w") as full:
        found = subprocess.run(
            command, cwd=tmp_path, text=True, stdout=full, stderr=subprocess.PIPE, timeout=120, check=False
        )
    assert found.returncode == 3
    assert found.stderr.splitlines()[-1] == "Error: the output cannot be written: No space left on device"
