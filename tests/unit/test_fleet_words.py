"""What is said of a fleet file that YAML reads otherwise than it was meant, and of layouts that do not fit."""

from __future__ import annotations

import pytest

from webhook.cli.files import load_fleet
from webhook.errors import BadFleet

POOLS = "pools: [{name: p, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge]}]\n"


def told(text: str) -> list[str]:
    try:
        load_fleet(f"apiVersion: gpu-slice/v1\n{text}".encode())
    except BadFleet as bad:
        return [str(problem) for problem in bad.problems]
    return []


@pytest.mark.parametrize(
    ("key", "read"),
    [("y", "true"), ("no", "false"), ("on", "true"), ("Off", "false"), ("0123", "83"), ("1e3", "1000"), ("1_0", "10"),
     ("0x1F", "31"), ("1.0", "1"), ("+1", "1"), ("true", None), ("123", None), ("2001-01-01", None), ("1.5", None)],
)  # fmt: skip
def test_a_key_that_is_read_otherwise_is_to_be_put_in_quotes(key: str, read: str | None) -> None:
    text = POOLS + "namespaces:\n  KEY: {pools: [p]}"
    said = f"line 4: YAML reads the key '{key}' as '{read}'. Put it in quotes."
    assert (said in told(text.replace("KEY", key))) is (read is not None)
    assert not any("YAML" in line for line in told(text.replace("KEY", f'"{key}"')))


def test_also_elsewhere_and_all_of_them() -> None:
    text = POOLS.replace("name: p,", "name: p, nodeLabels: {on: a, no: b},")
    assert [line.partition(".")[0] for line in told(text + "namespaces: {n: {}}")] == [
        "line 2: YAML reads the key 'on' as 'true'",
        "line 2: YAML reads the key 'no' as 'false'",
        "line 3: YAML reads the key 'n' as 'false'",
    ]


@pytest.mark.parametrize(
    ("gpu", "machine", "layout", "said"),
    [
        ("a100-40gb", "p4d.24xlarge", "1g.5gb: 8", "The largest counts of one profile alone are 1g.5gb: 7"),
        ("h200", "p5e.48xlarge", "1g.18gb: 8", "The largest counts of one profile alone are 1g.18gb: 7"),
        ("h100-80gb", "p5.48xlarge", "1g.10gb: 8", "The largest counts of one profile alone are 1g.10gb: 7"),
        ("b200", "p6-b200.48xlarge", "1g.23gb: 8", "The largest counts of one profile alone are 1g.23gb: 7"),
        ("rtx-pro-6000", "g7e.2xlarge", "1g.24gb: 5", "The largest counts of one profile alone are 1g.24gb: 4"),
        ("h200", "p5e.48xlarge", "1g.18gb+me: 1, 1g.18gb: 7", "The largest counts of one profile alone are"),
        ("rtx-pro-6000", "g7e.2xlarge", "1g.24gb+me.all: 1, 1g.24gb: 3", "Beside '+me.all' only profiles with '-me'"),
        ("h200", "p5e.48xlarge", "1g.18gb+me: 2", "one slice may have '+me'"),
    ],
)
def test_a_layout_that_does_not_fit_is_told_what_it_lacks(gpu: str, machine: str, layout: str, said: str) -> None:
    pool = f"pools: [{{name: p, gpu: {gpu}, partition: {{mig: {{{layout}}}}}, instanceTypes: [{machine}]}}]"
    (line,) = told(pool)
    assert said in line
