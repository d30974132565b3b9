"""Alerts and dashboard, held to the metrics that the code registers and to the page that says what to do."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from webhook.server.metrics import Metrics

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

Labels = frozenset[str]

PARTS = {"Counter": {"_total": ()}, "Gauge": {"": ()}, "Histogram": {"_bucket": ("le",), "_sum": (), "_count": ()}}
"""What a metric is called where it is read, and the labels that come with that."""

FROM_THE_SCRAPE = frozenset({"job", "namespace", "pod"})
"""What the operator adds to whatever a PodMonitor finds."""

OTHERS = {
    # https://kubernetes.io/docs/reference/instrumentation/metrics/
    "apiserver_admission_webhook_admission_duration_seconds_bucket": {"name", "type", "operation", "rejected", "le"},
    "apiserver_admission_webhook_rejection_count": {"name", "type", "operation", "error_type", "rejection_code"},
    "apiserver_admission_webhook_fail_open_count": {"name", "type"},
    # https://karpenter.sh/docs/reference/metrics/; the labels are those of Karpenter v1.14.1
    "operator_nodeclaim_status_condition_current_status_seconds": {
        "namespace", "name", "type", "status", "reason", "karpenter_sh_nodepool",
    },
    # https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics
    "process_resident_memory_bytes": set(),
}  # fmt: skip


def _made(path: Path) -> Iterator[tuple[str, str, Labels]]:
    """Kind, name and labels of each of our metrics that a file makes."""
    for node in ast.walk(ast.parse(path.read_text())):
        kind = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
        if not isinstance(node, ast.Call) or kind not in PARTS:
            continue
        name = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
        if isinstance(name, str) and name.startswith("gpu_slice_"):
            given = [*node.args[2:3], *(each.value for each in node.keywords if each.arg == "labelnames")]
            yield kind, name, frozenset(ast.literal_eval(given[0]) if given else ())


SOURCES = [path for package in ("webhook", "certs") for path in sorted((ROOT / package).rglob("*.py"))]
MADE = [metric for path in SOURCES for metric in _made(path)]
OURS = {name + suffix: labels | set(more) for kind, name, labels in MADE for suffix, more in PARTS[kind].items()}
KNOWN = {**OURS, **OTHERS}

# PromQL, as far as it is used here.  What the tokens do not cover, or the words do not name, is an error: a misspelt
# function is taken for a metric, and a misspelt metric is found by its name.
TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<number>\d+(?:\.\d+)?(?![\w.]))
    | (?P<duration>\d+[smhd](?!\w))
    | (?P<text>"[^"]*")
    | (?P<word>[A-Za-z_:][\w:]*)
    | (?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^><=(){}\[\],])""",
    re.VERBOSE,
)
FUNCTIONS = {"absent", "histogram_quantile", "increase", "max_over_time", "rate", "time", "vector"}
AGGREGATIONS = {"avg", "count", "max", "min", "sum"}
OPERATORS = {"and", "bool", "by", "offset", "or", "unless"}
CLOSES = {")": "(", "}": "{", "]": "["}


def _tokens(expression: str) -> list[tuple[str, str]]:
    text, position, found = expression.replace("$__rate_interval", "5m"), 0, []
    while position < len(text):
        match = TOKEN.match(text, position)
        assert match is not None, f"not PromQL: {text[position : position + 20]!r}"
        if match.lastgroup != "space":
            found.append((str(match.lastgroup), match.group()))
        position = match.end()
    return found


def _brackets(tokens: list[tuple[str, str]]) -> None:
    open_ones: list[str] = []
    for _, text in tokens:
        if text in CLOSES.values():
            open_ones.append(text)
        elif text in CLOSES:
            assert open_ones, f"{text} closes nothing"
            assert open_ones.pop() == CLOSES[text], text
    assert open_ones == [], "not closed"


@cache
def _read(expression: str) -> tuple[dict[str, set[str]], set[str], list[tuple[str, str, str]]]:
    """Of an expression: its metrics with the labels that each is selected by, the labels of all ``by``, and the
    matchers as metric, label and value."""
    tokens = _tokens(expression)
    _brackets(tokens)
    metrics: dict[str, set[str]] = {}
    grouped: set[str] = set()
    matchers: list[tuple[str, str, str]] = []
    place = 0
    while place < len(tokens):
        kind, text = tokens[place]
        after = tokens[place + 1][1] if place + 1 < len(tokens) else ""
        place += 1
        if kind != "word" or text in OPERATORS - {"by"}:
            continue
        if text == "by" or after == "{":
            end = next(i for i in range(place, len(tokens)) if tokens[i][1] in (")", "}"))
            inner = tokens[place + 1 : end]
            place = end + 1
            if text == "by":
                grouped |= {each for kind, each in inner if kind == "word"}
                continue
            parts = [inner[i : i + 4] for i in range(0, len(inner), 4)]
            for part in parts:
                assert [each[0] for each in part[:3]] == ["word", "sign", "text"], part
                assert part[1][1] in ("=", "!=", "=~", "!~"), part
                assert part[3:] in ([], [("sign", ",")]), part
                matchers.append((text, part[0][1], part[2][1].strip('"')))
            metrics.setdefault(text, set()).update(part[0][1] for part in parts)
        elif after == "(" or (text in AGGREGATIONS and after == "by"):
            assert text in FUNCTIONS | AGGREGATIONS, f"no function {text}"
        else:
            metrics.setdefault(text, set())
    return metrics, grouped, matchers


def _all() -> list[tuple[dict[str, set[str]], set[str], list[tuple[str, str, str]]]]:
    return [_read(str(case.values[0])) for case in EXPRESSIONS]


def test_the_metrics_in_the_source_are_those_that_the_server_registers() -> None:
    registered = {
        sample.name
        for family in Metrics().registry.collect()
        if family.name.startswith("gpu_slice_")
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    described = {family.name for family in Metrics().registry.collect() if family.name.startswith("gpu_slice_")}
    server = {name for _, name, _ in _made(ROOT / "webhook" / "server" / "metrics.py")}

    assert server == described
    assert registered - OURS.keys() == set()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_query_asks_for_metrics_and_labels_that_there_are(expression: str) -> None:
    metrics, grouped, _ = _read(expression)

    assert metrics
    assert {name for name in metrics if name not in KNOWN} == set()
    for name, labels in metrics.items():
        assert labels - KNOWN[name] - FROM_THE_SCRAPE == set(), name
    assert grouped - set().union(*(KNOWN[name] for name in metrics)) - FROM_THE_SCRAPE == set()


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("sum(increase(a[5m])", id="a bracket that is not closed"),
        pytest.param("sum(a]", id="a bracket that closes another"),
        pytest.param("incraese(a[5m]) > 0", id="a function that there is not"),
        pytest.param('a{b="c" d="e"} > 0', id="no comma"),
        pytest.param("a > 0 ; b", id="a sign that there is not"),
        pytest.param('a{b>"c"}', id="no way to match"),
    ],
)
def test_what_is_no_query_is_seen(expression: str) -> None:
    with pytest.raises(AssertionError):
        _read(expression)


def test_a_metric_or_label_that_there_is_not_is_seen() -> None:
    metrics, grouped, matchers = _read('sum by (pod, colour) (rate(gpu_slice_gone_total{pool=~"a|b"}[5m])) / 2')

    assert metrics == {"gpu_slice_gone_total": {"pool"}}
    assert grouped == {"pod", "colour"}
    assert matchers == [("gpu_slice_gone_total", "pool", "a|b")]
    assert "gpu_slice_gone_total" not in KNOWN


def test_every_metric_of_ours_is_asked_for_or_told_of() -> None:
    used = {metric for metrics, _, _ in _all() for metric in metrics}
    told = set(re.findall(r"gpu_slice_\w+", PAGE))
    shown = {name for _, name, _ in MADE if any(name + suffix in used | told for suffix in ("", "_total", "_bucket"))}

    assert {name for _, name, _ in MADE} - shown == set()
    assert {name for name in told if name not in OURS and name not in {name for _, name, _ in MADE}} == set()


def test_values_that_are_asked_for_are_values_that_there_are() -> None:
    counted = {
        (sample.name, label, value)
        for family in Metrics().registry.collect()
        for sample in family.samples
        for label, value in sample.labels.items()
    }
    monitors = _monitors()
    jobs = {f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in monitors}
    [webhook] = yaml.safe_load((ROOT / "manifests" / "webhook" / "webhook.yaml").read_text())["webhooks"]
    for _, _, matchers in _all():
        for metric, label, values in matchers:
            for value in values.split("|"):
                if label == "job":
                    assert value in jobs
                elif metric.startswith("apiserver_") and label == "name":
                    assert value == webhook["name"]
                elif (metric, label) == ("gpu_slice_refused_connections_total", "reason"):
                    assert (metric, label, value) in counted


def _monitors() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((MONITORING / "podmonitor.yaml").read_text()))


def test_each_monitor_asks_the_pods_of_one_deployment_on_the_port_of_their_metrics() -> None:
    documents = [
        document
        for path in sorted((ROOT / "manifests").rglob("*.yaml"))
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


@pytest.mark.parametrize("page", ["docs/operations.md", "SECURITY.md"])
def test_every_file_and_every_heading_that_a_page_points_to_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    for target, heading in re.findall(r"\]\(([^)#:]+)#?([^)]*)\)", text):
        path = (ROOT / page).parent / target
        assert path.exists(), target
        headings = [each.lower().replace(" ", "-") for each in re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)]
        assert not heading or heading in headings, heading
    for named in re.findall(r"`((?:manifests|webhook|certs|tests|bench|docs)/[\w./-]+)`", text):
        assert (ROOT / named).exists(), named


def test_an_alert_that_stands_twice_differs_in_how_bad_it_is() -> None:
    seen = [(rule["alert"], rule["labels"]["severity"]) for rule in RULES]

    assert len(set(seen)) == len(seen)


def test_the_page_gives_the_numbers_that_the_code_has() -> None:
    from certs.policy import Policy
    from webhook.server.settings import DRAIN, MIB, limits

    small = limits(256 * MIB, 1_000_000)
    policy, text = Policy(), " ".join(PAGE.split())
    for said in [
        f"every {policy.leaf_renewal.days} days",
        f"lives {policy.leaf_lifetime.days} days",
        f"{policy.wait.days * 24} hours",
        f"{policy.handover.seconds // 60} minutes",
        f"{policy.grace.days} days late",
        f"after {policy.authority_renewal.days} days",
        f"{(policy.leaf_lifetime + policy.margin).days} days",
        f"{DRAIN:g} s",
        f"{small.of_a_source} connections from one address",
        f"{small.connections} in all",
        f"{small.held // MIB} MiB",
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
