"""The codes, a closed list; and the page that explains each, held to what is really printed.

Above the examples of a code, the page names the stories (or the pods of `SMALL`) that print them.  After a wanted
change ``pytest --update-stories`` rewrites the examples.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.pods import container, fleet_of, pod_of
from tests.stories import FLEETS, STORIES, namespace_of
from tests.stories import fleet_of as fleet_name
from tests.stories import pod_of as pod_of_story
from webhook import documents
from webhook.admission.preview import preview, unread
from webhook.cli.files import fleet_at
from webhook.codes import DENIALS, NOTES, WARNINGS, Code, NoteCode, Reason, WarningCode
from webhook.errors import BadDocument
from webhook.fleet.fleet import Fleet

PAGE = Path(__file__).parents[2] / "docs" / "messages.md"
CODES: tuple[Code, ...] = (*DENIALS, *WARNINGS, *NOTES)
PARAGRAPHS = dict(re.findall(r"^### `([^`]+)`\n(.*?)(?=^##|\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE))
PARAGRAPH = re.compile(r"\n<!-- ([^\n]+) -->\n```text\n(.*?)```\n\nWhy: .+\n\nWhat to do: .+", re.DOTALL)

SMALL: dict[str, Any] = {
    "too many alternatives": pod_of(
        ",".join(f"c{index}=1g.5gb|1g.10gb" for index in range(400)),
        *(container(f"c{index}") for index in range(400)),
    ),
    "too many containers": pod_of("c0=1g.5gb", *(container(f"c{index}") for index in range(1001))),
    "seventeen slices": pod_of(
        ",".join(f"c{index}=1g.5gb" for index in range(17)), *(container(f"c{index}") for index in range(17))
    ),
    "too many values": pod_of("1g.5gb", container(args=["a"] * 200_001)),
    "many privileged containers": pod_of(
        "c0=1g.5gb", *(container(f"c{index}", securityContext={"privileged": True}) for index in range(40))
    ),
    "a name": pod_of("main=1g.5gb", container(), container("My_App")),
    "a label": {"kind": "Pod", "metadata": {"labels": {"gpu-slice": "1g.5gb"}}, "spec": {"containers": []}},
    "on the workload": {
        "kind": "Deployment",
        "metadata": {"name": "web", "annotations": {"gpu-slice": "1g.5gb"}},
        "spec": {"template": {"spec": {"containers": [container()]}}},
    },
    "misspelt": pod_of("1g.5gb") | {"metadata": {"annotations": {"gpu_slice": "1g.5gb"}}},
    "without a template": {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "llm", "annotations": {"gpu-slice": "1g.5gb"}},
        "spec": {"predictor": {"model": {"modelFormat": {"name": "huggingface"}}}},
    },
    "elsewhere": {"singleuser": {"extraAnnotations": {"gpu-slice": "1g.5gb"}}},
    "partial": {
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "template": {
                "metadata": {"annotations": {"gpu-slice": "app=1g.5gb"}},
                "spec": {"containers": [{"name": "sidecar"}]},
            }
        },
    },
    "filled in later": {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "train"},
        "spec": {"podMetadata": {"annotations": {"gpu-slice": "{{workflow.parameters.slice}}"}}},
    },
    "in kube-system": pod_of() | {"metadata": {"namespace": "kube-system", "annotations": {"gpu-slice": "1g.5gb"}}},
    "not filled in": pod_of("{{ .Values.slice }}"),
    "not YAML": "kind: Pod\nmetadata:\n\tname: notebook\n",
}
"""Pods, or texts, for messages that no story tells."""


def said(pod: Any, fleet: Fleet, namespace: str = "default") -> Iterator[tuple[str, str]]:
    """The code and the text of each message about a pod."""
    if isinstance(pod, str):
        with pytest.raises(BadDocument) as problem:
            documents.read(pod, name="pods.yaml")
        results = [unread(str(problem.value))]
    else:
        results = list(preview(pod, fleet, namespace))
    for result in results:
        if result.problem:
            yield "unread", result.problem
        if result.denial is not None:
            yield result.denial.reason, str(result.denial)
        for warning in result.plan.warnings if result.plan is not None else ():
            yield warning.code, warning.text
        for note in result.subject.advice:
            yield note.code, str(note)


def printed(code: str, name: str) -> list[str]:
    """The messages of this code about the story, or the small pod, of this name."""
    if name in SMALL:
        messages = said(SMALL[name], fleet_of("built-in"))
    else:
        (story,) = [story for story in STORIES if story.name == name]
        pod = pod_of_story(story)
        messages = said(pod, fleet_at(FLEETS[fleet_name(story)]), namespace_of(pod))
    return [text for found, text in messages if found == code]


def test_every_code_has_a_sentence() -> None:
    assert list(DENIALS) == sorted(get_args(Reason))
    assert list(WARNINGS) == sorted(get_args(WarningCode))
    assert list(NOTES) == sorted(get_args(NoteCode))


def test_a_code_stands_for_one_thing_and_can_stand_in_a_link() -> None:
    assert len(set(CODES)) == len(CODES)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in CODES)


def test_the_page_has_a_paragraph_for_each_code_and_for_nothing_else() -> None:
    assert list(PARAGRAPHS) == list(CODES)


@pytest.mark.parametrize("code", CODES)
def test_a_paragraph_shows_messages_as_they_are_printed_and_says_why_and_what_to_do(
    code: str, request: pytest.FixtureRequest
) -> None:
    parts = PARAGRAPH.fullmatch(PARAGRAPHS[code])
    assert parts is not None
    messages = [printed(code, name) for name in parts[1].split(", ")]
    assert all(messages)
    examples = "".join(f"{text}\n" for texts in messages for text in texts)
    if request.config.getoption("--update-stories"):
        PAGE.write_text(
            PAGE.read_text().replace(parts[0], parts[0].replace(f"```text\n{parts[2]}```", f"```text\n{examples}```"))
        )
    assert parts[2] == examples
