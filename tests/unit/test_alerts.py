"""Alerts about nodes, and the panels of slices, evaluated by Prometheus' own ``promtool``, where it can be had."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.packages import needed

MONITORING = Path(__file__).parents[2] / "manifests" / "monitoring"
PANELS = {each["title"]: each for each in json.loads((MONITORING / "dashboard.json").read_text())["panels"]}
MIG = "nvidia_com_mig_1g_5gb"
PROMISED = f'gpu_slice_promised_slices{{pool="a",instance_type="p4d.24xlarge",resource="{MIG}",pod="%s"}}'
REPLICAS = {PROMISED % "webhook-1": "56x60", PROMISED % "webhook-2": "56x60"}


def labels(node: str, pool: str = "a") -> dict[str, str]:
    """What kube-state-metrics says of a node's labels."""
    type = "label_node_kubernetes_io_instance_type"
    return {f'kube_node_labels{{node="{node}",label_gpu_slice_pool="{pool}",{type}="p4d.24xlarge"}}': "1x60"}


def allocatable(node: str, count: str, resource: str = MIG) -> dict[str, str]:
    return {f'kube_node_status_allocatable{{node="{node}",resource="{resource}",unit="integer"}}': count}


def evaluate(folder: Path, series: dict[str, str], **tests: list[dict[str, Any]]) -> None:
    """Have promtool hold what *series*, one value a minute, come to against *tests*."""
    rules = yaml.safe_load((MONITORING / "prometheusrule.yaml").read_text())["spec"]
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "1m", "input_series": inputs, **tests}
    (folder / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [test]}))
    done = subprocess.run(
        [needed("promtool"), "test", "rules", "test.yaml"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def condition(kind: str, name: str, status: str, seconds: str) -> dict[str, str]:
    metric = f"operator_{kind}_status_condition_current_status_seconds"
    return {f'{metric}{{name="{name}",type="Ready",status="{status}",reason="x",namespace=""}}': seconds}


def overlay(name: str, status: str | None, part_of: str = "gpu-slice-fleet") -> dict[str, str]:
    found = {f'kube_nodeoverlay_created{{name="{name}",part_of="{part_of}"}}': "1700000000x60"}
    if status is not None:
        found[f'kube_nodeoverlay_status_condition{{name="{name}",part_of="{part_of}",type="Ready"}}'] = status
    return found


def daemon_set(name: str, wanted: str, ready: str, namespace: str = "kube-system") -> dict[str, str]:
    of = f'{{namespace="{namespace}",daemonset="{name}"}}'
    return {f"kube_daemonset_status_desired_number_scheduled{of}": wanted,
            f"kube_daemonset_status_number_ready{of}": ready}  # fmt: skip


@pytest.mark.parametrize(
    ("alert", "series", "firing"),
    [
        pytest.param("GpuSliceNodeClassNotReady", condition("ec2nodeclass", "a", "False", "0+60x60"), [{"name": "a"}],
                     id="a node class is not ready"),
        pytest.param("GpuSliceNodeClassNotReady", condition("nodepool", "a", "Unknown", "0+60x60"), [{"name": "a"}],
                     id="a NodePool is not known to be ready"),
        pytest.param("GpuSliceNodeClassNotReady", condition("ec2nodeclass", "a", "True", "0+60x60"), [],
                     id="a node class is ready"),
        pytest.param("GpuSliceNodeClassNotReady", condition("ec2nodeclass", "others", "False", "0+60x60"), [],
                     id="somebody else's node class"),
        pytest.param("GpuSliceNodeClassNotReady", condition("ec2nodeclass", "a", "Unknown", "0+60x4"), [],
                     id="a new node class"),
        pytest.param("GpuSliceOverlayNotReady", overlay("a-8-gpus", "0x60") | overlay("b-8-gpus", "1x60"),
                     [{"name": "a-8-gpus"}], id="an overlay is refused"),
        pytest.param("GpuSliceOverlayNotReady", overlay("a-8-gpus", None), [{"name": "a-8-gpus"}],
                     id="an overlay without conditions"),
        pytest.param("GpuSliceOverlayNotReady", overlay("theirs", "0x60", "other"), [], id="somebody else's overlay"),
        pytest.param("GpuSliceOverlayNotReady", {}, [], id="no overlays"),
        pytest.param("GpuSliceDevicePluginNotReady", daemon_set("gpu-slice-device-plugin-mixed", "5x60", "3x60"),
                     [{"daemonset": "gpu-slice-device-plugin-mixed", "value": "2"}], id="a plugin is not ready"),
        pytest.param("GpuSliceDevicePluginNotReady", daemon_set("gpu-slice-device-plugin-mixed", "5x60", "5x60"), [],
                     id="the plugin is ready"),
        pytest.param("GpuSliceDevicePluginNotReady", daemon_set("gpu-slice-device-plugin-mixed", "5x60", "3x10 5x50"),
                     [], id="the plugin was not ready while a node booted"),
        pytest.param("GpuSliceDevicePluginNotReady", daemon_set("aws-node", "5x60", "3x60"), [], id="another plugin"),
        pytest.param("GpuSliceSlicesMissing", labels("n1") | labels("n2") | allocatable("n1", "49x60") |
                     allocatable("n2", "56x60"), [{"node": "n1", "pool": "a", "resource": MIG, "value": "49"}],
                     id="a GPU is lost"),
        pytest.param("GpuSliceSlicesMissing", labels("n1") | allocatable("n1", "0x60"),
                     [{"node": "n1", "pool": "a", "resource": MIG, "value": "0"}], id="no plugin runs"),
        pytest.param("GpuSliceSlicesMissing", labels("n1") | allocatable("n1", "56x60") |
                     allocatable("n1", "0x60", "nvidia_com_gpu"), [], id="no whole GPUs are promised"),
        pytest.param("GpuSliceSlicesMissing", labels("n1", "other") | allocatable("n1", "0x60"), [],
                     id="a node of no pool of the fleet"),
        pytest.param("GpuSliceSlicesMissing", allocatable("n1", "0x60"), [], id="a node without labels"),
    ],
)  # fmt: skip
def test_an_alert_fires_for_what_it_is_about(
    alert: str, series: dict[str, str], firing: list[dict[str, str]], tmp_path: Path
) -> None:
    rules = yaml.safe_load((MONITORING / "prometheusrule.yaml").read_text())["spec"]["groups"]
    (rule,) = [each for group in rules for each in group["rules"] if each["alert"] == alert]
    expected = []
    for each in firing:
        value = each.pop("value", "")
        filled = {key: _filled(text, each, value) for key, text in rule["annotations"].items()}
        expected.append({"exp_labels": {"severity": "warning", **each}, "exp_annotations": filled})
    test = {"eval_time": "30m", "alertname": alert, "exp_alerts": expected}
    evaluate(tmp_path, REPLICAS | series, alert_rule_test=[test])


def _filled(text: str, labels: dict[str, str], value: str) -> str:
    for name, label in labels.items():
        text = text.replace(f"{{{{ $labels.{name} }}}}", label)
    return text.replace("{{ $value }}", value)


def container(namespace: str, pod: str, node: str, count: int, phase: str = "Running") -> dict[str, str]:
    of = f'namespace="{namespace}",pod="{pod}",uid="1"'
    metric = "kube_pod_container_resource_requests"
    phases = {f'kube_pod_status_phase{{{of},phase="{each}"}}': "1x60" if each == phase else "0x60"
              for each in ("Pending", "Running", "Succeeded", "Failed")}  # fmt: skip
    return {f'{metric}{{{of},container="main",node="{node}",resource="{MIG}",unit="integer"}}': f"{count}x60"} | phases


def test_the_panels_count_what_is_used_and_what_is_free(tmp_path: Path) -> None:
    series = labels("n1") | labels("n2") | labels("n3", "b")
    for node in ("n1", "n2", "n3"):
        series |= allocatable(node, "56x60")
    series |= allocatable("elsewhere", "8x60", "nvidia_com_gpu") | allocatable("n1", "0x60", "nvidia_com_gpu")
    series |= container("team-a", "one", "n1", 2) | container("team-b", "two", "n1", 1)
    series |= container("team-a", "starts", "n2", 4, "Pending") | container("team-a", "waits", "", 8, "Pending")
    series |= container("team-a", "ended", "n2", 16, "Succeeded")
    expected = {
        "Slices used, by pool": {f'{{pool="a",resource="{MIG}"}}': 7},
        "Slices free, by pool": {f'{{pool="a",resource="{MIG}"}}': 105, f'{{pool="b",resource="{MIG}"}}': 56},
        "Slices used, by namespace": {
            f'{{namespace="team-a",resource="{MIG}"}}': 6,
            f'{{namespace="team-b",resource="{MIG}"}}': 1,
        },
    }
    tests = [
        {
            "expr": PANELS[title]["targets"][0]["expr"],
            "eval_time": "30m",
            "exp_samples": [{"labels": name, "value": value} for name, value in samples.items()],
        }
        for title, samples in expected.items()
    ]
    evaluate(tmp_path, series, promql_expr_test=tests)


def test_the_recipe_for_opencost_gives_each_container_its_share_of_a_gpu(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    (block,) = re.findall(r"```yaml\n(groups:\n.*?)```", page, re.DOTALL)
    (rule,) = yaml.safe_load(block)["groups"][0]["rules"]
    series = container("team-a", "one", "n1", 2) | container("team-a", "waits", "", 1)
    whole = 'namespace="team-b",pod="whole",uid="2",container="main",node="n2",resource="nvidia_com_gpu"'
    series[f"kube_pod_container_resource_requests{{{whole}}}"] = "1x60"
    expected = {
        '{namespace="team-a",pod="one",container="main",node="n1"}': 2 / 7,
        '{namespace="team-b",pod="whole",container="main",node="n2"}': 1,
    }
    samples = [{"labels": name, "value": value} for name, value in expected.items()]
    evaluate(tmp_path, series, promql_expr_test=[{"expr": rule["expr"], "eval_time": "30m", "exp_samples": samples}])
