"""`gpu-slice explain FILE` on a real API server: kinds whose CRDs are not there, and a namespace with a default."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import programs
from tests.cluster.conftest import skip, told
from tests.cluster.world import FLEET, World, pod, world
from tests.waiting import wait_for

SLICE = {"gpu-slice": "1g.10gb"}
DEFAULT = "namespaces:\n  '*': {}\n  defaulted: {default: 1g.10gb}\n"


@pytest.fixture(scope="module", name="here")
def _here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    try:
        with world(tmp_path_factory.mktemp("files"), FLEET + DEFAULT) as made:
            told.logs = made.cluster.plane.logs
            made.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "defaulted"}})
            yield made
    except programs.BuildError as error:
        skip(error)


def explained(here: World, *arguments: str) -> tuple[dict[str, dict[str, Any]], int]:
    """The explanations by title, and the exit code."""
    result = here.gpu_slice("explain", *arguments, "-o", "json")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.stdout, result.output
    return {each["title"]: each for each in json.loads(result.stdout)}, result.exit_code


def test_a_file_of_several_kinds_is_judged_by_what_is_annotated(here: World, tmp_path: Path) -> None:
    head = {"spec": pod("x")["spec"]}
    worker = {"metadata": {"annotations": SLICE}, "spec": pod("x")["spec"]}
    documents = [
        {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "ray"},
         "spec": {"headGroupSpec": {"template": head}, "workerGroupSpecs": [{"template": worker}]}},
        {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "llm"},
         "spec": {"predictor": {"annotations": SLICE, "model": {"resources": {"limits": {"nvidia.com/gpu": 1}}}},
                  "transformer": {"containers": [{"name": "kserve-container"}]}}},
    ]  # fmt: skip
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all(documents))

    found, code = explained(here, str(file))

    assert {title: each["cause"]["id"] for title, each in found.items()} == {
        "RayCluster ray, spec.headGroupSpec.template": "needs-none",
        "RayCluster ray, spec.workerGroupSpecs[0].template": "served",
        "InferenceService llm, spec.predictor": "served",
        "InferenceService llm, spec.transformer": "needs-none",
    }
    assert code == 0
    predictor = found["InferenceService llm, spec.predictor"]
    assert predictor["given"] == "kserve-container=nvidia.com/mig-1g.10gb:1"
    assert "was replaced" in predictor["changed"][0]


def test_a_pod_whose_namespace_lacks_the_label_is_told_so_until_it_has_it(here: World, tmp_path: Path) -> None:
    document = pod("whole", None, "defaulted")
    document["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
    file = tmp_path / "whole.json"
    file.write_text(json.dumps(document | {"metadata": document["metadata"] | {"name": "another"}}))

    with here.with_also(document):
        for arguments in (("whole", "-n", "defaulted"), (str(file),)):
            found, code = explained(here, *arguments)
            (it,) = found.values()
            assert (it["cause"]["id"], it["changed"], code) == ("default-not-given", [], 1), arguments
            assert "lacks the label gpu-slice/default" in it["cause"]["sentence"]

    labels = {"gpu-slice/default": ""}
    with here.changed("Namespace", "defaulted", lambda each: each["metadata"].setdefault("labels", {}).update(labels)):
        wait_for(
            "the API server has noticed",
            lambda: next(iter(explained(here, str(file))[0].values()))["cause"]["id"] == "served",
        )
        (it,) = explained(here, str(file))[0].values()
        assert it["given"] == "main=nvidia.com/mig-1g.10gb:1"
        assert "the default of namespace 'defaulted'" in it["changed"][0]
