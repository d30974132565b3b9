"""`fit` as a command: its arguments, its remarks and its output."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml

from tests.unit.fit_needs import ROOT, answer, job, object_of, pod, pools_of, run, template
from tests.waiting import wait_for
from webhook.cli.progress import Progress


def test_one_line_is_enough_for_a_script() -> None:
    assert run("--need", "1g.5gb=120", "-o", "short").stdout == "120 pods fit on 24 GPUs, 3 nodes (proved)\n"


def test_pods_are_read_as_a_preview_reads_them() -> None:
    documents = [
        object_of("Deployment", {"replicas": 50, "template": template()}),
        object_of("Job", job(parallelism=7), "batch/v1"),
        pod("1g.5gb") | {"kind": "Pod"},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}},
    ]
    result = run("-", "-o", "json", text=yaml.safe_dump_all(documents))

    assert result.exit_code == 0
    assert json.loads(result.stdout)["pods"] == 58
    assert pools_of(json.loads(result.stdout)) == {"a100-1g-5gb": 2}


def test_a_denied_pod_is_named_and_the_others_are_counted() -> None:
    result = run("-", text=yaml.safe_dump_all([pod("1g5gb"), pod("1g.5gb"), pod("7g.80gb@h200")]))

    assert result.exit_code == 1
    assert result.stdout.startswith("1 pod fits on 8 GPUs, 1 node; 2 pods denied.\n")
    assert result.stderr.count("Pod test: denied: ") == 2


@pytest.mark.parametrize("need", ["1g5gb=3", "9g.5gb=3"])
def test_a_need_that_no_pool_serves_is_denied_like_a_pod(need: str) -> None:
    result = run("--need", need)

    assert result.exit_code == 1
    assert f"--need {need}: denied: " in result.stderr


@pytest.mark.parametrize("need", ["1g.5gb", "1g.5gb=", "=3", "1g.5gb=-1", "1g.5gb=1.5", "1g.5gb=9999999999999"])
def test_a_need_without_a_number_is_a_usage_error(need: str) -> None:
    assert run("--need", need).exit_code == 2


@pytest.mark.parametrize(
    "needs", [["1g.5gb=10000001"], [f"1g.5gb={'9' * 5000}"], ["1g.5gb=9000000", "2g.10gb=1000001"], ["9g.5gb=99999999"]]
)
def test_more_pods_than_can_be_packed_are_refused_with_a_cure(needs: list[str]) -> None:
    result = run(*(part for need in needs for part in ("--need", need)))

    assert result.exit_code == 2
    assert "more than 10,000,000 pods in all. Give fewer, such as a thousandth of each, and multiply" in result.stderr
    assert max(map(len, result.stderr.splitlines())) < 300


def test_several_containers_can_be_needed() -> None:
    assert answer("--need", "trainer=3g.20gb, sidecar=1g.5gb=8")["best"]["nodes"] == 1


def test_what_cannot_be_read_is_exit_3() -> None:
    assert run("-", text="{{ x }}: [\n---\n" + yaml.safe_dump(pod("1g.5gb"))).exit_code == 3


def test_nothing_asked_is_a_usage_error() -> None:
    assert run().exit_code == 2


def test_pods_that_name_a_resource_by_hand_are_not_passed_over_in_silence() -> None:
    by_hand = pod("1g.5gb")
    del by_hand["metadata"]["annotations"]
    by_hand["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/mig-1g.5gb": 1}}

    result = run("-", text=yaml.safe_dump(by_hand))

    assert result.stderr == "pods that ask for GPUs by hand, without the annotation, are not counted: 1\n"
    assert result.stdout == "No pod asks for a slice.\n"


@pytest.mark.parametrize(
    ("annotation", "section", "counted"),
    [
        pytest.param(None, "initContainers", True, id="an init container"),
        pytest.param("1g.7gb", "containers", False, id="one that is denied and has the annotation"),
    ],
)
def test_pods_by_hand_are_counted_as_the_webhook_reads_them(
    annotation: str | None, section: str, counted: bool
) -> None:
    asked = pod(annotation or "1g.5gb")
    if annotation is None:
        del asked["metadata"]["annotations"]
    asked["spec"].setdefault(section, [{"name": "first"}])[0]["resources"] = {"limits": {"nvidia.com/mig-1g.5gb": 1}}

    assert ("without the annotation" in run("-", text=yaml.safe_dump(asked)).stderr) == counted


def test_an_annotation_in_the_wrong_place_is_not_passed_over_in_silence() -> None:
    deployment = object_of("Deployment", {"replicas": 5, "template": template() | {"metadata": {}}})
    deployment["metadata"]["annotations"] = {"gpu-slice": "1g.5gb"}

    result = run("-", text=yaml.safe_dump(deployment))

    assert result.stdout == "No pod asks for a slice.\n"
    assert "note: the annotation 'gpu-slice' is on the Deployment itself, where it has no effect" in result.stderr


def test_many_remarks_are_counted() -> None:
    documents = [object_of("DaemonSet", {"template": template()}) for _ in range(25)]

    lines = run("-", text=yaml.safe_dump_all(documents)).stderr.splitlines()

    assert len(lines) == 21
    assert lines[-1] == "more remarks like these: 5"


def test_the_solver_prints_nothing() -> None:
    command = [sys.executable, "-m", "webhook", "fit", "--need", "19x1g.5gb=10", "--need", "2x2g.10gb=7", "-o", "json"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)

    assert json.loads(result.stdout)["fits"]
    assert result.stderr == ""


def test_what_takes_long_says_on_a_terminal_what_it_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("webhook.cli.progress.SECONDS", 0.01)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    printed: list[str] = []

    def shown() -> bool:
        printed.append(capsys.readouterr().err)
        return "packing\\x1b the pods …" in "".join(printed)

    with Progress() as progress:
        progress("packing\x1b the pods")
        wait_for("a line of progress", shown)

    assert capsys.readouterr().err.endswith("\r\x1b[K"), "and it is gone when it is done"
