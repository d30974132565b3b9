"""Pods that stand for those of an object without a pod template, as its previews and ``fit`` take them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.pods import MIXED, fleet_of
from tests.unit.fit_needs import answer
from webhook.admission.kinds import KINDS
from webhook.admission.preview import Preview, preview
from webhook.admission.stand_ins import stand_ins
from webhook.admission.workloads import subjects

SLICE = {"gpu-slice": "1g.5gb"}
H100 = {"nvidia.com/gpu": "h100"}
WITH_PARTS = [kind for kind in KINDS if kind.parts]
TWO = {"limits": {"nvidia.com/gpu": 2}}


def made(kind: str, spec: dict[str, Any], annotations: dict[str, str] | None = None) -> dict[str, Any]:
    (group,) = (each.group for each in WITH_PARTS if each.name == kind)
    return {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "it", "annotations": annotations or {}},
            "spec": spec}  # fmt: skip


def previewed(document: dict[str, Any]) -> list[Preview]:
    return list(preview(document, fleet_of(MIXED)))


@pytest.mark.parametrize("kind", WITH_PARTS, ids=lambda kind: kind.name)
def test_a_part_has_its_annotation_where_the_controller_reads_it(kind: Any) -> None:
    for part in kind.parts:
        path = f"{part.path}.{part.annotations}"
        assert path in kind.passed_on, "a preview of the kind would say that it has no effect there"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        pytest.param(
            made("InferenceService", {"predictor": {"annotations": SLICE, "nodeSelector": H100, "model": {}}}),
            "spec.predictor.nodeSelector[nvidia.com/gpu]",
            id="an InferenceService that selects other nodes",
        ),
        pytest.param(
            made("InferenceService", {"predictor": {"nodeSelector": H100, "model": {}}}, SLICE),
            "spec.predictor.nodeSelector[nvidia.com/gpu]",
            id="with the annotation on the object",
        ),
        pytest.param(
            made("InferenceService", {"predictor": {"annotations": SLICE, "model": {"resources": TWO}}}),
            "spec.predictor.model.resources",
            id="an InferenceService with two GPUs",
        ),
        pytest.param(
            made("InferenceService", {"predictor": {"annotations": SLICE, "containers": [{"resources": TWO}]}}),
            "spec.predictor.containers[0].resources.limits[nvidia.com/gpu]",
            id="in a container of its own",
        ),
        pytest.param(
            made("LLMInferenceService", {"annotations": SLICE, "template": {"nodeSelector": H100}}),
            "spec.template.nodeSelector[nvidia.com/gpu]",
            id="an LLMInferenceService",
        ),
        pytest.param(
            made(
                "LLMInferenceService",
                {"prefill": {"annotations": SLICE, "template": {"containers": [{"name": "main", "resources": TWO}]}}},
            ),
            "spec.prefill.template.containers[0].resources.limits[nvidia.com/gpu]",
            id="its prefill",
        ),
        pytest.param(
            made(
                "VLLMRuntime",
                {
                    "deploymentConfig": {
                        "podAnnotations": SLICE,
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "nvidia.com/gpu", "operator": "In", "values": ["h100"]}]}
                        ],
                    }
                },
            ),
            "spec.deploymentConfig.nodeSelectorTerms",
            id="a VLLMRuntime",
        ),
        pytest.param(
            made("VLLMRuntime", {"deploymentConfig": {"podAnnotations": SLICE, "resources": {"gpu": "2"}}}),
            "spec.deploymentConfig.resources",
            id="a VLLMRuntime with two GPUs",
        ),
        pytest.param(
            made("NIMService", {"annotations": SLICE, "resources": TWO}),
            "spec.resources",
            id="a NIMService with two GPUs",
        ),
        pytest.param(
            made("NIMPipeline", {"services": [{"spec": {"annotations": SLICE, "nodeSelector": H100}}]}),
            "spec.services[0].spec.nodeSelector[nvidia.com/gpu]",
            id="a NIMPipeline",
        ),
        pytest.param(
            made("NemoEvaluator", {"annotations": SLICE, "nodeSelector": H100}),
            "spec.nodeSelector[nvidia.com/gpu]",
            id="a NemoEvaluator",
        ),
        pytest.param(
            {"apiVersion": "sparkoperator.k8s.io/v1", "kind": "SparkApplication", "metadata": {"name": "it"},
             "spec": {"executor": {"annotations": SLICE, "gpu": {"name": "nvidia.com/gpu", "quantity": 2}}}},
            "spec.executor.gpu",
            id="an executor of Spark with two GPUs",
        ),
    ],
)  # fmt: skip
def test_what_would_be_denied_is_denied_by_the_field_of_the_object(document: dict[str, Any], field: str) -> None:
    (result,) = previewed(document)
    assert result.denial is not None
    assert (result.outcome, result.denial.field) == ("denied", field)
    denied = answer("-", text=yaml.safe_dump(document))
    assert denied["pods"] == 0, "fit counts it"


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(made("InferenceService", {"predictor": {"annotations": SLICE, "model": {}}}), id="one part"),
        pytest.param(
            made(
                "InferenceService",
                {"predictor": {"annotations": SLICE, "model": {}}, "transformer": {"nodeSelector": H100}},
            ),
            id="the transformer has none",
        ),
        pytest.param(
            made("NIMService", {"annotations": SLICE, "resources": {"limits": {"nvidia.com/gpu": 1}}}),
            id="its whole GPU is replaced",
        ),
        pytest.param(
            made("VLLMRuntime", {"deploymentConfig": {"podAnnotations": SLICE, "resources": {"gpu": "1"}}}),
            id="by the operator's own field",
        ),
        pytest.param(
            made("LLMInferenceService", {"annotations": {"gpu-slice": "other=1g.5gb"}, "template": {}}),
            id="a container that its base may have",
        ),
    ],
)
def test_what_would_be_admitted_is_not_denied(document: dict[str, Any]) -> None:
    (result,) = previewed(document)
    assert (result.outcome, result.problem) == ("unknown", "")


def test_an_annotation_of_the_whole_object_gives_each_part_a_slice_and_it_is_said() -> None:
    predictor, transformer = {"model": {}}, {"containers": [{"name": "kserve-container"}]}
    notes = [
        " ".join(each.subject.advice)
        for (each,) in (
            previewed(made("InferenceService", {"predictor": predictor, "transformer": transformer}, SLICE)),
            previewed(made("InferenceService", {"predictor": predictor}, SLICE)),
            previewed(made("InferenceService", {"predictor": {"annotations": SLICE}, "transformer": transformer})),
        )
    ]
    assert "a slice to the pods of each of spec.predictor, spec.transformer. To give it to one alone" in notes[0]
    assert all("each of" not in note for note in notes[1:])


@pytest.mark.parametrize("value", [None, 1, [], [None], {}, {"annotations": 1}, {"annotations": SLICE, "model": 3}])
@pytest.mark.parametrize("kind", ["InferenceService", "VLLMRuntime", "NIMPipeline", "LLMInferenceService"])
def test_any_part_is_read(kind: str, value: Any) -> None:
    for spec in (value, {"predictor": value}, {"services": value}, {"services": [value]}, {"deploymentConfig": value}):
        for subject in subjects(made(kind, spec, SLICE)):
            assert all(each.subject.pod is not None for each in stand_ins(subject))
        previewed(made(kind, spec, SLICE))


@pytest.mark.parametrize("containers", [1, [1], [{"name": 1}], [{"resources": 1}], [{"resources": {"limits": 1}}], {}])
def test_any_container_of_a_part_is_read(containers: Any) -> None:
    (result,) = previewed(made("InferenceService", {"predictor": {"annotations": SLICE, "containers": containers}}))
    assert result.outcome in ("unknown", "denied")
