"""What of the Helm chart can be told without helm.  `tests.cluster.test_helm` renders and installs it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import BEGIN, CHART, PAGE, ROOT, made, schema, values
from webhook.server.settings import GRACE, Settings

DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
DOCUMENTED = {value.path for value in values()}
TEMPLATES = sorted((CHART / "templates").iterdir())


@pytest.mark.parametrize("path", made(), ids=lambda path: path.name)
def test_what_is_made_from_the_values_and_the_fleet_is_up_to_date(path: Path) -> None:
    assert path.read_text() == made()[path], "run: python -m tests.chart"


def leaves(group: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of the values, down to those that are documented."""
    found = []
    for key, value in group.items():
        here = (*path, key)
        found += leaves(value, here) if isinstance(value, dict) and here not in DOCUMENTED else [here]
    return found


def test_every_value_is_documented_and_has_a_type() -> None:
    assert leaves(DEFAULTS) == [value.path for value in values()]
    for value in values():
        rule: dict[str, Any] = schema()
        for key in value.path:
            rule = rule["properties"][key]
        assert rule["type"] != "null", value.path
        assert rule["description"], value.path


@pytest.mark.parametrize("path", sorted(DOCUMENTED), ids=".".join)
def test_every_value_is_read_by_a_template(path: tuple[str, ...]) -> None:
    texts = "".join(template.read_text() for template in TEMPLATES if template.name != "_validate.tpl")

    assert re.search(rf"[.$]{re.escape(path[-1])}\b", texts)


def test_what_the_templates_read_is_a_value() -> None:
    for template in TEMPLATES:
        for name in re.findall(r"\.Values\.([\w.]+)", template.read_text()):
            path = tuple(name.split("."))
            assert any(path[: len(each)] == each or each[: len(path)] == path for each in DOCUMENTED), name


def test_an_answer_may_take_no_longer_than_a_server_that_stops_waits_for_it() -> None:
    assert schema()["properties"]["webhook"]["properties"]["timeoutSeconds"]["maximum"] < GRACE


def test_the_templates_know_the_ports_of_the_code() -> None:
    assert DEFAULTS["webhook"]["port"] == Settings.port
    for template in TEMPLATES:
        for port in re.findall(r"(?:ne|eq) \(int \S+\.port\) (\d+)|containerPort: (\d+)", template.read_text()):
            assert int(port[0] or port[1]) in (Settings.port, Settings.ops_port), template.name


def test_no_template_makes_a_certificate_or_renders_a_ca() -> None:
    for template in TEMPLATES:
        text = template.read_text()
        assert not re.search(r"\bgen\w*(CA|Cert|Key)\w*\b|\blookup\b|\brand\w+", text), template.name
        assert "caBundle:" not in text


def test_the_schema_refuses_what_nobody_reads() -> None:
    def groups(rule: dict[str, Any]) -> list[dict[str, Any]]:
        inner = [each for each in rule.get("properties", {}).values() if "description" not in each]
        return [rule, *(deeper for each in inner for deeper in groups(each))]

    for group in groups(schema()):
        assert group.get("additionalProperties") is False or group == {"type": "object"} or group["type"] == "boolean"


def test_a_fleet_of_the_values_is_held_to_the_schema_of_a_fleet_file() -> None:
    found = schema()
    fleet = found["$defs"][found["properties"]["fleet"]["then"]["$ref"].rpartition("/")[2]]

    assert fleet["required"] == ["apiVersion", "pools"]
    assert set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(found))) <= found["$defs"].keys()


def test_what_argo_cd_and_flux_leave_alone_is_what_the_keeper_writes() -> None:
    text = PAGE.read_text()
    argo, flux = [yaml.safe_load(block)["spec"] for block in re.findall(r"```yaml\n(spec:.*?)```", text, re.DOTALL)]

    assert BEGIN in text
    assert [(each["kind"], each["name"]) for each in argo["ignoreDifferences"]] == [
        ("MutatingWebhookConfiguration", "gpu-slice"),
        ("ValidatingWebhookConfiguration", "gpu-slice-advice"),
        ("Secret", "webhook-ca"),
        ("Secret", "webhook-tls"),
    ]
    for rule in flux["driftDetection"]["ignore"]:
        path = {"MutatingWebhookConfiguration": "webhook.yaml", "ValidatingWebhookConfiguration": "advice.yaml"}
        if rule["target"]["kind"] in path:
            shipped = yaml.safe_load((ROOT / "manifests" / "webhook" / path[rule["target"]["kind"]]).read_text())
            count = len(shipped["webhooks"])
            assert rule["paths"] == [f"/webhooks/{number}/clientConfig/caBundle" for number in range(count)]
