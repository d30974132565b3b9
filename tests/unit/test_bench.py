"""The parts of the benchmark that measure nothing: figures, tables, and the check of answers."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from bench import pods, report, table

DECISIONS = {
    pods.PROFILE: {
        "resource": "nvidia.com/mig-1g.5gb",
        "count": "1",
        "pools": "a100",
        "tolerations": [{"key": "nvidia.com/gpu-shared", "operator": "Exists"}],
        "nodeSelector": {"nvidia.com/gpu": "a100"},
    }
}
PATCH = [
    {
        "op": "add",
        "path": "/metadata/annotations/gpu-slice~1assigned",
        "value": "1g.5gb -> main=nvidia.com/mig-1g.5gb:1",
    },
    {"op": "add", "path": "/metadata/annotations/gpu-slice~1pools", "value": "a100"},
    {"op": "add", "path": "/spec/containers/0/resources/limits/nvidia.com~1mig-1g.5gb", "value": "1"},
    {"op": "add", "path": "/spec/containers/0/resources/requests/nvidia.com~1mig-1g.5gb", "value": "1"},
    {"op": "add", "path": "/spec/tolerations/-", "value": {"key": "nvidia.com/gpu-shared", "operator": "Exists"}},
    {"op": "add", "path": "/spec/nodeSelector", "value": {"nvidia.com/gpu": "a100"}},
]


def test_a_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_the_medians() -> None:
    assert report.median([3, 1, 2]) == 2
    assert report.ratio([10, 10, 90], [10, 5, 10]) == 2
    assert report.percentile([5, 1, 3, 2, 4], 0.5) == 3
    assert report.percentile([1, 2], 0.99) == 1


def test_a_table_has_its_figures_on_the_right() -> None:
    assert report.render(["pod", "ours"], [["small", "1"]]) == "| pod | ours |\n| --- | ---: |\n| small | 1 |"


def test_a_page_keeps_all_but_what_stands_between_the_markers() -> None:
    page = "before\n<!-- a -->\nold\n<!-- end a -->\n<!-- b -->\nkept\n<!-- end b -->\n"
    assert report.replace(page, "a", "new") == page.replace("old", "new")
    with pytest.raises(ValueError, match="the page has no place for 'c'"):
        report.replace(page, "c", "new")


def test_the_page_of_the_benchmark_has_a_place_for_all_tables() -> None:
    page = (Path(report.__file__).parent / "README.md").read_text()
    for name in ("throughput", "cluster", "decision", "fit", "usage"):
        assert "new figures" in report.replace(page, name, "new figures")


def sample(patch: list[dict], uid: str | None = None) -> dict[str, str]:
    """A review of the small pod, and an answer to it."""
    asked = json.loads(pods.review(4))
    encoded = base64.b64encode(json.dumps(patch).encode()).decode()
    response = {"uid": uid or asked["request"]["uid"], "allowed": True, "patch": encoded}
    return {"asked": json.dumps(asked), "answered": json.dumps({"response": response})}


def test_an_answer_with_the_decision_is_good_whatever_the_order_of_its_operations() -> None:
    table.check("a server", [sample(PATCH), sample(PATCH[::-1])], DECISIONS)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(sample([]), id="no operation"),
        *(pytest.param(sample(PATCH[:at] + PATCH[at + 1 :]), id=f"no {PATCH[at]['path']}") for at in range(len(PATCH))),
        pytest.param(sample(PATCH, uid="another"), id="to another review"),
    ],
)
def test_an_answer_without_the_whole_decision_ends_the_run(answer: dict[str, str]) -> None:
    with pytest.raises(SystemExit, match="a server answered"):
        table.check("a server", [answer], DECISIONS)


def test_reviews_differ_only_where_the_load_generator_puts_its_number() -> None:
    body = pods.review_of(pods.small())
    assert body.count(pods.MARKER.encode()) == 8
    assert pods.MARKER.encode() not in pods.same(body)
    assert len(pods.same(body)) == len(body)
    assert f'marker = "{pods.MARKER}"' in (Path(pods.__file__).parent / "load" / "main.go").read_text()
