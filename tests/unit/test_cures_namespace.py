"""Cures name the namespace where gpu-slice is installed."""

from __future__ import annotations

import json
import re

import pytest

from tests.unit.check_facts import done, facts
from tests.unit.check_facts import printed as printed_line
from tests.unit.explain_world import World, printed, refused
from webhook.cli import check as command
from webhook.cli.explained import as_json
from webhook.cluster.causes import CAUSES
from webhook.cluster.check import CHECKS
from webhook.cluster.cures import Here
from webhook.cluster.explain import Explanation

EVERY = [check.cure for check in CHECKS] + [kind.cure for kind in CAUSES.values()]
OWN = re.compile(r"(-n|--namespace)[ =]gpu-slice(?![\w-])|gpu-slice certs status(?! --namespace)|-f manifests/")


@pytest.mark.parametrize("cure", [cure for cure in EVERY if OWN.search(cure)])
def test_every_command_of_a_cure_follows(cure: str) -> None:
    assert Here().told(cure) == cure
    assert not OWN.search(Here("gpus").told(cure))


def test_commands_about_other_namespaces_stay_as_they_are() -> None:
    other = "kubectl -n gpu-slice-test get pods; kubectl -n kube-system get pods; gpu-slice preview"
    assert Here("gpus").told(other) == other


def test_a_policy_is_rendered_for_the_namespace_that_was_told() -> None:
    (check,) = [check for check in CHECKS if check.id == "policy"]
    assert "--only admission-policy --webhook-namespace gpus | kubectl apply" in Here("gpus").told(check.cure)


def test_check_names_the_namespace_that_it_was_told() -> None:
    for namespace in ("gpus", "gpu-slice"):
        line = done("keeper", facts(namespace=namespace))
        (problem,) = line.problems
        assert f"kubectl -n {namespace} logs deployment/keeper" in line.cure(problem)
        report = json.dumps(command._report([line], "", "")), *printed_line(line)
        assert all("deployment/keeper" not in text or f"-n {namespace} logs" in text for text in report)


def found_text(found: Explanation, output: str) -> str:
    return json.dumps(as_json(found)) if output == "json" else printed(found, output)


@pytest.mark.parametrize("output", ["short", "table", "json"])
@pytest.mark.parametrize("own", ["gpus", "gpu-slice"])
def test_explain_names_the_namespace_that_it_was_told(output: str, own: str) -> None:
    world = World()
    message = 'failed calling webhook "pods.gpu-slice.io": failed to call webhook: Post "https://x": refused'
    refused(message)(world)
    world.around["here"] = Here(own)
    found = world.explain()
    text = found_text(found, output)
    assert f"kubectl -n {own} get pods" in " ".join(text.split())
