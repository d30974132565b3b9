"""Every story, told to the real server over HTTPS and to the command line, and told twice."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import jsonpatch
import pytest
from click.testing import CliRunner

from tests.oracle import sliced
from tests.pods import Pod
from tests.stories import FLEETS, STORIES, answers_of, fleet_of, namespace_of, pod_of, would_be
from webhook import documents
from webhook.admission.preview import preview
from webhook.cli import files
from webhook.cli.loopback import Client
from webhook.cli.main import main

Ask = Callable[[Pod, str], dict[str, str]]

ADMITTED = [story for story in STORIES if "denied.txt" not in would_be(answers_of(story))]
DONE = [story for story in ADMITTED if not (story / "shadow.yaml").exists()]

of_stories = pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
of_done = pytest.mark.parametrize("story", DONE, ids=lambda story: story.name)
of_admitted = pytest.mark.parametrize("story", ADMITTED, ids=lambda story: story.name)


def told(response: dict) -> dict[str, str]:
    """An admission response as the files of a story tell it."""
    if not response["allowed"]:
        return {"denied.txt": response["status"]["message"] + "\n"}
    operations = json.loads(base64.b64decode(response.get("patch", "W10=")))
    answers = {"patch.yaml": documents.write(operations)}
    if response.get("warnings"):
        answers["warnings.txt"] = "\n".join(response["warnings"]) + "\n"
    return answers


def test_there_are_at_least_sixty_stories_and_each_name_says_what_it_is_about() -> None:
    assert len(STORIES) >= 60
    assert all("-" in story.name for story in STORIES)


@of_stories
def test_the_server_answers_as_told(
    story: Path, client_of: Callable[[str], Client], request: pytest.FixtureRequest
) -> None:
    pod = pod_of(story)
    answers = told(client_of(fleet_of(story)).review(pod, namespace_of(pod)))
    (previewed,) = preview(pod, files.fleet_at(FLEETS[fleet_of(story)]))
    if previewed.shadow and previewed.denial is not None:
        answers["shadow.txt"] = f"{previewed.denial}\n"
    elif previewed.shadow and previewed.plan is not None:
        answers["shadow.yaml"] = documents.write([dict(operation) for operation in previewed.plan.patch])
    if request.config.getoption("--update-stories"):
        for name in answers_of(story):
            (story / name).unlink()
        for name, text in answers.items():
            (story / name).write_text(text)
    assert answers == answers_of(story)


@of_stories
def test_the_command_line_agrees(story: Path, tmp_path: Path) -> None:
    shutil.copy(story / "pod.yaml", tmp_path / "pod.yaml")
    fleet = FLEETS[fleet_of(story)]
    options = ["--fleet", str(fleet)] if fleet else []
    answers = would_be(answers_of(story))

    result = CliRunner().invoke(main, ["preview", str(tmp_path / "pod.yaml"), "-o", "patch", *options])

    if "denied.txt" in answers:
        assert result.exit_code == 1
        shadow = " in shadow, so the pod stays as it is" if (story / "shadow.txt").exists() else ""
        assert f"denied{shadow}: {answers['denied.txt']}" in result.stderr
        assert result.stdout == ""
    else:
        assert result.exit_code == 0
        assert documents.write(json.loads(result.stdout)) == answers["patch.yaml"]
    warnings = [line.split("warning: ")[1] for line in result.stderr.splitlines() if line.startswith("  warning: ")]
    assert warnings == answers.get("warnings.txt", "").splitlines()


@of_admitted
def test_the_patch_applied_by_another_library_is_the_previewed_pod_and_the_one_that_was_meant(story: Path) -> None:
    """P5."""
    pod = pod_of(story)
    path = FLEETS[fleet_of(story)]
    fleet, fleet_text = files.fleet_at(path), path.read_bytes() if path else files.default_fleet_text()
    patched = jsonpatch.apply_patch(pod, documents.read(would_be(answers_of(story))["patch.yaml"])[0].value)

    (previewed,) = preview(pod, fleet)

    assert text(previewed.pod) == text(patched)
    resolution = previewed.plan.resolution
    meant = pod
    if resolution is not None:
        meant = deepcopy(pod)
        annotations = meant["metadata"].setdefault("annotations", {})
        if "gpu-slice" not in annotations:  # it gets the default of its namespace
            namespace = namespace_of(pod)
            default = fleet.policy(namespace).default
            (init, *_) = [each["name"] for each in pod["spec"].get("initContainers", ())] or [""]
            value = f"{init}={default}" if init else default
            annotations |= {"gpu-slice": value, "gpu-slice/default": namespace}
        meant = sliced(meant, annotations["gpu-slice"], resolution, fleet_text)
    assert text(patched) == text(meant)


def text(value: object) -> str:
    """For comparing: 1 == True in Python, but not in JSON."""
    return json.dumps(value, sort_keys=True)


@of_done
def test_a_second_visit_changes_nothing(story: Path, client_of: Callable[[str], Client]) -> None:
    """P7."""
    answers = answers_of(story)
    pod = pod_of(story)
    patched = jsonpatch.apply_patch(pod, documents.read(answers["patch.yaml"])[0].value)
    again = client_of(fleet_of(story)).review(patched, namespace_of(pod))
    # Who keeps a whole GPU because the default of its namespace cannot be given is told so at each visit.
    kept = {"warnings.txt"} if "the default of the namespace is not given" in answers.get("warnings.txt", "") else {}
    assert told(again) == {"patch.yaml": "[]\n"} | {name: answers[name] for name in kept}
