"""The alert GpuSliceCallsFail, evaluated by ``promtool``: closed, and open as in shadow."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.unit.test_alerts import MONITORING, evaluate

ENTRY = 'name="pods.gpu-slice.io",type="admit"'
RISES, RESTS = "0+1x60", "7x60"


def called(code: str, values: str, rejected: str = "false") -> dict[str, str]:
    return {f'apiserver_admission_webhook_request_total{{{ENTRY},code="{code}",rejected="{rejected}"}}': values}


def opened(values: str, name: str = "pods.gpu-slice.io") -> dict[str, str]:
    return {f'apiserver_admission_webhook_fail_open_count{{name="{name}",type="admit"}}': values}


def rejected(code: str, values: str, kind: str = "calling_webhook_error") -> dict[str, str]:
    of = f'{ENTRY},error_type="{kind}",rejection_code="{code}"'
    return {f"apiserver_admission_webhook_rejection_count{{{of}}}": values}


TIMED = {f'apiserver_admission_webhook_admission_duration_seconds_count{{{ENTRY},rejected="false"}}': RISES}
BOTH = ["critical", "warning"]


@pytest.mark.parametrize(
    ("series", "severities"),
    [
        pytest.param(rejected("503", RISES) | called("503", RISES, "true"), BOTH, id="closed, and nobody answers"),
        pytest.param(rejected("503", RISES) | called("200", RISES), ["warning"], id="closed, and some are answered"),
        pytest.param(rejected("503", RISES) | called("403", RISES, "true"), ["warning"], id="closed, and some denied"),
        pytest.param(opened(RISES) | called("503", RISES) | TIMED, BOTH, id="in shadow, and nobody answers"),
        pytest.param(opened(RISES, "defaults.gpu-slice.io"), BOTH, id="in shadow, pods with the default"),
        pytest.param(opened(RISES) | called("200", RISES) | TIMED, ["warning"], id="in shadow, and some are answered"),
        pytest.param(opened(RISES) | rejected("503", RISES), BOTH, id="shadow began in the outage"),
        pytest.param(opened(RESTS) | rejected("503", RESTS) | called("200", RISES) | TIMED, [], id="long ago"),
        pytest.param(opened(RISES) | called("413", RISES), ["warning"], id="what a pod can bring about"),
        pytest.param(rejected("413", RISES), [], id="the same, closed"),
        pytest.param(opened(RISES, "workloads.gpu-slice.io"), [], id="advice, which has an alert of its own"),
        pytest.param(opened(RISES, "pods.example.com"), [], id="somebody else's"),
    ],
)
def test_calls_that_fail_are_told_whether_they_reject_or_not(
    series: dict[str, str], severities: list[str], tmp_path: Path
) -> None:
    rules = yaml.safe_load((MONITORING / "prometheusrule.yaml").read_text())["spec"]["groups"]
    notes = {
        rule["labels"]["severity"]: rule["annotations"]
        for group in rules for rule in group["rules"] if rule["alert"] == "GpuSliceCallsFail"
    }  # fmt: skip
    alerts = [{"exp_labels": {"severity": each}, "exp_annotations": notes[each]} for each in severities]
    test = {"alertname": "GpuSliceCallsFail", "eval_time": "30m", "exp_alerts": alerts}
    evaluate(tmp_path, series, alert_rule_test=[test])
