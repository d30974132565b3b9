"""The diff of a preview: whatever the pod, few lines are compared, and what changes is among them."""

from __future__ import annotations

from difflib import unified_diff
from typing import Any

import pytest

from tests.pods import fleet_of, pod_of
from webhook.admission.preview import MOST_LINES, difference, preview, shown

REPEATED = "".join(f"{number % 150}\n" for number in range(30_000))

LONG: dict[str, Any] = {
    "a text again and again": pod_of(containers=[{"name": "main", "args": [REPEATED] * 14}]),
    "many arguments": pod_of(containers=[{"name": "main", "args": ["a", "b"] * 20_000}]),
    "many variables": pod_of(containers=[{"name": "main", "env": [{"name": f"V{n}"} for n in range(9_000)]}]),
    "a text in an annotation": pod_of(annotations={"gpu-slice": "1g.5gb", "other": REPEATED}),
    "many annotations": pod_of(annotations={f"a{n}": "b\nb\n" for n in range(9_000)} | {"gpu-slice": "1g.5gb"}),
    "many labels": pod_of() | {"metadata": {**pod_of()["metadata"], "labels": {f"l{n}": "" for n in range(9_000)}}},
    "many containers": pod_of("c500=1g.5gb", containers=[{"name": f"c{n}", "args": ["a"] * 9} for n in range(900)]),
    "unknown fields": pod_of(whatever=[{"a": [["b"] * 9] * 9}] * 400),
}


def lines_of(pod: Any) -> list[str]:
    (result,) = preview({"kind": "Pod", **pod}, fleet_of("built-in"))
    assert result.outcome == "sliced", result.denial
    return list(difference(shown(result.subject.pod), shown(result.pod), "Pod x"))


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of lines of each side that `difflib` was given."""
    sizes: list[int] = []

    def watched(old: list[str], new: list[str], *names: str, **options: Any) -> Any:
        sizes.extend((len(old), len(new)))
        return unified_diff(old, new, *names, **options)

    monkeypatch.setattr("webhook.admission.preview.unified_diff", watched)
    return sizes


@pytest.mark.parametrize("pod", LONG.values(), ids=LONG)
def test_of_a_long_pod_what_changes_is_compared(pod: Any, compared: list[int]) -> None:
    """P16."""
    lines = lines_of(pod)
    assert max(compared) < 100
    assert lines[:2] == ["--- Pod x (only what changes)", "+++ Pod x (only what changes), as admitted"]
    added = [line[1:].strip() for line in lines if line.startswith("+")]
    assert 'nvidia.com/mig-1g.5gb: "1"' in added
    assert any(line.startswith("gpu-slice/assigned:") for line in added)


def test_a_long_pod_names_the_container_that_changes() -> None:
    lines = lines_of(LONG["many containers"])
    assert " " * 3 + "- name: c500" in lines
    assert not any("c499" in line for line in lines)


def test_where_very_much_changes_the_rest_is_counted_out(compared: list[int]) -> None:
    """P16."""
    before = {"a": ["b", "c"] * 20_000}
    lines = list(difference(before, {"a": [*"d" * 40_000]}, "Pod x"))
    assert max(compared) == MOST_LINES
    assert lines[-1] == "@@ more than 2,000 lines: the others are not compared @@"


def test_a_pod_of_many_lines_is_compared_as_a_whole(compared: list[int]) -> None:
    lines = lines_of(pod_of(containers=[{"name": "main", "args": ["a"] * (MOST_LINES - 50)}]))
    assert MOST_LINES - 50 < max(compared) <= MOST_LINES
    assert lines[:2] == ["--- Pod x", "+++ Pod x, as admitted"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([1, 2], [1, 2, 3], ["-a: []", "+a:", "+- 3"]),
        ([1, 2, 3], [1, 2], ["-a:", "-- 3", "+a: []"]),
        (
            [{"name": "main", "p": 1, "q": 2}],
            [{"name": "main", "p": 1, "q": 3}],
            [" a:", " - name: main", "-  q: 2", "+  q: 3"],
        ),
        ({"b": {}}, {"b": {"c": 1}}, [" a:", "-  b: {}", "+  b:", "+    c: 1"]),
        ("b", ["b"], ["-a: b", "+a:", "+- b"]),
    ],
)
def test_what_changes_is_shown_where_it_stands(before: Any, after: Any, expected: list[str]) -> None:
    same = {"same": ["x"] * MOST_LINES}
    assert list(difference({**same, "a": before}, {**same, "a": after}, "Pod x"))[3:] == expected
