"""Previews for programs that annotate files: SARIF, GitHub's annotations, and the hook of pre-commit."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.schema import problems
from webhook.cli.main import main
from webhook.codes import DENIALS, NOTES, WARNINGS

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parent / "data"
SARIF = DATA / "sarif-2.1.0.json"

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: notebook
  annotations:
    team: research
    gpu-slice: 1g.5gb
spec:
  containers:
  - name: main
"""
BAD = POD.replace("1g.5gb", "1g5gb").replace("notebook", "wrong")
WARNED = POD.replace("1g.5gb", "2x1g.5gb")
NOTED = POD.replace("annotations", "labels")
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which the command runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["preview", *arguments], input=text)


def sarif(*texts: str, more: tuple[str, ...] = ()) -> Any:
    """The log about a file of these documents."""
    Path("pods.yaml").write_text("---\n".join(texts))
    return json.loads(run("-o", "sarif", *more, "pods.yaml").stdout)


def results(*texts: str) -> list[tuple[str, str, int]]:
    """Level, rule and line of each result."""
    (log,) = sarif(*texts)["runs"]
    places = [result["locations"][0]["physicalLocation"] for result in log["results"]]
    assert {place["artifactLocation"]["uri"] for place in places} <= {"pods.yaml"}
    lines = [place["region"]["startLine"] for place in places]
    return [(result["level"], result["ruleId"], line) for result, line in zip(log["results"], lines, strict=True)]


class TestSarif:
    @pytest.mark.parametrize(
        "texts",
        [
            pytest.param([POD, BAD, WARNED, NOTED, SERVICE], id="everything"),
            pytest.param([POD], id="nothing to say"),
            pytest.param([BAD.replace("wrong", "'{{ .Values.name }} [here](https://example.com)'")], id="signs"),
        ],
    )
    def test_a_log_keeps_to_the_schema(self, texts: list[str]) -> None:
        assert problems(sarif(*texts, more=("--help-uri", "https://example.com/messages")), SARIF) == []

    def test_only_the_links_of_a_page_that_is_nowhere_published_are_relative(self) -> None:
        found = problems(sarif(BAD), SARIF)
        assert {re.sub(r"\[\d+\]", "[]", each) for each in found} == {
            "$.runs[].tool.driver.rules[].helpUri: format uri"
        }

    def test_denials_are_errors_advice_is_a_note_and_each_has_its_line(self) -> None:
        assert results(POD, BAD, WARNED, NOTED) == [
            ("error", "grammar", 18),
            ("warning", "several-slices", 29),
            ("note", "misplaced-annotation", 40),
        ]

    def test_every_code_is_a_rule_with_its_paragraph(self) -> None:
        (log,) = sarif(BAD, more=("--help-uri", "https://example.com/messages"))["runs"]
        rules = log["tool"]["driver"]["rules"]
        assert [rule["id"] for rule in rules] == [*DENIALS, *WARNINGS, *NOTES]
        assert rules[log["results"][0]["ruleIndex"]]["helpUri"] == "https://example.com/messages#grammar"

    def test_a_pod_brings_no_placeholder_and_no_link_into_the_message(self) -> None:
        (log,) = sarif(BAD.replace("wrong", "'{0} [here](https://example.com)'"))["runs"]
        text = log["results"][0]["message"]["text"]
        assert text.startswith("Pod {{0}} [here] (https://example.com): ")

    @pytest.mark.parametrize(
        ("name", "uri"),
        [
            pytest.param("./a b/ü#.yaml", "a%20b/%C3%BC%23.yaml", id="signs"),
            pytest.param("{here}/pods.yaml", "pods.yaml", id="an absolute path into the repository"),
            pytest.param("../elsewhere.yaml", "../elsewhere.yaml", id="beside it"),
        ],
    )
    def test_a_file_is_named_as_the_repository_names_it(self, name: str, uri: str, repository: Path) -> None:
        path = Path(name.format(here=repository))
        path.parent.mkdir(exist_ok=True)
        path.write_text(BAD)
        log = json.loads(run("-o", "sarif", str(path)).stdout)
        (result,) = log["runs"][0]["results"]
        place = result["locations"][0]["physicalLocation"]["artifactLocation"]
        assert place == {"uri": uri, "uriBaseId": "%SRCROOT%"}

    @pytest.mark.parametrize("mark", ["a clone", "a worktree"])
    @pytest.mark.parametrize(
        ("name", "uri"),
        [
            ("pods.yaml", "deploy/base/pods.yaml"),
            ("../pods.yaml", "deploy/pods.yaml"),
            ("{root}/pods.yaml", "pods.yaml"),
        ],
    )
    def test_below_the_root_of_a_repository_files_are_named_from_there(
        self, name: str, uri: str, mark: str, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        git = repository / ".git"
        git.mkdir() if mark == "a clone" else git.write_text("gitdir: elsewhere\n")
        (repository / "deploy" / "base").mkdir(parents=True)
        monkeypatch.chdir(repository / "deploy" / "base")
        path = Path(name.format(root=repository))
        path.write_text(BAD)
        (result,) = json.loads(run("-o", "sarif", str(path)).stdout)["runs"][0]["results"]
        place = result["locations"][0]["physicalLocation"]["artifactLocation"]
        assert place == {"uri": uri, "uriBaseId": "%SRCROOT%"}
        assert run("-o", "github", str(path)).stdout.startswith(f"::error file={uri},")
        path.unlink()

    def test_a_file_outside_of_the_repository_has_an_absolute_address(self, tmp_path_factory: Any) -> None:
        path = tmp_path_factory.mktemp("other") / "pods.yaml"
        path.write_text(BAD)
        assert f'"uri": "{path.as_uri()}"' in run("-o", "sarif", str(path)).stdout


@pytest.mark.parametrize("output", ["diff", "patch", "yaml", "json", "sarif", "github"])
@pytest.mark.parametrize("folder", [".", "{here}"])
def test_the_name_of_a_file_may_be_any_bytes(output: str, folder: str, repository: Path) -> None:
    Path(os.fsdecode(b"a\xff.yaml")).write_text(BAD)
    Path(os.fsdecode(b"b\xff.yaml")).symlink_to("nowhere")
    Path(os.fsdecode(b"c\xff.yaml")).write_text("a: 1\na: 2\n")
    result = run("-o", output, folder.format(here=repository))
    assert result.exit_code == 3
    assert result.output.isascii()
    if output == "sarif":
        found = json.loads(result.stdout)["runs"][0]["results"]
        names = [each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in found]
        assert [name.removeprefix(f"{repository.as_uri()}/") for name in names] == [
            "a%FF.yaml",
            "b%FF.yaml",
            "c%FF.yaml",
        ]


class TestLine:
    @pytest.mark.parametrize(
        ("text", "line"),
        [
            pytest.param(BAD, 7, id="the annotation"),
            pytest.param(POD + "    resources:\n      limits:\n        nvidia.com/gpu: 2\n", 13, id="a limit"),
            pytest.param(POD + "  - name: 7\n", 11, id="a container"),
            pytest.param(POD + "  nodeSelector:\n    nvidia.com/gpu: h100\n", 12, id="a selector"),
            pytest.param(POD.replace("containers:\n  - name: main", "containers: []"), 9, id="a list"),
            pytest.param(f"\n\n{json.dumps(yaml.safe_load(BAD))}", 3, id="JSON: where the document begins"),
        ],
    )
    def test_it_is_that_of_the_field(self, text: str, line: int) -> None:
        assert [found[2] for found in results(text)] == [line]

    def test_in_a_template_and_in_a_list_too(self) -> None:
        items = indent(BAD, "  ").replace("  apiVersion", "- apiVersion")
        assert results(f"kind: List\nitems:\n{items}{items}") == [("error", "grammar", 9), ("error", "grammar", 19)]

        template = yaml.safe_load(BAD)
        job = yaml.safe_dump({"kind": "Job", "metadata": {"name": "x"}, "spec": {"template": template}})
        line = 1 + next(place for place, text in enumerate(job.splitlines()) if "gpu-slice" in text)
        assert results(POD, job) == [("error", "grammar", 11 + line)]

    def test_a_controller_may_give_the_object_s_annotations_to_its_pods(self) -> None:
        head = "apiVersion: kubeflow.org/v1\nkind: Notebook\nspec: {template: {spec: {containers: [{name: a}]}}}\n"
        assert results(f"{head}metadata:\n  name: x\n  annotations:\n    gpu-slice: 1g5gb\n") == [
            ("error", "grammar", 7)
        ]

    def test_advice_is_where_the_annotation_stands(self) -> None:
        service = SERVICE.replace("name: web", "name: web, annotations: {\n  gpu_slice: shared}")
        items = indent(service, "  ").replace("  apiVersion", "- apiVersion")
        assert results(POD, service, f"kind: List\nitems:\n{items}{items}") == [
            ("note", "misplaced-annotation", line) for line in (15, 22, 26)
        ]

    def test_a_value_that_no_pod_has_is_where_it_stands(self) -> None:
        service = SERVICE.replace("name: web", "name: web, annotations: {\n  gpu-slice: 1g5gb}")
        assert results(POD, service)[0] == ("error", "grammar", 15)

    def test_a_template_is_where_it_is_not_filled_in(self) -> None:
        template = POD.replace("1g.5gb", "'{{ .slice }}'")
        step = "  - metadata:\n      annotations:\n        gpu-slice: '{{ x }}'\n"
        argo = f"kind: WorkflowTemplate\napiVersion: argoproj.io/v1alpha1\nspec:\n  templates:\n{step}"
        assert results(template, argo)[:2] == [("error", "unread", 7), ("error", "unread", 18)]

    def test_what_cannot_be_read_has_its_line_too(self) -> None:
        assert results(POD, "a: 1\na: 2\n", BAD) == [("error", "unread", 13), ("error", "grammar", 21)]

    def test_an_alias_is_found_as_far_as_what_is_around_it(self) -> None:
        aliased = BAD.replace("  annotations:\n", "  labels: &a\n").replace("spec:", "  annotations: *a\nspec:")
        assert results(aliased)[0] == ("error", "grammar", 8)


class TestGithub:
    def test_each_finding_is_one_command_with_its_place(self) -> None:
        Path("pods.yaml").write_text(f"{BAD}---\n{WARNED}---\n{NOTED}---\n{SERVICE}")
        first, second, third = run("-o", "github", "pods.yaml").stdout.splitlines()
        assert first.startswith(
            "::error file=pods.yaml,line=7,title=gpu-slice grammar::Pod wrong: metadata.annotations"
        )
        assert second.startswith("::warning file=pods.yaml,line=18,title=gpu-slice several-slices::Pod notebook: ")
        assert third.startswith("::notice file=pods.yaml,line=29,title=gpu-slice misplaced-annotation::Pod notebook: ")

    def test_a_file_s_name_can_add_no_property_and_a_pod_no_command(self) -> None:
        path = Path("a,title=x::y%0A.yaml")
        path.write_text(BAD.replace("wrong", '"x\\n::stop-commands::y%"'))
        (line,) = run("-o", "github", str(path)).stdout.splitlines()
        assert line.startswith(
            "::error file=a%2Ctitle=x%3A%3Ay%250A.yaml,line=7,title=gpu-slice grammar::Pod x%0A::stop"
        )
        assert "::y%25: metadata" in line

    def test_standard_input_is_no_file(self) -> None:
        assert run("-o", "github", "-", text=BAD).stdout.startswith("::error line=7,title=gpu-slice grammar::")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param(POD, 0, id="sliced"),
        pytest.param(f"{WARNED}---\n{NOTED}", 0, id="warned"),
        pytest.param(f"{POD}---\n{BAD}", 1, id="denied"),
        pytest.param(f"{POD}---\n{BAD}---\na: [", 3, id="one cannot be read"),
        pytest.param("", 2, id="called wrongly"),
    ],
)
@pytest.mark.parametrize("output", ["diff", "patch", "yaml", "json", "sarif", "github"])
def test_the_exit_code_is_the_same_for_every_output(output: str, text: str, code: int) -> None:
    result = run("-o", output, "-", text=text)
    assert result.exit_code == code
    assert code != 2 or result.stdout == ""


@pytest.mark.parametrize("output", ["json", "sarif", "github"])
def test_stdout_is_the_result_alone_and_all_of_it(output: str) -> None:
    result = run("-o", output, "-", text=f"{BAD}---\n{WARNED}")
    assert result.stderr == ""
    assert all(code in result.stdout for code in ("grammar", "several-slices"))


class TestHook:
    def test_it_keeps_to_the_schema(self) -> None:
        (hook,) = hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
        assert problems(hooks, DATA / "pre-commit-hooks.json") == []
        assert hook["id"] == "gpu-slice"

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            pytest.param(POD, 0, id="sliced"),
            pytest.param(BAD, 1, id="denied"),
            pytest.param(SERVICE, 0, id="no pods"),
            pytest.param(POD.replace("gpu-slice:", "gpu_slice:"), 1, id="a misspelt key"),
            pytest.param(POD.replace("gpu-slice:", "gpu-sclice:"), 1, id="two letters changed"),
            pytest.param(POD.replace("annotations", "labels"), 1, id="a label"),
            pytest.param(POD.replace("  annotations", "  anotations"), 1, id="a wrong level"),
        ],
    )
    def test_it_refuses_what_the_webhook_would_deny_or_not_see(self, text: str, code: int) -> None:
        (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
        program, *arguments = shlex.split(hook["entry"])
        Path("a.yaml").write_text(text)
        Path("b.yaml").write_text(POD)
        assert program == "gpu-slice"
        assert CliRunner().invoke(main, [*arguments, "a.yaml", "b.yaml"]).exit_code == code


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(lambda log: log.pop("version"), "required", id="a field that is missing"),
        pytest.param(lambda log: log.update(extra=1), "additionalProperties", id="one too many"),
        pytest.param(lambda log: log["runs"][0]["results"][0].update(level="fatal"), "enum", id="a level"),
        pytest.param(lambda log: log["runs"][0]["results"][0].update(message={}), "anyOf", id="no message"),
        pytest.param(lambda log: log["runs"][0]["results"][0].update(ruleIndex=True), "type", id="a type"),
        pytest.param(
            lambda log: log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"].update(startLine=0),
            "minimum",
            id="a line",
        ),
        pytest.param(
            lambda log: log["runs"][0]["results"][0]["locations"][0]["physicalLocation"].update(
                artifactLocation={"uri": "a b"}
            ),
            "format",
            id="an address",
        ),
    ],
)
def test_the_schema_sees_what_is_wrong(spoil: Any, says: str) -> None:
    log = sarif(BAD, more=("--help-uri", "https://example.com/messages"))
    spoil(log)
    (problem,) = problems(log, SARIF)
    assert says in problem
