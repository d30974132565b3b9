"""What ``gpu-slice fit`` counts of objects whose pods have no template."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.unit.fit_needs import answer, run

SLICE = {"gpu-slice": "1g.5gb"}
SPARK = "sparkoperator.k8s.io/v1beta2"
KEY = "spark.kubernetes.executor.annotation.gpu-slice"


def made(api: str, kind: str, spec: dict[str, Any], annotations: dict[str, str] | None = None, **more: Any) -> Any:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "it", "annotations": annotations or {}},
            "spec": spec, **more}  # fmt: skip


def serving(annotations: dict[str, str] | None = None, **spec: Any) -> Any:
    return made("serving.kserve.io/v1beta1", "InferenceService", spec, annotations)


def spark(executor: dict[str, Any], **spec: Any) -> Any:
    return made(SPARK, "SparkApplication", {"executor": executor, "driver": {}, **spec})


@pytest.mark.parametrize(
    ("document", "pods"),
    [
        pytest.param(serving(SLICE, predictor={"minReplicas": 3}), 3, id="an InferenceService"),
        pytest.param(serving(SLICE, predictor={"model": {}}), 1, id="without a number"),
        pytest.param(serving(SLICE, predictor={"minReplicas": 0, "model": {}}), 0, id="that scales to zero"),
        pytest.param(
            serving(SLICE, predictor={"minReplicas": 2}, transformer={"minReplicas": 4}), 6, id="with a transformer"
        ),
        pytest.param(
            serving(predictor={"minReplicas": 2, "annotations": SLICE}, transformer={"minReplicas": 4}),
            2,
            id="one part",
        ),
        pytest.param(
            serving({**SLICE, "serving.kserve.io/stop": "true"}, predictor={"minReplicas": 3}), 0, id="that is stopped"
        ),
        pytest.param(
            serving({"gpu-slice": "kserve-container=1g.5gb"}, predictor={"minReplicas": 2}), 2, id="a container by name"
        ),
        pytest.param(spark({"instances": 4, "annotations": SLICE}), 4, id="executors"),
        pytest.param(spark({"annotations": SLICE}, driver={"annotations": SLICE}), 2, id="an executor and the driver"),
        pytest.param(spark({"instances": 4}, sparkConf={KEY: "1g.5gb"}), 4, id="by a property"),
        pytest.param(
            spark({"instances": 4, "annotations": SLICE}) | {"status": {"applicationState": {"state": "COMPLETED"}}},
            0,
            id="that has ended",
        ),
        pytest.param(
            made(
                SPARK, "ScheduledSparkApplication", {"template": {"executor": {"instances": 2, "annotations": SLICE}}}
            ),
            2,
            id="on a schedule",
        ),
        pytest.param(
            made(
                SPARK,
                "ScheduledSparkApplication",
                {"suspend": True, "template": {"executor": {"instances": 2, "annotations": SLICE}}},
            ),
            0,
            id="suspended",
        ),
        pytest.param(
            made("apps.nvidia.com/v1alpha1", "NIMService", {"replicas": 5, "annotations": SLICE}), 5, id="a NIMService"
        ),
    ],
)
def test_pods_are_counted_where_the_object_says_how_many(document: dict[str, Any], pods: int) -> None:
    found = answer("-", text=yaml.safe_dump(document))
    assert (found["pods"], found["notCounted"]) == (pods, [])
    assert "it has no pod template: counted as" in run("-", text=yaml.safe_dump(document)).stderr


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(serving(SLICE, predictor={"minReplicas": 1, "maxReplicas": 9}), id="more replicas"),
        pytest.param(serving(SLICE, predictor={"workerSpec": {"pipelineParallelSize": 2}}), id="several nodes"),
        pytest.param(spark({"annotations": SLICE}, dynamicAllocation={"enabled": True}), id="dynamic allocation"),
    ],
)
def test_where_there_may_be_more_pods_it_is_said(document: dict[str, Any]) -> None:
    assert "counted as 1, and it may run more" in run("-", text=yaml.safe_dump(document)).stderr


def test_such_pods_choose_nodes_as_the_object_says() -> None:
    document = spark({"instances": 2, "annotations": SLICE, "nodeSelector": {"gpu-slice/pool": "a100-mixed"}})
    result = run("-", text=yaml.safe_dump(document))
    assert "2 pods fit on" in result.stdout
    assert answer("-", text=yaml.safe_dump(document))["pods"] == 2
    nowhere = spark({"annotations": SLICE, "nodeSelector": {"gpu-slice/pool": "h200-large"}})
    assert "gpu-slice/pool" in run("-", text=yaml.safe_dump(nowhere)).stderr


def test_a_wrong_value_is_denied_in_its_part() -> None:
    result = run("-", text=yaml.safe_dump(spark({"annotations": {"gpu-slice": "1g5gb"}})))
    assert result.exit_code == 1
    assert "SparkApplication it, spec.executor" in result.stderr
