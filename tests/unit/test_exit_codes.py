"""1 means no.  Whatever keeps a command from an answer has another exit code, and no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.pods import pod_of
from webhook import documents
from webhook.cli import main as program
from webhook.cli.main import main

POD = documents.write({"kind": "Pod", **pod_of("1g.5gb")})
MODULE = [sys.executable, "-m", "webhook"]


@pytest.mark.parametrize("arguments", [[], ["fleet"], ["draw"], ["certs"]], ids=["gpu-slice", "fleet", "draw", "certs"])
def test_without_a_command_the_help_has_its_lines(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    helped = CliRunner().invoke(main, [*arguments, "--help"])
    assert result.stderr == helped.stdout
    assert len(result.stderr.splitlines()) > 5


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["preview", "pod.yaml"], id="preview"),
        pytest.param(["fit", "pod.yaml"], id="fit"),
        pytest.param(["demo", "pod.yaml"], id="demo"),
        pytest.param(["page", "--no-browser"], id="the page while it starts"),
        pytest.param(["serve", "--tls-dir", "x"], id="the server while it starts"),
        pytest.param(["draw", "layout", "x"], id="a command of a group"),
    ],
)
def test_ctrl_c_is_no_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pod.yaml").write_text(POD)
    monkeypatch.setattr("webhook.cli.files.load_fleet", interrupted)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 128 + signal.SIGINT
    assert result.output == ""


def test_ctrl_c_while_standard_input_is_read_is_no_answer(tmp_path: Path) -> None:
    """As of a process, which has loaded its modules when it reads the pipe."""
    with subprocess.Popen(
        [*MODULE, "preview", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        process.stdin.write(POD + "---\n" + "#" * 2**17 + "\n")  # more than the pipe holds: it reads when this returns
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 128 + signal.SIGINT
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize(
    ("redirect", "code", "says"),
    [
        pytest.param("preview - <&-", 2, "Error: -: standard input is closed", id="standard input is closed"),
        pytest.param("fit - <&-", 2, "-: standard input is closed", id="that of fit"),
        pytest.param("fleet check - <&-", 2, "Error: -: standard input is closed", id="that of a fleet file"),
        pytest.param(
            "profiles >&-", 3, "Error: the output cannot be written: standard output is closed",
            id="standard output is closed",
        ),
    ],
)  # fmt: skip
def test_a_closed_stream_is_named(redirect: str, code: int, says: str) -> None:
    command = ["sh", "-c", f'"$0" -m webhook {redirect}', sys.executable]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == code
    assert says in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("folder", ["/dev/null/x", "/proc/x"])
def test_a_folder_that_cannot_be_made_is_named(folder: str) -> None:
    result = CliRunner().invoke(main, ["render", "--output-dir", folder])
    assert result.exit_code == 3
    assert result.stderr.startswith(f"Error: {folder}")
    assert len(result.stderr.splitlines()) == 1


def test_a_full_disk_leaves_the_files_as_they_were(tmp_path: Path) -> None:
    """A limit on the size of a file is what a test can have of a full disk."""
    folder = tmp_path / "rendered"
    assert CliRunner().invoke(main, ["render", "--output-dir", str(folder)]).exit_code == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    largest = max(before, key=lambda path: len(before[path]))
    largest.write_text("# mine\n")
    before[largest] = b"# mine\n"
    result = subprocess.run(
        ["bash", "-c", 'ulimit -f 1; exec "$0" -B -m webhook render --output-dir "$1"', sys.executable, str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 3
    assert result.stderr == "Error: the output cannot be written: File too large\n"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_rendered_file_that_is_a_link_stays_one(tmp_path: Path) -> None:
    folder, kept = tmp_path / "rendered", tmp_path / "kept.yaml"
    kept.write_text("old")
    (folder / "karpenter").mkdir(parents=True)
    (folder / "karpenter" / "node-pools.yaml").symlink_to(kept)
    assert CliRunner().invoke(main, ["render", "--output-dir", str(folder)]).exit_code == 0
    assert (folder / "karpenter" / "node-pools.yaml").is_symlink()
    assert kept.read_text() != "old"


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        pytest.param(["check", "--wait", "99999999999h"], "--wait", id="beyond a timedelta"),
        pytest.param(["check", "--patience", "9" * 5000 + "s"], "--patience", id="beyond an int"),
        pytest.param(["usage", "--watch", "99999999999999"], "--watch", id="beyond a sleep"),
    ],
)
def test_a_time_that_is_too_long_is_called_wrongly(arguments: list[str], option: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert f"'{option}'" in result.stderr


def test_a_fault_of_ours_has_a_traceback_and_is_no_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("webhook.cli.files.fleet_at", broken)
    monkeypatch.setattr(sys, "argv", ["gpu-slice", "profiles"])
    with pytest.raises(SystemExit) as ended:
        program.run()
    assert ended.value.code == 3
    assert "ZeroDivisionError" in capsys.readouterr().err


LATIN = """
apiVersion: gpu-slice/v1
cluster: c
pools:
  - {name: p, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], tags: {owner: Müller}}
"""


def test_files_and_output_are_utf_8_in_every_locale(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(LATIN, "utf-8")
    environment = os.environ | {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "POSIX"}

    def run(*arguments: str) -> bytes:
        command = [*MODULE, "render", "--fleet", "fleet.yaml", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True).stdout

    assert "Müller".encode() in run()
    run("--output-dir", "out")
    assert "Müller".encode() in (tmp_path / "out" / "karpenter" / "node-classes.yaml").read_bytes()
    run("--output-dir", "out", "--check")


def test_a_file_in_another_encoding_differs(tmp_path: Path) -> None:
    folder = tmp_path / "rendered"
    assert CliRunner().invoke(main, ["render", "--output-dir", str(folder)]).exit_code == 0
    (folder / "karpenter" / "node-pools.yaml").write_bytes(b"\xff\xfe")
    result = CliRunner().invoke(main, ["render", "--output-dir", str(folder), "--check"])
    assert result.exit_code == 1
    assert result.stderr == f"{folder}/karpenter/node-pools.yaml: differs\n"
