"""The commands of cures work as they are told: with the fleet file, the context and the names at hand."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.unit.check_facts import OLD, deployment, done, facts
from tests.unit.explain_world import World
from tests.unit.test_check_nodes import claim
from webhook.admission.unoffered import UNKNOWN
from webhook.cli import cluster
from webhook.cluster.causes import CAUSES
from webhook.cluster.check import CHECKS
from webhook.cluster.cures import KARPENTERS_LOG, REPLACE, Here, render
from webhook.cluster.objects import DEPLOYMENTS, NODE_CLAIMS, NODE_OVERLAYS

ROOT = Path(__file__).parents[2]
BUILT_IN = re.compile(
    r"gpu-slice render\b(?![^|`\n]*(?:--fleet|--prune-list))[^|`\n]*(?:\|\s*kubectl|` prints what)"
    r"|[Aa]ppl(?:y|ied)[^.;]*`gpu-slice render(?![^`]*--fleet)"
)
"""What applies, or would have somebody apply, the built-in fleet."""
COMMAND = re.compile(r"\bkubectl (?!and Helm)(?!gpu-slice)")
PLUGIN = "kubectl gpu-slice"


def texts(path: Path) -> Iterator[str]:
    """What *path* may say: of a program, its strings, with ``{}`` for what is put in; of others, their paragraphs."""
    if path.suffix != ".py":
        yield from (" ".join(part.split()) for part in re.split(r"\n\s*\n", path.read_text()))
        return
    tree = ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


TOLD = [
    *(path for folder in ("webhook", "certs") for path in (ROOT / folder).rglob("*.py")),
    *(ROOT / "docs").glob("*.md"),
    *ROOT.glob("*.md"),
    *(path for suffix in ("yaml", "txt", "tpl") for path in (ROOT / "manifests").rglob(f"*.{suffix}")),
]
EVERY = {
    **{f"check {check.id}": check.cure for check in CHECKS},
    **{f"cause {name}": kind.cure for name, kind in CAUSES.items()},
}
"""Those that stand written."""
IN_CODE = {
    text
    for path in (*(ROOT / "webhook" / "cluster").rglob("*.py"), ROOT / "webhook" / "cli" / "shadow.py")
    for text in texts(path)
    if "kubectl " in text and path.name != "cures.py"
}
"""Those that are made where something is found, too."""


@pytest.mark.parametrize("path", TOLD, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_is_told_to_apply_what_is_rendered_of_the_built_in_fleet(path: Path) -> None:
    assert [text for text in texts(path) if BUILT_IN.search(text)] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gpu-slice render | kubectl apply -f -", True),
        ("gpu-slice render --only node-pools | kubectl replace -f -", True),
        ("`gpu-slice render` prints what they need", True),
        ("apply the quota that `gpu-slice render --only quota` prints", True),
        ("gpu-slice render --fleet FILE | kubectl apply -f -", False),
        ("gpu-slice render --fleet f --only quota | kubectl apply $(gpu-slice render --prune-list)", False),
    ],
)
def test_such_a_command_is_seen(text: str, found: bool) -> None:
    assert bool(BUILT_IN.search(text)) is found


@pytest.mark.parametrize("cure", EVERY.values(), ids=EVERY)
def test_a_cure_names_the_fleet_file_that_was_named(cure: str) -> None:
    told = Here(fleet="my fleet.yaml").told(cure)
    assert "render --fleet FILE" not in told
    assert told.count("render --fleet 'my fleet.yaml'") == cure.count("gpu-slice render ")


def test_the_hint_of_a_denial_names_it_too_and_no_cure_that_names_another_file() -> None:
    assert Here(fleet="f").told(f"{UNKNOWN}.") == "`gpu-slice profiles --fleet f` lists what is offered."
    other = "Meanwhile, gpu-slice check --fleet FILE goes by another file."
    assert Here(fleet="f").told(other) == other


@pytest.mark.parametrize("cure", sorted({*EVERY.values(), *IN_CODE}))
def test_a_cure_goes_to_the_cluster_that_was_looked_at(cure: str) -> None:
    told = Here(context="arn:aws:eks:x:1:cluster/my cluster").told(cure)
    named = "--context 'arn:aws:eks:x:1:cluster/my cluster'"
    for command in COMMAND.finditer(told):
        assert told[command.end() :].startswith(named), told
    assert told.count(f"certs status {named}") == cure.count("certs status")
    assert told.count("helm upgrade --kube-context ") == cure.count("helm upgrade")


@pytest.mark.parametrize("cure", EVERY.values(), ids=EVERY)
def test_a_cure_for_a_plugin_of_kubectl_names_commands_that_there_are(cure: str) -> None:
    told = Here(program=PLUGIN).told(cure)
    assert not re.search(r"(?<!kubectl )gpu-slice (certs|check|preview|render) ", told)
    assert Here(program=PLUGIN).told(told) == told


def test_a_cure_names_the_pod_and_its_namespace() -> None:
    world = World()
    world.pod["status"] = {"phase": "Failed"}
    found = world.explain()
    assert found.cause.id == "failed"
    assert "kubectl logs notebook -n team-a; and kubectl describe pod notebook -n team-a." in found.cure(found.cause)


@pytest.mark.parametrize("cure", EVERY.values(), ids=EVERY)
def test_no_placeholder_is_left_where_all_is_known(cure: str) -> None:
    told = Here(fleet="f.yaml", pod="notebook", namespace="team-a").told(cure)
    assert not re.search(r"\b(POD|NAMESPACE)\b|render --fleet FILE", told)


def test_karpenters_log_is_read_where_karpenter_is() -> None:
    line = done("keeper", facts({DEPLOYMENTS: [deployment(namespace="karpenter")]}))
    assert "kubectl -n karpenter logs" in line.here.told(KARPENTERS_LOG)
    world = World()
    world.karpenter["metadata"]["namespace"] = "karpenter"
    assert "kubectl -n karpenter logs" in world.explain().here.told(KARPENTERS_LOG)


AWAITING = {"Launched": ("Unknown", "LaunchFailed", "Error creating fleet request: Instance launch failed")}


def test_of_a_launch_that_aws_refuses_karpenters_log_is_read() -> None:
    world = World()
    world.full()
    world.claim("2026-11-25T11:59:00Z", **AWAITING)
    found = world.explain()
    assert found.cause.id == "launch-failed"
    assert KARPENTERS_LOG in found.cure(found.cause)


@pytest.mark.parametrize(("launched", "log"), [("False", True), ("Unknown", True), ("True", False)])
def test_check_reads_it_too_and_only_until_there_is_an_instance(launched: str, log: bool) -> None:
    line = done("node-claims", facts({NODE_CLAIMS: [claim(OLD, Launched={"status": launched})]}))
    (problem,) = line.problems
    assert (KARPENTERS_LOG in line.cure(problem)) is log


def test_without_the_crd_of_overlays_none_can_be_applied_before_it_is_there() -> None:
    world = World()
    world.full()
    world.problems[NODE_OVERLAYS] = "absent"
    found = world.explain()
    assert found.cause.id == "overlay-missing"
    assert re.search("chart karpenter-crd .*, and then: gpu-slice render --fleet FILE", found.cure(found.cause))


@pytest.mark.parametrize(
    ("arguments", "typed", "here"),
    [
        ([], "gpu-slice", Here()),
        (["--fleet", "my.yaml", "--context", "c", "--webhook-namespace", "gpus"], "gpu-slice",
         Here("gpus", "my.yaml", "c")),
        (["--fleet", "-"], "gpu-slice", Here()),
        ([], PLUGIN, Here(program=PLUGIN)),
        ([], "__main__.py", Here()),
    ],
)  # fmt: skip
def test_how_the_command_was_called_is_what_its_cures_repeat(arguments: list[str], typed: str, here: Here) -> None:
    found: list[Here] = []

    @click.command()
    @cluster.options
    def look(**_: object) -> None:
        found.append(cluster.here())

    look.main(arguments, prog_name=typed, standalone_mode=False)
    assert found == [here]


def test_both_commands_replace_what_apply_would_leave() -> None:
    again = render("device-plugin", REPLACE)
    assert again.endswith("kubectl replace --save-config -f -")
    code = [text for path in (ROOT / "webhook").rglob("*.py") for text in texts(path)]
    assert not [text for text in code if re.search(r"kubectl replace (?!--save-config)", text)]
