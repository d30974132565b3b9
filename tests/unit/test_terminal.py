"""Whatever a file or an object is called, it steers no terminal and forges no line of ours."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook import documents
from webhook.cli.main import main
from webhook.cli.terminal import echo, line
from webhook.errors import inert, printable, quote, sentence

FORGED = "x\n\x1b[32m\x1b[1mPod other: sliced\x1b[0m"
HOSTILE = st.sampled_from(
    [
        FORGED,
        "\x1b]0;title\x07",
        "\x1b]52;c;YQ==\x1b\\",
        "a\u202eb",
        "\u2066",
        "\x9b31m",
        "\r\x1b[2K",
        "\x7f\x08",
        "\u2028",
    ]
) | st.text(max_size=8)
OUR_COLOURS = re.compile(r"\x1b\[(?:0|1|31|32|33|36)m")


def pod(words: list[str]) -> dict[str, Any]:
    """A pod with hostile words in every place that an output repeats."""
    name, namespace, container, label, key, value, image, annotation, toleration, selector = words
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {"gpu-slice": annotation, key: value},
            "labels": {label: value},
        },
        "spec": {
            "nodeSelector": {selector: value},
            "tolerations": [{"key": toleration}],
            "containers": [{"name": container, "image": image, "env": [{"name": key, "value": value}]}],
        },
    }


def workload(words: list[str], kind: str) -> dict[str, Any]:
    made = pod(words)
    return {"kind": kind, "metadata": made["metadata"], "spec": {"template": made}}


def run(*arguments: str, text: str | None = None, color: bool = False) -> Result:
    return CliRunner().invoke(main, [*arguments], input=text, color=color)


def unsafe(result: Result) -> list[str]:
    """The characters of the output that are neither printable nor line breaks nor colours of ours."""
    assert result.exception is None or isinstance(result.exception, SystemExit)
    shown = OUR_COLOURS.sub("", result.stdout + result.stderr)
    return [character for character in shown if not character.isprintable() and character != "\n"]


WORDS = st.lists(HOSTILE, min_size=10, max_size=10)


@pytest.mark.parametrize("output", ["diff", "patch", "yaml", "json"])
@pytest.mark.parametrize("color", [True, False], ids=["on a terminal", "piped"])
@given(words=WORDS, kind=HOSTILE, sliced=st.booleans())
@settings(max_examples=25)
def test_a_preview_is_printable_whatever_the_objects_say(
    output: str, color: bool, words: list[str], kind: str, sliced: bool
) -> None:
    if sliced:
        words = [*words[:7], "1g.5gb", "a", "b"]
        words[1] = "default"
    objects = [pod(words), workload(words, kind), {"kind": kind, "metadata": {"name": words[0]}}]
    for text in (json.dumps({"kind": "List", "items": objects}), documents.write({"kind": "List", "items": objects})):
        result = run("preview", "-", "-o", output, text=text, color=color)
        assert result.exit_code in (0, 1)
        assert unsafe(result) == []


@pytest.mark.parametrize("color", [True, False], ids=["on a terminal", "piped"])
@given(word=HOSTILE)
@settings(max_examples=25)
def test_errors_are_printable_whatever_files_and_arguments_are_called(color: bool, word: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "x" + word.replace("/", "").replace("\0", "")))
        calls = [
            ["preview", path],
            ["fleet", "check", path],
            ["preview", "-", "--fleet", path],
            ["render", "--check", "--output-dir", path],
            ["render", "--only", word],
            [word],
            ["preview", f"--{word}", "-"],
            ["certs", "init", "--dir", path],
            ["certs", "init", "--dir", path],
        ]
        for call in calls:
            assert unsafe(run(*call, text="", color=color)) == [], call
        for content in ("a: [", "", "kind: Pod\n", "apiVersion: gpu-slice/v1\n"):
            try:
                Path(path + ".yaml").write_text(content)
            except (OSError, UnicodeError):
                continue
            for call in (["preview", path + ".yaml"], ["fleet", "check", path + ".yaml"], ["preview", folder]):
                assert unsafe(run(*call, color=color)) == [], call


def test_a_verdict_cannot_be_forged() -> None:
    text = documents.write(pod([FORGED, FORGED, FORGED, "a", "b", "c", "d", "nonsense", "e", "f"]))
    result = run("preview", "-", text=text, color=True)
    assert "\x1b[32m" not in result.stderr
    assert not any(shown.startswith("Pod other") for shown in result.stderr.splitlines())
    assert result.stderr.startswith("Pod x\\n\\x1b[32m")


def test_names_stay_on_their_line_of_the_diff() -> None:
    words = ["x\n+forged", "default", "main\n+forged", "a", "b", "c\u202e", "d", "1g.5gb", "e", "f"]
    result = run("preview", "-", text=documents.write(pod(words)))
    assert result.exit_code == 0
    assert result.stdout.startswith("--- Pod default/x\\n+forged\n+++ Pod default/x\\n+forged, as admitted\n")
    assert "+forged" not in result.stdout.splitlines()


def test_the_demo_shows_names_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b]0;b\x07.yaml"
    words = [FORGED, "default", FORGED, "a", "b", "c\u202e", "d", "1g.5gb", "e", "f"]
    path.write_text(documents.write(pod(words)) + "---\n" + documents.write(pod([*words[:7], FORGED, "e", "f"])))
    result = run("demo", str(path), color=True)
    assert (result.exit_code, unsafe(result)) == (0, [])
    assert "\na\\x1b]0;b\\x07.yaml: Pod default/x\\n\\x1b[32m" in click.unstyle(result.stdout)
    assert not any(shown.startswith("Pod other") for shown in click.unstyle(result.stdout).splitlines())


@given(st.text())
def test_every_character_is_seen_as_itself_or_escaped(text: str) -> None:
    for shown in (printable(text), quote(text), sentence(text, text, text), quote([text])):
        assert shown.isprintable()
    if text.isprintable():
        assert printable(text) == text


@given(st.lists(HOSTILE), HOSTILE)
def test_only_what_is_asked_for_is_styled(parts: list[str], word: str) -> None:
    shown = line(*parts, line(word, fg="green"))
    assert shown.count("\x1b") == 2
    assert click.unstyle(shown).isprintable()


def test_text_of_several_lines_keeps_them(capsys: pytest.CaptureFixture[str]) -> None:
    echo("a\nb\x1b[0m\u202e\n", nl=False)
    assert capsys.readouterr().out == "a\nb\\x1b[0m\\u202e\n"


def test_nothing_is_printed_but_through_echo() -> None:
    folder = Path(__file__).parents[2] / "webhook" / "cli"
    printing = [path.name for path in folder.glob("*.py") if re.search(r"click\.s?echo\(|\bprint\(", path.read_text())]
    assert printing == ["terminal.py"]


@st.composite
def commands(draw: st.DrawFn) -> str:
    """A text that a CI system would take for a command of ours."""
    unseen = st.text("\u00ad\u034f\u200b\ufe0f \t", max_size=2)
    start = draw(
        st.sampled_from(
            [
                "::error::x", ":{}:error::x", "##[group]x", "#{}#{}[error]x", ":::", "a ##[##[y]",
                "##vso[task.setvariable variable=PATH]/tmp",
                "a #{}#{}v{}so{}[artifact.upload artifactname=x]/etc/passwd",
                "##VSO[a]b", "###vso[a]", "##teamcity[buildStop comment='x']", "##team{}city[a]##teamcity[b]",
            ]
        )
    )  # fmt: skip
    return draw(st.sampled_from(["", "a\n", "\n\n"])) + draw(unseen) + start.replace("{}", draw(unseen))


def taken_for_commands(text: str) -> list[str]:
    """The lines that one would take for commands, as GitHub's runner compares."""
    lines = [re.sub("[\u00ad\u034f\u200b\ufe0f]", "", each) for each in text.splitlines()]
    lines = [re.sub("^::(?:error|warning|notice) [^:]*::", "ours: ", each) for each in lines]  # of our own, on purpose
    return [each for each in lines if each.lstrip().startswith("::") or re.search(r"##[A-Za-z]*\[", each)]


@pytest.mark.parametrize("output", ["diff", "patch", "yaml", "json", "sarif", "github"])
@given(words=st.lists(commands(), min_size=10, max_size=10), kind=commands(), sliced=st.booleans())
@settings(max_examples=25)
def test_no_object_gives_a_command_to_a_ci_system(output: str, words: list[str], kind: str, sliced: bool) -> None:
    if sliced:
        words = [*words[:7], "1g.5gb", *words[8:]]
        words[1] = "default"
    objects = [pod(words), workload(words, kind), {"kind": kind, "metadata": {"name": words[0]}}]
    result = run("preview", "-", "-o", output, text=json.dumps({"kind": "List", "items": objects}))
    assert result.exit_code in (0, 1)
    assert taken_for_commands(result.stdout + result.stderr) == []
    if output == "yaml" and sliced:
        shown = documents.read(result.stdout)[0].value
        assert shown["metadata"]["name"] == words[0]
        assert words[8] in shown["spec"]["tolerations"][0]["key"]
    if output == "json":
        assert json.loads(result.stdout)[0]["name"] == words[0]


@given(word=commands())
@settings(max_examples=25)
def test_no_file_and_no_argument_gives_a_command_to_a_ci_system(word: str) -> None:
    name = word.replace("/", "").replace("\0", "")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path(f"{name}.yaml").symlink_to("/nowhere")
        Path(f"{name}.json").write_text("a: [")
        for call in (["."], [f"{name}.json"], [f"{name}.yml"], ["-", "--fleet", f"{name}.json"], ["--" + word]):
            result = run("preview", *call, text="")
            assert result.exit_code in (2, 3)
            assert taken_for_commands(result.stdout + result.stderr) == []


@given(commands())
def test_what_is_no_command_in_double_quotes_means_the_same(text: str) -> None:
    assert json.loads(inert(json.dumps(text))) == text
    assert documents.read(inert(documents.write({text: [text]})))[0].value == {text: [text]}
