"""What a click on the page writes: after it the entry asks for that slice, and nothing else is changed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.pods import Pod, fleet_of, pod_of, unshared
from tests.stories import STORIES
from tests.stories import pod_of as pod_of_story
from webhook import documents
from webhook.documents import Document
from webhook.server.api.dry_run import DryRun
from webhook.server.api.dry_run import dry_run as run

ROOT = Path(__file__).parents[2]
SLICE = "2g.10gb@a100-40gb"
FLEET = fleet_of("built-in")


def dry_run(text: str, index: int | None = None, write: str = "", line: int = 1) -> DryRun:
    return run(text.encode(), FLEET, "default", line, index, write, 100, lambda size=0: None)


def units(text: str) -> bytes:
    return text.encode("utf-16-le")


def written(text: str, index: int | None = None, value: str = SLICE, line: int = 1) -> str | None:
    """*text* after the click, which is looked at; None where nothing is written."""
    answer = dry_run(text, index, value, line)
    if answer.edit is None:
        assert answer.instead.startswith("Nothing is written")
        return None
    edit, old = answer.edit, units(text)
    new = (old[: 2 * edit.start] + units(edit.insert) + old[2 * edit.end :]).decode("utf-16-le")
    again = dry_run(new, edit.index)
    titles = [each.entries[each.index].title.partition(",")[0] for each in (answer, again)]
    assert (again.index, titles[1]) == (edit.index, titles[0])
    (found,) = [asked for asked in changed(text, new) if asked]
    assert found == value
    assert re.findall("# .*", old[2 * edit.start : 2 * edit.end].decode("utf-16-le")) == []
    if is_json(text):
        assert is_json(new)
    return new


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def changed(old: str, new: str) -> Iterator[str]:
    """What the annotation became where it is not as before.  All else is as before."""
    before, after = ([each.value for each in stream(text)] for text in (old, new))
    assert len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        yield from _changed(one, other)


def stream(text: str) -> list[Document]:
    found = documents.stream(text.encode().splitlines(keepends=True))
    return [each for each in found if isinstance(each, Document)]


def _changed(old: Any, new: Any, key: object = "") -> Iterator[str]:
    if key == "gpu-slice" and old != new:
        yield new
    elif isinstance(new, dict) and isinstance(old, dict | None):
        added = new.keys() - (old or {}).keys()
        assert (old or {}).keys() <= new.keys()
        assert added <= {"gpu-slice", "annotations", "metadata"}
        for name in new:
            yield from _changed((old or {}).get(name), new[name], name)
    elif isinstance(old, list):
        assert len(old) == len(new)
        for one, other in zip(old, new, strict=True):
            yield from _changed(one, other)
    else:
        assert old == new


def four(value: Any) -> str:
    return yaml.safe_dump(value, indent=4, sort_keys=False, width=10**9)


def commented(value: Any) -> str:
    lines = documents.write(value).splitlines()
    return "".join(f"# before: gpu-slice: 1g.5gb\n{line}{'  # ours' * line.endswith(':')}\n" for line in lines)


STYLES: dict[str, Callable[[Any], str]] = {
    "block": documents.write,
    "block, four spaces": four,
    "block, comments": commented,
    "block, CRLF": lambda value: documents.write(value).replace("\n", "\r\n"),
    "block, no line end": lambda value: documents.write(value).rstrip("\n"),
    "block, anchors": lambda value: re.sub(r"(?m)^( *)(\w+):$", r"\1\2: &\2", documents.write(value)),
    "flow": lambda value: yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**9),
    "flow, wrapped": lambda value: yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=20),
    "JSON": json.dumps,
    "JSON, indented": lambda value: json.dumps(value, indent=2),
    "JSON, tabs": lambda value: json.dumps(value, indent="\t"),
    "mixed": lambda value: documents.write(value | {"metadata": 0}).replace(
        "metadata: 0", f"metadata: {value['metadata']}"
    ),
}


def lacking(pod: Pod) -> Iterator[Pod]:
    """The pod as it is, and with ever less of its metadata."""
    metadata = pod["metadata"]
    others = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != "gpu-slice"}
    without = {key: value for key, value in metadata.items() if key != "annotations"}
    yield pod
    for left in ({"a": "b # c", **others}, {}, None):
        yield pod | {"metadata": without | {"annotations": left}}
    yield pod | {"metadata": without}


def wrapped(pod: Pod) -> Iterator[Any]:
    """The pod, workloads that make it, and Lists."""
    metadata = {"annotations": {"gpu-slice": "8g.5gb"}, "labels": {"gpu-slice": "x"}, "name": "w"}
    template = {"metadata": pod["metadata"], "spec": pod["spec"]}
    yield pod
    yield {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": template}}
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"template": {"spec": pod["spec"]}},
    }
    yield {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
           "spec": {"template": {"metadata": None, "spec": pod["spec"]}}}  # fmt: skip
    tasks = [{"name": "one", "template": template}, {"template": template, "name": "two"}]
    yield {
        "apiVersion": "batch.volcano.sh/v1alpha1",
        "kind": "Job",
        "metadata": {"name": "v"},
        "spec": {"tasks": tasks},
    }
    yield {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [{"kind": "Service"}, pod, pod]}
    item = {key: value for key, value in pod.items() if key not in ("kind", "apiVersion")}
    yield {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [item, item]}


@pytest.mark.parametrize("style", STYLES)
def test_each_pod_of_the_stories_is_written_in_any_style(style: str) -> None:
    done = 0
    for number, story in enumerate(STORIES):
        pods = list(lacking(pod_of_story(story)))
        pod = unshared(pods[number % len(pods)])
        text = STYLES[style](pod)
        if [each.value for each in stream(text)] == [pod]:
            assert written(text, 0), (story.name, text)
            done += 1
    assert done > len(STORIES) * 3 / 4


@pytest.mark.parametrize("style", [style for style in STYLES if style != "mixed"])
def test_each_entry_of_workloads_and_lists_is_written(style: str) -> None:
    for pod in lacking(pod_of("9g.5gb", name="é🚀")):
        for value in wrapped(pod):
            text = STYLES[style](unshared(value))
            entries = dry_run(text).entries
            for index, entry in enumerate(entries):
                if entry.outcome != "unknown" and "Service" not in entry.title:
                    assert written(text, index), text


FILES = sorted([*(ROOT / "manifests" / "examples").glob("*.yaml"), *(ROOT / "tests" / "documents").glob("*.yaml")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_of_any_manifest_each_entry_is_written_or_nothing_is(path: Path) -> None:
    text = path.read_text()
    found = [written(text, index) for index in range(len(dry_run(text).entries))]
    if path.parent.name == "examples":
        assert all(found)


def pods_between(*others: str) -> str:
    pod = documents.write(pod_of("1g.5gb"))
    return f"# first\n{pod}---\n" + "---\n".join(others) + f"---\n{pod}...\n# last\n"


@pytest.mark.parametrize(
    ("other", "told"),
    [
        pytest.param("kind: ConfigMap\nmetadata:\n  name: c\ndata: {gpu-slice: 1g.5gb}\n",
                     "ConfigMap c: it makes no pods. Put the cursor into a pod or a workload", id="a ConfigMap"),
        pytest.param("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  generateName: w-\nspec:\n"
                     "  templates:\n  - name: t\n    container: {image: i}\n",
                     f"Workflow w-: a preview does not know how this kind makes pods. Write 'gpu-slice: {SLICE}' in "
                     "spec.templates[*].metadata.annotations", id="a Workflow"),
        pytest.param("kind: ConfigMap\nmetadata: {name: c}\ndata:\n  pod.yaml: |\n    kind: Pod\n    metadata:\n"
                     "      annotations:\n        gpu-slice: 1g.5gb\n    spec: {containers: [{name: m}]}\n",
                     "it stands in a text inside the document", id="a pod in a text"),
        pytest.param("metadata: [\n", "the text cannot be read yet", id="what cannot be read"),
        pytest.param("kind: Pod\nmetadata: {name: p}\nspec:\n\t- x\n", "the text cannot be read yet", id="a tab"),
    ],
)  # fmt: skip
def test_where_there_is_no_place_nothing_is_written_and_it_is_said_what_to_write(other: str, told: str) -> None:
    text = pods_between(other)
    line = text[: text.index(other)].count("\n") + 1
    answer = dry_run(text, write=SLICE, line=line)
    assert answer.edit is None
    assert told in answer.instead
    count = len(dry_run(text).entries)
    assert written(text, 0) == text.replace("gpu-slice: 1g.5gb", f"gpu-slice: {SLICE}", 1)
    assert written(text, count - 1)


HEAD = "kind: Pod\nmetadata:\n"
SPEC = "spec: {containers: [{name: main}]}\n"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        pytest.param("    name: p\n    annotations:\n        x: y\n",
                     f"    name: p\n    annotations:\n        gpu-slice: {SLICE}\n        x: y\n", id="four spaces"),
        pytest.param('  annotations: {prometheus.io/scrape: "true"}\n',
                     f'  annotations: {{gpu-slice: {SLICE}, prometheus.io/scrape: "true"}}\n', id="in braces"),
        pytest.param("  annotations: {}\n", f"  annotations: {{gpu-slice: {SLICE}}}\n", id="empty braces"),
        pytest.param("  annotations:  # ours\n", f"  annotations:  # ours\n    gpu-slice: {SLICE}\n", id="nothing"),
        pytest.param("  annotations: ~ # ours\n", f"  annotations: {{gpu-slice: {SLICE}}} # ours\n", id="null"),
        pytest.param("  # gpu-slice: 1g.5gb was too small\n  name: p\n",
                     f"  annotations:\n    gpu-slice: {SLICE}\n  # gpu-slice: 1g.5gb was too small\n  name: p\n",
                     id="a comment that names it"),
        pytest.param("  labels:\n    gpu-slice: 1g.5gb\n",
                     f"  annotations:\n    gpu-slice: {SLICE}\n  labels:\n    gpu-slice: 1g.5gb\n", id="a label"),
        pytest.param("  annotations:\n    gpu-slice: >-\n      1g.5gb\n\n    # c\n    x: y\n",
                     f"  annotations:\n    gpu-slice: {SLICE}\n\n    # c\n    x: y\n", id="a folded value"),
        pytest.param("  annotations:\n    gpu-slice: '1g.5gb'  # c\n",
                     f"  annotations:\n    gpu-slice: '{SLICE}'  # c\n", id="in quotes"),
        pytest.param("  annotations:\n    gpu-slice: # c\n",
                     f"  annotations:\n    gpu-slice: {SLICE} # c\n", id="empty"),
        pytest.param("  annotations:\n    gpu-slice: \n", f"  annotations:\n    gpu-slice: {SLICE}\n", id="a space"),
        pytest.param("  labels: {a: &a 1g.5gb}\n  annotations: {gpu-slice: *a, x: *a}\n",
                     f"  labels: {{a: &a 1g.5gb}}\n  annotations: {{gpu-slice: {SLICE}, x: *a}}\n", id="an alias"),
        pytest.param("  annotations:\n    gpu-slice: &a 1g.5gb\n    x: *a\n", None, id="an anchor that is used"),
        pytest.param("  labels: &a {x: y}\n  annotations: *a\n", None, id="annotations by an alias"),
        pytest.param("  labels: &a {x: y}\n  annotations:\n    <<: *a\n",
                     f"  labels: &a {{x: y}}\n  annotations:\n    gpu-slice: {SLICE}\n    <<: *a\n", id="merged"),
        pytest.param("  labels: &a {gpu-slice: y}\n  annotations:\n    <<: *a\n", None, id="merged over it"),
        pytest.param("  ? annotations\n  : x: y\n",
                     None, id="a key with its sign"),
        pytest.param('  "annotations":\n    "x": "y"\n',
                     f'  "annotations":\n    gpu-slice: "{SLICE}"\n    "x": "y"\n', id="keys in quotes"),
        pytest.param("  name: 'a\u0085\u2028b'\n  annotations: {}\n",
                     f"  name: 'a\u0085\u2028b'\n  annotations: {{gpu-slice: {SLICE}}}\n", id="other line ends"),
        pytest.param("  annotations: !!map\n    x: y\n",
                     f"  annotations: !!map\n    gpu-slice: {SLICE}\n    x: y\n", id="a tag"),
    ],
)  # fmt: skip
def test_what_is_written(metadata: str, expected: str | None) -> None:
    text = HEAD + metadata + SPEC
    assert written(text) == (None if expected is None else HEAD + expected + SPEC)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("  template:\n    metadata: {labels: {a: b}}\n    spec: {containers: [{name: m}]}\n",
         f"  template:\n    metadata: {{annotations: {{gpu-slice: {SLICE}}}, labels: {{a: b}}}}\n"
         "    spec: {containers: [{name: m}]}\n"),
        ("  template: {spec: {containers: [{name: m}]}}\n",
         f"  template: {{metadata: {{annotations: {{gpu-slice: {SLICE}}}}}, spec: {{containers: [{{name: m}}]}}}}\n"),
        ("    template: &t\n        spec: {containers: [{name: m}]}\n",
         f"    template: &t\n        metadata:\n            annotations:\n                gpu-slice: {SLICE}\n"
         "        spec: {containers: [{name: m}]}\n"),
    ],
)  # fmt: skip
def test_what_is_written_into_a_template(template: str, expected: str) -> None:
    head = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n"
    assert written(head + template) == head + expected


def test_a_template_that_another_repeats_is_not_changed_with_it() -> None:
    job = "apiVersion: batch.volcano.sh/v1alpha1\nkind: Job\nmetadata: {name: j}\nspec:\n  tasks:\n"
    task = "  - name: a\n    template: &t\n      spec: {containers: [{name: m}]}\n  - name: b\n    template: *t\n"
    assert written(job + task, 0) is None
    assert written(job + task, 1) is None


def test_a_correction_is_offered_only_where_it_can_be_written() -> None:
    text = documents.write(pod_of("1g5gb"))
    shown = dry_run(text).shown
    assert shown is not None
    assert shown.correction == "1g.5gb"
    inside = documents.write({"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"pod.yaml": text}})
    found = [answer.shown for index in (0, 1) if (answer := dry_run(inside, index)).shown]
    assert all(each is not None and each.correction == "" for each in found)


@given(
    st.sampled_from([each for each in STYLES if each != "mixed"]),
    st.integers(0, 4),
    st.integers(0, 6),
    st.text(st.sampled_from("1g.5b@,|= x'\"#:{}[]\\\n\té🚀&*!%"), min_size=1),
    st.text(st.sampled_from("-?:,[]{}#&*!|>'\"%@ \n\tabк🚀"), max_size=12),
)
def test_any_value_beside_anything_is_written_or_nothing_is(
    style: str, lack: int, wrap: int, value: str, beside: str
) -> None:
    pod = list(lacking(pod_of("1g.5gb", annotations={"beside": beside, beside or "k": "v"})))[lack]
    text = STYLES[style](unshared(list(wrapped(pod))[wrap]))
    if stream(text):
        written(text, 0, value)


@given(
    st.text(st.sampled_from("kind: Pod\nmetadata annotations gpu-slice{}[],&a*a<<?!|>'\"#-"), max_size=80), st.data()
)
def test_any_text_has_an_answer(junk: str, data: st.DataObject) -> None:
    text = documents.write(pod_of("1g.5gb"))
    at = data.draw(st.integers(0, len(text)))
    written(text[:at] + junk + text[at:], 0)


def test_the_cursor_anywhere_in_a_document_means_that_document() -> None:
    pod = documents.write(pod_of("1g.5gb"))
    spec = {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "m"}]}}}
    text = f"{pod}---\n" + documents.write(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}, "spec": spec}
    )
    lines = text.count("\n")
    for line in range(pod.count("\n") + 2, lines + 1):
        assert dry_run(text, line=line).index == 1
        assert written(text, line=line).startswith(pod)


def test_behind_line_ends_that_only_yaml_knows_nothing_is_written() -> None:
    pod = documents.write(pod_of("1g.5gb"))
    for text in (
        f"# a\u0085# b\n---\n{pod}",
        f"x: 'a\u2028\u2028b'\n...\n{pod}",
        f"# \u2028\u2028\u2028\n{pod}# end\n",
    ):
        for index in range(len(dry_run(text).entries)):
            written(text, index)
