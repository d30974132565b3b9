"""`gpu-slice explain FILE`: a file is judged by what asks for slices in it, and nothing in it is dropped in silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jsonpatch
import msgspec
import pytest
import yaml

from tests.pods import plan
from tests.unit.explain_world import FLEET, World
from tests.unit.test_stand_ins import H100, SLICE, TWO, made
from webhook.cli.explained import run
from webhook.cli.terminal import CouldNotLook
from webhook.cluster.cures import Here
from webhook.cluster.objects import NAMESPACES, NODES, WEBHOOKS, Document, Kind, Node
from webhook.cluster.reader import Reader, Refused
from webhook.cluster.snapshot import Listing
from webhook.errors import Denial


class Cluster(Reader):
    """A cluster with the webhook and one free node of each pool; it admits what the webhook admits."""

    def __init__(self, refuses: str = "") -> None:
        world = World()
        self.namespace = "team-a"
        self.refuses = refuses
        self.asked: list[Document] = []
        self.of_namespace = world.namespace
        self.listings: dict[Kind[Any], Listing[Any]] = {
            NODES: Listing(tuple(msgspec.convert(each, Node) for each in world.nodes.values())),
            WEBHOOKS: Listing((world.configuration,)),
        }

    def get(self, kind: Kind[Any], name: str, namespace: str | None = None, **_: Any) -> Document | None:
        return self.of_namespace if kind is NAMESPACES else None

    def list(self, kind: Kind[Any], namespace: str | None = None, **query: str) -> Listing[Any]:
        return self.listings.get(kind, Listing())

    def try_create(self, kind: Kind[Any], document: Document, namespace: str) -> Document:
        self.asked.append(document)
        if self.refuses:
            raise Refused(403, self.refuses)
        assert all(each.get("image") for each in document["spec"]["containers"]), "the API server wants an image"
        if "gpu-slice/opt-out" in self.of_namespace["metadata"]["labels"]:
            return document
        try:
            return dict(jsonpatch.apply_patch(document, plan(document, FLEET, namespace).patch))
        except Denial as denial:
            message = f'admission webhook "pods.gpu-slice.io" denied the request: {denial}'
            raise Refused(400, message) from None


class Answer(NamedTuple):
    code: int
    causes: dict[str, str]
    """By title."""
    said: str
    """On stderr."""
    explanations: list[dict[str, Any]]


Explained = Callable[..., Answer]


@pytest.fixture
def explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Explained:
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(yaml.safe_dump(FLEET.file.model_dump(mode="json", by_alias=True, exclude_unset=True)))

    def explain(*documents: Any, cluster: Cluster | None = None) -> Answer:
        file = tmp_path / "all.yaml"
        file.write_text(yaml.safe_dump_all(documents))
        code = run(cluster or Cluster(), str(file), "json", fleet, Here(), is_file=True)
        out, said = capsys.readouterr()
        found = json.loads(out)
        return Answer(code, {each["title"]: each["cause"]["id"] for each in found}, said, found)

    return explain


def template(annotations: dict[str, str] | None = None, gpus: int = 0) -> dict[str, Any]:
    resources = {"limits": {"nvidia.com/gpu": gpus}} if gpus else {}
    container = {"name": "main", "image": "example/main:1", "resources": resources}
    return {"metadata": {"annotations": annotations or {}}, "spec": {"containers": [container]}}


def ray(head: dict[str, Any], worker: dict[str, Any]) -> dict[str, Any]:
    spec = {"headGroupSpec": {"template": head}, "workerGroupSpecs": [{"groupName": "w", "template": worker}]}
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "ray"}, "spec": spec}


def deployment(name: str, pod: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {"template": pod}}


HEAD = "RayCluster ray, spec.headGroupSpec.template"
WORKER = "RayCluster ray, spec.workerGroupSpecs[0].template"


def test_a_template_that_wants_no_gpu_is_fine_beside_one_that_is_annotated(explained: Explained) -> None:
    answer = explained(ray(template(), template(SLICE)))
    assert (answer.code, answer.causes) == (0, {HEAD: "needs-none", WORKER: "served"})


def test_one_with_a_whole_gpu_beside_is_told(explained: Explained) -> None:
    answer = explained(ray(template(gpus=1), template(SLICE)))
    assert (answer.code, answer.causes) == (1, {HEAD: "no-annotation", WORKER: "served"})
    assert "asks for 1 nvidia.com/gpu and has no annotation" in answer.explanations[0]["cause"]["sentence"]


def test_so_is_one_with_a_slice_by_hand(explained: Explained) -> None:
    head = template()
    head["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/mig-1g.5gb": 1}}
    answer = explained(ray(head, template(SLICE)))
    assert (answer.code, answer.causes[HEAD]) == (1, "by-hand")


def test_so_is_one_whose_annotation_nobody_reads(explained: Explained) -> None:
    head = template()
    head["metadata"]["labels"] = SLICE
    answer = explained(ray(head, template(SLICE)))
    assert (answer.code, answer.causes[HEAD]) == (1, "annotation-misplaced")


def test_another_workload_of_the_file_may_want_no_gpu(explained: Explained) -> None:
    answer = explained(deployment("web", template()), deployment("model", template(SLICE)))
    assert (answer.code, answer.causes) == (0, {"Deployment web, spec.template": "needs-none",
                                                "Deployment model, spec.template": "served"})  # fmt: skip


def test_a_file_in_which_nothing_is_annotated_is_told_so(explained: Explained) -> None:
    answer = explained(ray(template(), template()))
    assert (answer.code, answer.causes) == (1, {HEAD: "no-annotation", WORKER: "no-annotation"})


def test_what_the_api_server_refuses_is_told_though_it_wants_no_gpu(explained: Explained) -> None:
    answer = explained(ray(template(), template(SLICE)), cluster=Cluster("violates PodSecurity"))
    assert (answer.code, set(answer.causes.values())) == (1, {"refused"})


@pytest.mark.parametrize(
    ("document", "part"),
    [
        pytest.param(made("InferenceService", {"predictor": {"annotations": SLICE}}), "predictor", id="KServe"),
        pytest.param(made("InferenceService", {"predictor": {"model": {}}}, SLICE), "predictor", id="on the object"),
        pytest.param(made("LLMInferenceService", {"annotations": SLICE}), "", id="for language models"),
        pytest.param(made("NIMService", {"annotations": SLICE}), "", id="NIM"),
        pytest.param(made("NIMPipeline", {"services": [{"spec": {"annotations": SLICE}}]}), "services[0].spec", id="p"),
        pytest.param(
            made("VLLMRuntime", {"deploymentConfig": {"podAnnotations": SLICE}}), "deploymentConfig", id="vLLM"
        ),
        pytest.param(
            {"apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication", "metadata": {"name": "it"},
             "spec": {"executor": {"annotations": SLICE}, "driver": {"cores": 1}}}, "executor", id="Spark",
        ),
    ],
)  # fmt: skip
def test_pods_without_a_template_are_explained_as_far_as_they_are_known(
    document: Any, part: str, explained: Explained
) -> None:
    answer = explained(document)
    title = f"{document['kind']} it, {f'spec.{part}'.rstrip('.')}"
    assert (answer.code, answer.causes[title], answer.said) == (0, "served", "")
    (it,) = (each for each in answer.explanations if each["title"] == title)
    assert (it["asked"], it["given"].partition("=")[2]) == ("1g.5gb", "nvidia.com/mig-1g.5gb:1")
    assert "it has no pod template: CPUs, memory and images of its pods are not known" in it["couldNotLook"]
    assert all(cause in ("served", "needs-none") for cause in answer.causes.values())


@pytest.mark.parametrize("more", [{"nodeSelector": H100}, {"model": {"resources": TWO}}], ids=str)
def test_one_that_would_be_denied_is_denied(more: dict[str, Any], explained: Explained) -> None:
    answer = explained(made("InferenceService", {"predictor": {"annotations": SLICE, **more}}))
    assert (answer.code, answer.causes) == (1, {"InferenceService it, spec.predictor": "denied"})


def test_what_only_the_stand_in_lacks_is_no_cause(explained: Explained) -> None:
    document = made("InferenceService", {"predictor": {"annotations": SLICE}})
    answer = explained(document, cluster=Cluster("violates PodSecurity: runAsNonRoot != true"))
    assert (answer.code, answer.causes) == (0, {"InferenceService it, spec.predictor": "served"})
    assert "violates PodSecurity" in " ".join(answer.explanations[0]["couldNotLook"])


def test_a_namespace_that_has_opted_out_gives_them_nothing(explained: Explained) -> None:
    cluster = Cluster()
    cluster.of_namespace["metadata"]["labels"]["gpu-slice/opt-out"] = ""
    answer = explained(made("NIMService", {"annotations": SLICE}), cluster=cluster)
    assert (answer.code, answer.causes) == (1, {"NIMService it, spec": "namespace-opted-out"})


FORBIDDEN = 'pods is forbidden: User "u" cannot create resource "pods" in API group "" in the namespace "team-a"'


def test_whoever_may_create_no_pods_is_told_what_the_webhook_would_do(explained: Explained) -> None:
    answer = explained(deployment("it", template(SLICE, 1)), deployment("plain", template(gpus=1)),
                       cluster=Cluster(FORBIDDEN))  # fmt: skip
    assert list(answer.causes.values()) == ["served", "no-annotation"]
    assert answer.explanations[0]["given"] == "main=nvidia.com/mig-1g.5gb:1"
    assert "was replaced by nvidia.com/mig-1g.5gb" in answer.explanations[0]["changed"][0]


def test_whoever_may_create_no_pods_is_not_told_what_a_webhook_that_is_not_asked_would_do(
    explained: Explained,
) -> None:
    cluster = Cluster(FORBIDDEN)
    cluster.of_namespace["metadata"]["labels"]["gpu-slice/opt-out"] = ""
    for value in ("1g.5gb", "9g.5gb"):
        answer = explained(deployment("it", template({"gpu-slice": value}, 1)), cluster=cluster)
        assert answer.explanations[0]["changed"] == []
        assert answer.causes == {"Deployment it, spec.template": "namespace-opted-out"}


WORKFLOW = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "w"},
            "spec": {"podMetadata": {"annotations": SLICE}}}  # fmt: skip
UNHEARD_OF = {"apiVersion": "example.com/v1", "kind": "Model", "metadata": {"name": "m"}, "spec": {}}


def test_a_kind_with_the_annotation_that_cannot_be_explained_is_named_and_that_is_no_yes(explained: Explained) -> None:
    answer = explained(deployment("model", template(SLICE)), WORKFLOW)
    assert (answer.code, list(answer.causes.values())) == (3, ["served"])
    assert "not explained: Workflow w: 'gpu-slice' at spec.podMetadata.annotations reaches the pods" in answer.said


def test_a_kind_without_it_is_named_too(explained: Explained) -> None:
    answer = explained(deployment("model", template(SLICE)), UNHEARD_OF)
    assert (answer.code, list(answer.causes.values())) == (0, ["served"])
    assert "not explained: Model m: a preview does not know how this kind makes pods" in answer.said


def test_an_object_that_makes_no_pods_is_no_news(explained: Explained) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    assert explained(deployment("model", template(SLICE)), config).said == ""
    config["metadata"] = {"name": "c", "annotations": SLICE}  # type: ignore[assignment]
    answer = explained(deployment("model", template(SLICE)), config)
    assert (answer.code, "a ConfigMap makes no pods" in answer.said) == (0, True)


def test_a_wrong_value_in_a_kind_that_cannot_be_explained_is_denied(explained: Explained) -> None:
    workflow = WORKFLOW | {"spec": {"podMetadata": {"annotations": {"gpu-slice": "1g5gb"}}}}
    answer = explained(workflow, deployment("model", template(SLICE)))
    assert (answer.code, answer.causes["Workflow w"]) == (1, "denied")
    assert len(answer.causes) == 2, "the others of the file are explained, too"


def test_an_annotation_that_its_controller_does_not_pass_on_is_misplaced(explained: Explained) -> None:
    answer = explained(made("LLMInferenceService", {"template": {"containers": [{"name": "main"}]}}, SLICE))
    assert (answer.code, answer.causes) == (1, {"LLMInferenceService it, spec": "annotation-misplaced"})


def test_a_value_that_is_not_filled_in_is_named_and_the_others_are_explained(explained: Explained) -> None:
    answer = explained(deployment("model", template(SLICE)), deployment("later", template({"gpu-slice": "${S}"})))
    assert (answer.code, list(answer.causes.values())) == (3, ["served"])
    assert "not explained: Deployment later" in answer.said
    assert "is not filled in yet" in answer.said


def test_a_file_without_anything_that_can_be_explained_says_what_is_in_it(explained: Explained) -> None:
    with pytest.raises(CouldNotLook, match="there is no pod and no workload in it that can be explained"):
        explained(UNHEARD_OF)


def rollout(place: dict[str, Any]) -> dict[str, Any]:
    spec = {"template": template(), "strategy": {"canary": place}}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "r"}, "spec": spec}


def test_pods_that_may_get_the_annotation_from_elsewhere_are_not_told_that_they_lack_it(explained: Explained) -> None:
    answer = explained(rollout({"canaryMetadata": {"annotations": SLICE}}), deployment("model", template(SLICE)))
    assert (answer.code, answer.causes) == (3, {"Deployment model, spec.template": "served"})
    assert "not explained: Rollout r, spec.template: 'gpu-slice' at spec.strategy.canary" in answer.said


def test_a_wrong_value_where_nobody_reads_it_is_misplaced_and_not_denied(explained: Explained) -> None:
    answer = explained(deployment("model", template()) | {"metadata": {"name": "m", "annotations": {"gpu-slice": "x"}}})
    assert (answer.code, answer.causes) == (1, {"Deployment m, spec.template": "annotation-misplaced"})
    answer = explained(made("InferenceService", {"predictor": {"model": {"annotations": {"gpu-slice": "x"}}}}))
    assert (answer.code, answer.causes) == (1, {"InferenceService it, spec.predictor": "annotation-misplaced"})


def test_a_list_is_explained_item_by_item(explained: Explained) -> None:
    items = [deployment("web", template()), made("NIMService", {"annotations": SLICE})]
    answer = explained({"apiVersion": "v1", "kind": "List", "items": items})
    assert (answer.code, answer.causes) == (
        0,
        {"Deployment web, spec.template": "needs-none", "NIMService it, spec": "served"},
    )
