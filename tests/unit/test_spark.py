"""Spark: its properties give the annotation to drivers and executors, and its operators have pod templates."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pods import fleet_of
from webhook.admission.preview import Preview, preview

KEY = "spark.kubernetes.executor.annotation.gpu-slice"
DRIVER = "spark.kubernetes.driver.annotation.gpu-slice"
OPERATORS = {"sparkoperator.k8s.io/v1beta2": "SparkApplication", "spark.apache.org/v1": "SparkApplication",
             "sparkoperator.k8s.io/v1alpha1": "SparkConnect"}  # fmt: skip


def told(document: dict[str, Any]) -> list[Preview]:
    return list(preview({"metadata": {"name": "it"}, **document}, fleet_of("built-in")))


def application(conf: dict[str, str], api: str = "sparkoperator.k8s.io/v1beta2", kind: str = "") -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind or OPERATORS[api], "spec": {"sparkConf": conf}}


def defaults(text: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "data": {"spark-defaults.conf": text}}


@pytest.mark.parametrize("api", OPERATORS)
@pytest.mark.parametrize("key", [KEY, DRIVER])
def test_a_property_reaches_the_pods_of_an_application(api: str, key: str) -> None:
    (result,) = told(application({"spark.app.name": "it", key: "1g.5gb"}, api))
    assert [(note.code, str(note), note.field) for note in result.subject.advice] == [
        (
            "not-previewed",
            f"'{key}' at spec.sparkConf reaches the pods of this {OPERATORS[api]}, of which no preview can be made",
            f"spec.sparkConf[{key}]",
        )
    ]


def test_a_property_of_a_scheduled_application_stands_in_its_template() -> None:
    document = application({}, kind="ScheduledSparkApplication")
    document["spec"] = {"template": {"sparkConf": {KEY: "1g.5gb"}}}
    (result,) = told(document)
    assert "reaches the pods of this ScheduledSparkApplication" in result.subject.advice[0]


def test_the_value_of_a_property_is_checked() -> None:
    (result,) = told(application({KEY: "1g5gb"}))
    assert str(result.denial).startswith(f"spec.sparkConf[{KEY}]: ")
    assert "1g.5gb" in result.denial.hint


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        pytest.param(f"{KEY}s", KEY, id="misspelt"),
        pytest.param(DRIVER.replace("annotation", "annotations"), DRIVER, id="annotations"),
        pytest.param(DRIVER.replace("annotation", "label"), DRIVER, id="a label"),
        pytest.param(KEY.replace("gpu-slice", "gpu_slice"), KEY, id="an underscore"),
    ],
)
@pytest.mark.parametrize("place", ["application", "defaults"])
def test_a_property_that_spark_does_not_read_says_what_to_write(key: str, meant: str, place: str) -> None:
    (result,) = told(application({key: "1g.5gb"}) if place == "application" else defaults(f"{key} 1g.5gb"))
    (note,) = result.subject.advice
    assert (note.code, note.endswith(f"is not read: write '{meant}'")) == ("misplaced-annotation", True)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(f"{KEY} 1g.5gb", id="a space"),
        pytest.param(f"{KEY}=1g.5gb", id="="),
        pytest.param(f"  {KEY} : 1g.5gb  ", id="a colon"),
        pytest.param(f"{KEY}\t1g.5gb", id="a tab"),
    ],
)
@pytest.mark.parametrize(
    "around", ["{}\n", "# Spark's\nspark.eventLog.enabled true\n{}\nspark.a: [\n", "{}\r\na b\r\n"]
)
def test_the_defaults_of_spark_in_a_config_map_are_read(line: str, around: str) -> None:
    (result,) = told(defaults(around.format(line)))
    (note,) = result.subject.advice
    assert "at data[spark-defaults.conf] reaches the pods of a Spark job that reads it" in note
    assert note.code == "not-previewed"
    (wrong,) = told(defaults(around.format(line.replace("1g.5gb", "9g.9gb"))))
    assert wrong.denial.reason == "unknown-profile"


@pytest.mark.parametrize("text", [f"# {KEY} 1g.5gb", "spark.kubernetes.executor.annotation.team 1g.5gb", f"x.{KEY} 1"])
def test_other_lines_are_not_taken_for_the_annotation(text: str) -> None:
    (result,) = told(defaults(text))
    assert (result.subject.advice, result.denial) == ((), None)


def test_values_of_a_chart_with_properties_in_them_are_read_as_yaml() -> None:
    pod = "kind: Pod\nmetadata: {name: p, annotations: {gpu-slice: 1g5gb}}\nspec: {containers: [{name: m}]}\n"
    results = told(defaults(f"sparkConf:\n  {KEY}: 2g.10gb\n---\n{pod}"))
    assert [result.denial.field for result in results if result.denial] == ["metadata.annotations[gpu-slice]"]


@pytest.mark.parametrize(
    ("api", "kind", "path"),
    [
        ("sparkoperator.k8s.io/v1beta2", "SparkApplication", "executor.template"),
        ("sparkoperator.k8s.io/v1beta2", "SparkApplication", "driver.template"),
        ("spark.apache.org/v1", "SparkApplication", "executorSpec.podTemplateSpec"),
        ("sparkoperator.k8s.io/v1alpha1", "SparkConnect", "server.template"),
    ],
)
def test_the_pod_template_of_an_application_is_previewed(api: str, kind: str, path: str) -> None:
    template = {
        "metadata": {"annotations": {"gpu-slice": "1g.5gb"}},
        "spec": {"containers": [{"name": "spark-kubernetes-executor", "image": "spark"}]},
    }
    outer, inner = path.split(".")
    (result,) = told({"apiVersion": api, "kind": kind, "spec": {outer: {inner: template}}})
    assert (result.outcome, result.subject.template) == ("sliced", f"spec.{path}")
