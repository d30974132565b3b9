"""`gpu-slice check` in a cluster that is in shadow, as a whole or in parts; and the sum of what was counted."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from certs.shipped import Shipped
from tests.unit.check_facts import done, facts, told
from webhook import documents
from webhook.admission.preview import preview
from webhook.cli import files
from webhook.cli.main import main
from webhook.cluster.check import Probe, Status
from webhook.cluster.objects import BINDINGS, PODS, WEBHOOKS
from webhook.fleet.shadow import pools_in_shadow
from webhook.server.decide import Decide
from webhook.server.fleet_file import FleetWatch
from webhook.server.metrics import Metrics

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "manifests" / "webhook" / "webhook.yaml"
IN_SHADOW = files.fleet_at(ROOT / "tests" / "fleets" / "shadow.yaml")
POOLS = files.fleet_at(ROOT / "tests" / "fleets" / "shadow-pools.yaml")
QUIET = files.load_fleet(b"""
apiVersion: gpu-slice/v1
pools: [{name: a, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge]}]
namespaces: {quiet: {mode: shadow}}
""")
FLEET = files.fleet_at(None)


def binding(actions: list[str], **matched: Any) -> dict[str, Any]:
    spec = {"policyName": "gpu-slice", "validationActions": actions, "matchResources": matched}
    return {"metadata": {"name": "gpu-slice"}, "spec": spec}


def named(operator: str, *names: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": operator, "values": list(names)}]}


@pytest.mark.parametrize(
    ("fleet", "bound", "status", "said"),
    [
        pytest.param(IN_SHADOW, binding(["Deny"]), Status.FAILED, "refuses pods of namespaces", id="all"),
        pytest.param(IN_SHADOW, binding(["Audit"]), Status.GOOD, "", id="all, and it only notes"),
        pytest.param(IN_SHADOW, binding(["Warn"]), Status.GOOD, "", id="all, and it only warns"),
        pytest.param(
            IN_SHADOW,
            binding(["Deny"], namespaceSelector=named("In", "live")),
            Status.GOOD,
            "",
            id="it leaves them out",
        ),
        pytest.param(
            IN_SHADOW,
            binding(["Deny"], namespaceSelector=named("In", "live", "few")),
            Status.FAILED,
            "refuses pods of namespace",
            id="it leaves one too few out",
        ),
        pytest.param(QUIET, binding(["Deny"]), Status.FAILED, "refuses pods of namespace quiet", id="a namespace"),
        pytest.param(
            QUIET, binding(["Deny"], namespaceSelector=named("NotIn", "quiet")), Status.GOOD, "", id="without it"
        ),
        pytest.param(
            QUIET,
            binding(["Deny"], namespaceSelector=named("NotIn", "quiet", "other")),
            Status.WARNING,
            "narrows it by matchResources.namespaceSelector",
            id="without one that enforces",
        ),
        pytest.param(
            QUIET,
            binding(["Deny"], namespaceSelector=named("In", "other")),
            Status.WARNING,
            "narrows it by matchResources.namespaceSelector",
            id="for one alone",
        ),
        pytest.param(POOLS, binding(["Deny"]), Status.FAILED, "refuses pods of pool tried", id="a pool"),
        pytest.param(
            POOLS,
            binding(["Deny"], namespaceSelector=named("NotIn", "quiet")),
            Status.FAILED,
            "refuses pods of pool tried",
            id="a pool, whatever the namespace",
        ),
        pytest.param(FLEET, binding(["Audit"]), Status.FAILED, "refuses nothing", id="it notes, and nothing is"),
        pytest.param(
            FLEET,
            binding(["Deny"], namespaceSelector=named("NotIn", "quiet")),
            Status.FAILED,
            "narrows it by matchResources.namespaceSelector",
            id="it is narrowed, and nothing is",
        ),
    ],
)
def test_the_guard_refuses_what_the_webhook_does_and_nothing_in_shadow(
    fleet: Any, bound: dict[str, Any], status: Status, said: str
) -> None:
    line = done("guard-bound", facts({BINDINGS: [bound]}, fleet))
    assert line.status is status, line
    assert said in told(line)


def test_what_another_tool_wrote_in_the_binding_goes_by_deleting_it() -> None:
    """Under server-side apply, actions that kubectl wrote stay beside those of Helm."""
    line = done("guard-bound", facts({BINDINGS: [binding(["Deny", "Audit"])]}, IN_SHADOW))
    assert told(line) == (
        "gpu-slice refuses pods of namespaces in shadow, which the webhook leaves as they are "
        "(in shadow: all namespaces but live)"
    )
    (problem,) = line.problems
    assert line.cure(problem).startswith("Run kubectl delete validatingadmissionpolicybinding gpu-slice, ")


@pytest.mark.parametrize(
    ("fleet", "policy", "status"),
    [
        pytest.param(IN_SHADOW, "Fail", Status.FAILED, id="all, and it fails closed"),
        pytest.param(QUIET, "Fail", Status.FAILED, id="a namespace, and it fails closed"),
        pytest.param(POOLS, "Fail", Status.FAILED, id="a pool, and it fails closed"),
        pytest.param(IN_SHADOW, "Ignore", Status.GOOD, id="it fails open"),
        pytest.param(FLEET, "Ignore", Status.FAILED, id="nothing, and it fails open"),
        pytest.param(FLEET, "Fail", Status.GOOD, id="nothing"),
    ],
)
def test_no_pod_in_shadow_is_refused_because_nobody_answers(fleet: Any, policy: str, status: Status) -> None:
    configuration = documents.read(MANIFEST.read_bytes())[0].value
    for each in configuration["webhooks"]:
        each["failurePolicy"] = policy
    assert done("webhook-fails-closed", facts({WEBHOOKS: [configuration]}, fleet)).status is status


def test_the_keeper_lets_a_configuration_fail_open_that_says_why() -> None:
    live = documents.read(MANIFEST.read_bytes())[0].value
    for each in live["webhooks"]:
        each |= {"failurePolicy": "Ignore", "objectSelector": {}}
    changed = ("webhooks[0].failurePolicy", "webhooks[1].failurePolicy")
    assert Shipped(MANIFEST).differences(live) == changed

    live["metadata"]["labels"]["gpu-slice/shadow"] = "true"
    assert Shipped(MANIFEST).differences(live) == ()
    for each in live["webhooks"]:
        each["failurePolicy"] = "Fail"
    assert Shipped(MANIFEST).differences(live) == changed


@pytest.mark.parametrize(
    ("probe", "status"),
    [
        pytest.param(Probe(namespace="default", shadow=True), Status.GOOD, id="it stays as it is"),
        pytest.param(Probe(namespace="default"), Status.FAILED, id="nothing is in shadow"),
        pytest.param(
            Probe(refusal="ValidatingAdmissionPolicy 'gpu-slice' denied it", shadow=True),
            Status.FAILED,
            id="it is refused",
        ),
    ],
)
def test_a_pod_that_is_tried_may_stay_as_it_is_in_shadow_alone(probe: Probe, status: Status) -> None:
    assert done("webhook-answers", facts(probe=probe)).status is status


def pod(asked: str, namespace: str = "default", **more: Any) -> dict[str, Any]:
    metadata = {"name": "a", "namespace": namespace, "annotations": {"gpu-slice": asked, **more}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "main"}]}}


@pytest.mark.parametrize(
    ("fleet", "asking", "missed"),
    [
        pytest.param(IN_SHADOW, pod("1g.5gb"), False, id="all"),
        pytest.param(IN_SHADOW, pod("9g.5gb"), False, id="all, and it would be denied"),
        pytest.param(IN_SHADOW, pod("1g.5gb", "live"), True, id="not this namespace"),
        pytest.param(POOLS, pod("1g.10gb"), False, id="its pool"),
        pytest.param(POOLS, pod("1g.5gb"), True, id="another pool enforces"),
        pytest.param(POOLS, pod("1g.5gb", "quiet"), False, id="its namespace"),
        pytest.param(FLEET, pod("1g.5gb"), True, id="nothing"),
    ],
)
def test_a_pod_that_shadow_left_alone_is_not_missed(fleet: Any, asking: dict[str, Any], missed: bool) -> None:
    assert ("has no slice" in told(done("pods-missed", facts({PODS: [asking]}, fleet)))) is missed


# The sum of what was counted.


def counted(fleet: Any, *asked: dict[str, Any]) -> str:
    """The metrics of a replica that was sent these pods."""
    metrics = Metrics()
    metrics.in_shadow.set(fleet is not FLEET)
    decide = Decide(lambda: fleet, metrics)
    for each in asked:
        request = {"uid": "1", "namespace": each["metadata"]["namespace"], "operation": "CREATE", "object": each}
        decide(
            json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()
        )
    return metrics.text().decode()


def summed(tmp_path: Path, *texts: str, output: str = "json") -> Any:
    sources = []
    for number, text in enumerate(texts):
        (tmp_path / str(number)).write_text(text)
        sources += ["--metrics", str(tmp_path / str(number))]
    return CliRunner().invoke(main, ["check", "--shadow", "-o", output, *sources])


def test_what_replicas_counted_is_added_up(tmp_path: Path) -> None:
    one = counted(
        IN_SHADOW, pod("1g.5gb"), pod("1g.10gb"), pod("7g.40gb"), pod("1g.5gb", "live"), pod("7g.40gb", "live")
    )
    two = counted(IN_SHADOW, pod("1g.5gb"), pod("x"), pod("7g.40gb"))

    result = summed(tmp_path, one, two)

    report = json.loads(result.stdout)
    assert result.exit_code == 1
    assert report["failed"]
    assert [(each["reviews"], each["reviewsInShadow"], each["shadow"]) for each in report["replicas"]] == [
        (5, 3, True),
        (3, 3, True),
    ]
    assert report["given"] == [
        {"pool": "ampere", "slice": "1g.5gb", "reviews": 2},
        {"pool": "hopper", "slice": "1g.10gb", "reviews": 1},
    ]
    assert report["denied"] == [
        {"code": "not-offered", "reviews": 2, "help": "docs/messages.md#not-offered"},
        {"code": "grammar", "reviews": 1, "help": "docs/messages.md#grammar"},
    ]
    for each in report["replicas"]:
        assert each["since"] is not None

    table = summed(tmp_path, one, two, output="table")
    assert table.exit_code == 1
    assert "2" in next(text for text in table.stdout.splitlines() if "docs/messages.md#not-offered" in text).split()
    assert table.stdout.splitlines()[-1].startswith(
        "× of 6 reviews in shadow, 3 would have given a slice, and 3 would have been denials (complete since 2"
    )


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        pytest.param([counted(IN_SHADOW, pod("1g.5gb"))], 0, id="nothing would be denied"),
        pytest.param([counted(FLEET, pod("1g.5gb"), pod("7g.40gb"))], 3, id="nothing is in shadow"),
        pytest.param([counted(IN_SHADOW, pod("1g.5gb")), "<html>"], 3, id="one does not answer"),
        pytest.param([counted(IN_SHADOW, pod("x")), "<html>"], 1, id="one does not answer, and one would deny"),
        pytest.param(["up 1\n"], 3, id="somebody else's metrics"),
    ],
)
@pytest.mark.parametrize("output", ["table", "json", "short"])
def test_the_exit_code_tells(texts: list[str], code: int, output: str, tmp_path: Path) -> None:
    assert summed(tmp_path, *texts, output=output).exit_code == code


def test_replicas_that_serve_different_fleets_are_told_apart(tmp_path: Path) -> None:
    mixed = summed(tmp_path, counted(IN_SHADOW), counted(FLEET), output="table").stdout
    assert "Not all replicas serve the same fleet yet" in mixed
    assert "Not all" not in summed(tmp_path, counted(IN_SHADOW), counted(IN_SHADOW), output="table").stdout


def test_replicas_that_serve_different_fleets_in_shadow_are_told_apart(tmp_path: Path) -> None:
    """As one that has not read yet which namespace enforces now."""
    shipped = (ROOT / "tests" / "fleets" / "shadow.yaml").read_bytes()
    texts = []
    for number, text in enumerate((shipped, shipped + b"\n# later\n", shipped)):
        file, metrics = tmp_path / f"{number}.yaml", Metrics()
        file.write_bytes(text)
        FleetWatch(file, files.load_fleet, metrics).look()
        texts.append(metrics.text().decode())

    digest = hashlib.sha256(shipped).hexdigest()[:12]
    mixed, same = (
        summed(tmp_path, *texts[:2], output="table").stdout,
        summed(tmp_path, *texts[::2], output="table").stdout,
    )
    assert "Not all replicas serve the same fleet yet" in mixed
    assert mixed.count(digest) == 1
    assert "Not all" not in same
    assert same.count(digest) == 2
    assert [each["fleet"] for each in json.loads(summed(tmp_path, *texts[::2]).stdout)["replicas"]] == [digest] * 2


def test_a_new_fleet_takes_the_place_of_the_old_one_in_the_metrics(tmp_path: Path) -> None:
    file, metrics = tmp_path / "fleet.yaml", Metrics()
    watch = FleetWatch(file, files.load_fleet, metrics)
    for name in ("shadow", "shadow-pools"):
        file.write_bytes((ROOT / "tests" / "fleets" / f"{name}.yaml").read_bytes())
        watch.look()
    file.write_text("pools: 1")
    watch.look()
    digest = hashlib.sha256((ROOT / "tests" / "fleets" / "shadow-pools.yaml").read_bytes()).hexdigest()[:12]
    assert re.findall(r"^gpu_slice_fleet_info.*", metrics.text().decode(), re.MULTILINE) == [
        f'gpu_slice_fleet_info{{digest="{digest}"}} 1.0'
    ]


def test_without_a_replica_that_can_be_read_nothing_is_said_to_be_complete(tmp_path: Path) -> None:
    assert (
        json.loads(summed(tmp_path, "<html>", "<html>").stdout)["verdict"] == "none of the replicas could be looked at"
    )


def test_a_retired_pool_is_not_in_shadow() -> None:
    text = (ROOT / "tests" / "fleets" / "shadow-pools.yaml").read_text()
    assert pools_in_shadow(files.load_fleet(text.encode()).file) == ["tried", "hopper"]
    retired = files.load_fleet(text.replace("name: tried", "name: tried\n    retired: true").encode())
    assert pools_in_shadow(retired.file) == ["hopper"]
    assert "tried" not in retired.policy("default").shadow


def test_a_file_that_is_not_there_could_not_be_looked_at(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["check", "--shadow", "--metrics", str(tmp_path / "none")])
    assert result.exit_code == 3
    assert "No such file" in result.stdout


def test_metrics_are_for_shadow_alone() -> None:
    assert CliRunner().invoke(main, ["check", "--metrics", "x"]).exit_code == 2


def test_what_is_in_shadow_is_counted_apart() -> None:
    text = counted(IN_SHADOW, pod("1g.5gb"), pod("7g.40gb"))
    assert 'gpu_slice_admissions_total{outcome="shadowed",pool="",profile=""} 2.0' in text
    assert 'gpu_slice_denials_total{reason="not-offered"} 0.0' in text
    assert 'outcome="sliced",pool="ampere",profile="1g.5gb"} 1.0' in text
    assert 'gpu_slice_shadow_denials_total{reason="not-offered"} 1.0' in text
    assert 'gpu_slice_warnings_total{reason="shadow"} 2.0' in text


def test_a_preview_says_that_it_is_in_shadow() -> None:
    (given,) = preview(pod("1g.5gb"), IN_SHADOW)
    (denied,) = preview(pod("7g.40gb"), IN_SHADOW)
    (live,) = preview(pod("1g.5gb", "live"), IN_SHADOW)
    assert [each.shadow for each in (given, denied, live)] == [True, True, False]
    assert [each.outcome for each in (given, denied, live)] == ["sliced", "denied", "sliced"]
