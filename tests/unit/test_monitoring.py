"""Alerts and dashboard, held to the metrics that the code registers and to the page that says what to do.

PromQL is read by a parser that follows Prometheus' own.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from promql_parser import AggregateExpr, BinaryExpr, Call, Expr, MatrixSelector, ParenExpr, VectorSelector

from certs.metrics import KeeperMetrics
from tests.pods import fleet_of
from webhook.server.metrics import Metrics as ServerMetrics

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "manifests" / "monitoring"
PAGE = (ROOT / "docs" / "operations.md").read_text()
RULES = [
    rule
    for group in yaml.safe_load((MONITORING / "prometheusrule.yaml").read_text())["spec"]["groups"]
    for rule in group["rules"]
]
ALERTS = [pytest.param(rule, id=f"{rule['alert']} {rule['labels']['severity']}") for rule in RULES]
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
PANELS = [pytest.param(panel, id=panel["title"]) for panel in DASHBOARD["panels"]]
EXPRESSIONS = [pytest.param(rule["expr"], id=f"{rule['alert']} {rule['labels']['severity']}") for rule in RULES] + [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]

FROM_THE_SCRAPE = frozenset({"job", "namespace", "pod"})
"""What the operator adds to whatever a PodMonitor finds."""

OTHERS = {
    # https://kubernetes.io/docs/reference/instrumentation/metrics/
    "apiserver_admission_webhook_admission_duration_seconds_bucket": {"name", "type", "operation", "rejected", "le"},
    "apiserver_admission_webhook_admission_duration_seconds_count": {"name", "type", "operation", "rejected"},
    "apiserver_admission_webhook_rejection_count": {"name", "type", "operation", "error_type", "rejection_code"},
    "apiserver_admission_webhook_fail_open_count": {"name", "type"},
    "apiserver_admission_webhook_request_total": {"name", "type", "operation", "code", "rejected"},
    # https://karpenter.sh/docs/reference/metrics/; the labels are those of Karpenter v1.14.1
    "operator_nodeclaim_status_condition_current_status_seconds": {
        "namespace", "name", "type", "status", "reason", "karpenter_sh_nodepool",
    },
    # awslabs/operatorpkg status/metrics.go, as Karpenter v1.15.0 has it; `tests.cluster.test_metrics` reads them
    "operator_ec2nodeclass_status_condition_current_status_seconds": {"namespace", "name", "type", "status", "reason"},
    "operator_nodepool_status_condition_current_status_seconds": {"namespace", "name", "type", "status", "reason"},
    # kube-state-metrics v2 docs/metrics; node labels are those that kube-state-metrics/values.yaml lets through
    "kube_daemonset_status_desired_number_scheduled": {"namespace", "daemonset"},
    "kube_daemonset_status_number_ready": {"namespace", "daemonset"},
    "kube_node_status_allocatable": {"node", "resource", "unit"},
    "kube_node_labels": {"node", "label_gpu_slice_pool", "label_node_kubernetes_io_instance_type"},
    "kube_pod_container_resource_requests": {"namespace", "pod", "uid", "container", "node", "resource", "unit"},
    "kube_pod_status_phase": {"namespace", "pod", "uid", "phase"},
    "kube_nodeoverlay_created": {"name", "part_of"},
    "kube_nodeoverlay_status_condition": {"name", "part_of", "type"},
}  # fmt: skip

PARTS: dict[str, dict[str, set[str]]] = {
    "counter": {"_total": set()},
    "gauge": {"": set()},
    "histogram": {"_bucket": {"le"}, "_sum": set(), "_count": set()},
}
"""What a metric is called where it is read, and the labels that come with that."""

REGISTRIES = (ServerMetrics().registry, KeeperMetrics().registry)
FAMILIES = {family.name: family.type for registry in REGISTRIES for family in registry.collect()}
MADE = sorted(name for name in FAMILIES if name.startswith("gpu_slice_"))


def labels_of(name: str) -> set[str]:
    """The labels of the metric of that family, which may have no series yet; those of the process have none."""
    collectors = [registry._names_to_collectors.get(name) for registry in REGISTRIES]
    families = [family for registry in REGISTRIES for family in registry.collect() if family.name == name]
    return {label for made in (*collectors, *families) for label in getattr(made, "_labelnames", ())}


OURS = {
    name + suffix: labels_of(name) | more for name, kind in FAMILIES.items() for suffix, more in PARTS[kind].items()
}
KNOWN = {**OURS, **OTHERS}


@cache
def parsed(expression: str) -> Expr:
    """Raises ValueError where it is no PromQL, or its types do not fit."""
    return promql_parser.parse(expression.replace("$__rate_interval", "5m"))


def nodes(expression: str) -> list[Expr]:
    found: list[Expr] = []
    promql_parser.walk(parsed(expression), found.append)
    return found


def selectors(expression: str) -> list[VectorSelector]:
    """Each place where an expression asks for a metric."""
    found = [each.vector_selector if isinstance(each, MatrixSelector) else each for each in nodes(expression)]
    return [each for each in found if isinstance(each, VectorSelector)]


def joined_by(expression: str) -> set[str]:
    """The labels that an expression groups by, or matches series by."""
    labels: set[str] = set()
    for each in nodes(expression):
        if isinstance(each, AggregateExpr) and each.modifier:
            labels |= set(each.modifier.labels)
        if isinstance(each, BinaryExpr) and each.modifier:
            labels |= set(each.modifier.matching.labels if each.modifier.matching else ())
            labels |= set(each.modifier.group_labels or ())
    return labels


def unknown(expression: str) -> set[str]:
    """The metrics and labels that an expression asks for and that nobody has."""
    metrics = {str(each.name) for each in selectors(expression)}
    wrong = metrics - KNOWN.keys()
    for each in selectors(expression):
        labels = {matcher.name for matcher in each.matchers.matchers}
        wrong |= labels - KNOWN.get(str(each.name), set()) - FROM_THE_SCRAPE
    made = {
        call.args[1].val for call in nodes(expression) if isinstance(call, Call) and call.func.name == "label_replace"
    }
    return (
        wrong
        | joined_by(expression) - made - set().union(*(KNOWN.get(name, set()) for name in metrics)) - FROM_THE_SCRAPE
    )


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_query_asks_for_metrics_and_labels_that_there_are(expression: str) -> None:
    assert selectors(expression)
    assert unknown(expression) == set()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_rate_is_that_of_something_that_only_grows(expression: str) -> None:
    for call in nodes(expression):
        if isinstance(call, Call) and call.func.name in ("rate", "increase"):
            [name] = [each.vector_selector.name for each in call.args]
            assert name in OTHERS or name.endswith(("_total", "_bucket", "_count", "_sum")), name


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        pytest.param("sum(rate(gpu_slice_gone_total[5m])) / 2", {"gpu_slice_gone_total"}, id="a metric"),
        pytest.param("max_over_time(gpu_slice_draining[1h:5m] offset 1d)", set(), id="a subquery"),
        pytest.param('increase(gpu_slice_denials_total{team="a"}[5m])', {"team"}, id="a label that selects"),
        pytest.param("sum by (pod, colour) (gpu_slice_draining)", {"colour"}, id="a label that groups"),
        pytest.param("gpu_slice_draining / on (pod, a) group_left (b) gpu_slice_connections", {"a", "b"}, id="a join"),
    ],
)
def test_a_metric_or_label_that_there_is_not_is_seen(expression: str, wrong: set[str]) -> None:
    assert unknown(expression) == wrong


def test_every_metric_of_ours_is_asked_for_or_told_of() -> None:
    used = {each.name for case in EXPRESSIONS for each in selectors(str(case.values[0]))}
    told = set(re.findall(r"gpu_slice_\w+", PAGE))
    names = {name: {name, *(name + suffix for suffix in PARTS[FAMILIES[name]])} for name in MADE}

    nowhere = [name for name in MADE if not names[name] & (used | told)]
    assert nowhere == [], "an alert, a panel or docs/operations.md must name a metric"
    assert told - set().union(*names.values()) == set()


def test_values_that_are_asked_for_are_values_that_there_are() -> None:
    counted = {
        (sample.name, label, value)
        for registry in REGISTRIES
        for family in registry.collect()
        for sample in family.samples
        for label, value in sample.labels.items()
    }
    jobs = {f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in _monitors()}
    files = [ROOT / "manifests" / "webhook" / f"{name}.yaml" for name in ("webhook", "advice")]
    webhooks = [webhook for file in files for webhook in yaml.safe_load(file.read_text())["webhooks"]]
    for case in EXPRESSIONS:
        for selector in selectors(str(case.values[0])):
            for matcher in selector.matchers.matchers:
                for value in matcher.value.split("|"):
                    if matcher.name == "job":
                        assert value in jobs
                    elif str(selector.name).startswith("apiserver_") and matcher.name == "name":
                        assert value in {webhook["name"] for webhook in webhooks}
                    elif selector.name == "gpu_slice_refused_connections_total":
                        assert (selector.name, matcher.name, value) in counted


STATE = {
    "gpu_slice_draining",
    "gpu_slice_certificate_not_after_seconds",
    "gpu_slice_fleet_loaded",
    "gpu_slice_fleet_generation",
    "gpu_slice_keeper_configuration_as_shipped",
}
"""What follows from files, signals and the keeper's own view, and from no request."""

CALLS = {f"apiserver_admission_webhook_{name}" for name in ("rejection_count", "fail_open_count", "request_total")}


@pytest.mark.parametrize("rule", [case for case in ALERTS if case.values[0]["labels"]["severity"] == "critical"])
def test_no_sender_of_a_pod_or_request_can_wake_somebody_up(rule: dict[str, Any]) -> None:
    assert {each.name for each in selectors(rule["expr"])} <= STATE | CALLS
    failing = [
        {matcher.name: matcher.value for matcher in each.matchers.matchers}
        for each in selectors(rule["expr"])
        if 'error_type="calling_webhook_error"' in str(each)
    ]
    for matchers in failing:
        answered = matchers["rejection_code"]
        assert all(re.fullmatch(answered, code) for code in ("400", "413", "429", "431", "500"))
        assert not re.fullmatch(answered, "503"), "what the API server counts where nobody answers"
        assert "unless" in rule["expr"], "while others are answered it is no outage"
    for each in selectors(rule["expr"]):
        if each.name == "apiserver_admission_webhook_request_total":
            (answered,) = (matcher.value for matcher in each.matchers.matchers if matcher.name == "code")
            assert all(re.fullmatch(answered, code) for code in ("200", "400", "413", "429", "431", "500"))
            assert not re.fullmatch(answered, "503"), "what it counts where nobody answers"


def untested(expression: Expr) -> list[str]:
    """The parts of an alert's *expression* that fire for whatever value a series has, 0 too."""
    if isinstance(expression, (ParenExpr, AggregateExpr)):
        return untested(expression.expr)
    if isinstance(expression, BinaryExpr):
        operator = str(expression.op)
        if operator == "or":
            return untested(expression.lhs) + untested(expression.rhs)
        if operator in ("and", "unless"):
            left = untested(expression.lhs)
            return left if operator == "unless" or untested(expression.rhs) else []
        return [] if operator in (">", "<", "==", ">=", "<=", "!=") else [str(expression)]
    if isinstance(expression, Call) and expression.func.name == "label_replace":
        return untested(expression.args[0])
    if isinstance(expression, Call) and expression.func.name == "absent":
        return []
    return [str(expression)]


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_fires_for_no_series_that_is_at_zero(rule: dict[str, Any]) -> None:
    """A metric of ours is there from the start, at 0."""
    assert untested(parsed(rule["expr"])) == []


def test_what_anybody_could_bring_about_is_a_warning_and_not_nothing() -> None:
    severities = {rule["labels"]["severity"] for rule in RULES if rule["alert"] == "GpuSliceInternalErrors"}

    assert severities == {"warning"}


def _monitors() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((MONITORING / "podmonitor.yaml").read_text()))


def test_each_monitor_asks_the_pods_of_one_deployment_on_the_port_of_their_metrics() -> None:
    documents = [
        document
        for path in sorted((ROOT / "manifests").rglob("*.yaml"))
        if "templates" not in path.parts  # of the chart
        for document in yaml.safe_load_all(path.read_text())
        if document and document.get("kind") == "Deployment" and document["metadata"].get("namespace") == "gpu-slice"
    ]
    deployments = {each["metadata"]["labels"]["app.kubernetes.io/component"]: each for each in documents}
    monitors = {each["metadata"]["name"]: each for each in _monitors()}

    assert deployments.keys() == monitors.keys()
    for component, monitor in monitors.items():
        template = deployments[component]["spec"]["template"]
        [container] = template["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        assert monitor["metadata"]["namespace"] == deployments[component]["metadata"]["namespace"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        assert ports[endpoint["port"]] == 8080


@pytest.mark.parametrize("rule", ALERTS)
def test_an_alert_says_how_bad_it_is_what_it_means_and_where_the_cure_is(rule: dict[str, Any]) -> None:
    notes = rule["annotations"]

    assert rule["labels"]["severity"] in ("critical", "warning")
    assert notes.keys() == {"summary", "description", "runbook"}
    assert len(notes["summary"]) <= 120
    assert notes["description"].endswith(".")
    assert notes["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_every_alert_has_its_heading_on_the_page_and_every_heading_its_alert() -> None:
    headings = re.findall(r"^#+ (GpuSlice\w+)$", PAGE, re.MULTILINE)

    assert sorted(headings) == sorted({rule["alert"] for rule in RULES})


LINKED = ["README.md", "SECURITY.md", "CONTRIBUTING.md"]
LINKED += [str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", LINKED)
def test_every_file_and_every_heading_that_a_page_points_to_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    for target, heading in re.findall(r"\]\((?!https:)([^)#:]+)#?([^)]*)\)", text):
        path = (ROOT / page).parent / target
        assert path.exists(), target
        titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE) if heading else []
        headings = [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in titles]  # as GitHub does it
        assert not heading or heading in headings, heading
    for named in re.findall(r"`((?:manifests|webhook|certs|tests|bench|docs)/[\w./-]+)`", text):
        assert (ROOT / named).exists(), named


def test_a_line_of_the_log_that_a_page_names_is_one_that_the_code_writes() -> None:
    source = "".join(path.read_text() for name in ("webhook", "certs") for path in sorted((ROOT / name).rglob("*.py")))
    named = re.findall(r"[Ll]og[^.`]{0,40} line `([a-z ]+)`|line `([a-z ]+)`", f"{PAGE} {RULES}")
    lines = {line for pair in named for line in pair if line}

    assert "a request failed" in lines
    assert {line for line in lines if f'"{line}' not in source} == set()


def test_an_alert_that_stands_twice_differs_in_how_bad_it_is() -> None:
    seen = [(rule["alert"], rule["labels"]["severity"]) for rule in RULES]

    assert len(set(seen)) == len(seen)


def test_the_page_gives_the_numbers_that_the_code_has() -> None:
    from certs.policy import RotationPolicy
    from webhook.server import settings

    limits = settings.limits(256 * settings.MIB, 2**20)  # as the Deployment has it
    policy, text = RotationPolicy(), " ".join(PAGE.split())
    for said in [
        f"every {policy.leaf_renewal.days} days",
        f"lives {policy.leaf_lifetime.days} days",
        f"{policy.wait.days * 24} hours",
        f"{policy.handover.seconds // 60} minutes",
        f"{policy.grace.days} days late",
        f"after {policy.authority_renewal.days} days",
        f"{(policy.leaf_lifetime + policy.margin).days} days",
        f"{settings.DRAIN + settings.GRACE:g} s",
        f"{limits.of_a_source} connections from one address",
        f"{limits.connections} in all",
        f"{limits.held // 2**20} MiB",
    ]:
        assert said in text, said


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_what_it_shows_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["type"] in ("timeseries", "stat")
    assert panel["targets"]
    assert all(target["legendFormat"] for target in panel["targets"])
    assert {each["datasource"]["uid"] for each in [panel, *panel["targets"]]} == {"${datasource}"}
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references)


def test_panels_have_numbers_of_their_own_and_do_not_lie_upon_each_other() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    cells: list[tuple[int, int]] = []
    for place in (panel["gridPos"] for panel in DASHBOARD["panels"]):
        assert place["x"] + place["w"] <= 24
        cells += [(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])]

    assert len(set(numbers)) == len(numbers)
    assert len(set(cells)) == len(cells)


def test_the_dashboard_asks_which_prometheus_it_is_to_ask() -> None:
    [variable] = DASHBOARD["templating"]["list"]

    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    assert DASHBOARD["uid"] == "gpu-slice"
    assert DASHBOARD["schemaVersion"] >= 39


def test_grafana_finds_the_dashboard_by_its_label() -> None:
    kustomization = yaml.safe_load((MONITORING / "kustomization.yaml").read_text())
    [generator] = kustomization["configMapGenerator"]

    assert generator["options"]["labels"]["grafana_dashboard"] == "1"
    assert [file.partition("=")[2] for file in generator["files"]] == ["dashboard.json"]


def test_a_cluster_without_the_operator_can_apply_all_the_rest() -> None:
    assert "monitoring" not in yaml.safe_load((ROOT / "manifests" / "kustomization.yaml").read_text())["resources"]


def test_the_promised_slices_are_those_of_the_fleet_in_use_and_are_called_as_kube_state_metrics_does() -> None:
    metrics = ServerMetrics()
    metrics.promise(
        fleet_of("pools: [{name: a, gpu: t4, partition: {mps: {replicas: 2}}, instanceTypes: [g4dn.xlarge]}]")
    )
    text = "pools: [{name: b, gpu: a100-40gb, partition: {mig: {1g.5gb+me: 1}}, instanceTypes: [p4d.24xlarge]}]"
    metrics.promise(fleet_of(text))
    lines = [line for line in metrics.text().decode().splitlines() if line.startswith("gpu_slice_promised_slices{")]
    assert lines == [
        'gpu_slice_promised_slices{instance_type="p4d.24xlarge",pool="b",resource="nvidia_com_mig_1g_5gb_me"} 8.0'
    ]


def test_what_kube_state_metrics_is_told_to_measure_is_what_is_asked_for() -> None:
    values = yaml.safe_load((MONITORING / "kube-state-metrics" / "values.yaml").read_text())
    [overlays] = values["customResourceState"]["config"]["spec"]["resources"]
    made = {
        f"{overlays['metricNamePrefix']}_{each['name']}": {*overlays["labelsFromPath"]}
        | {*each["each"]["gauge"].get("labelsFromPath", {})}
        for each in overlays["metrics"]
    }
    assert made == {name: OTHERS[name] for name in OTHERS if name.startswith("kube_nodeoverlay_")}
    [nodes_labels] = values["metricLabelsAllowlist"]
    let_through = re.findall(r"[\w./-]+(?=[,\]])", nodes_labels)
    assert {f"label_{re.sub(r'[^a-zA-Z0-9_]', '_', each)}" for each in let_through} == OTHERS["kube_node_labels"] - {
        "node"
    }
