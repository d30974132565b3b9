"""What a denial proposes, as a whole annotation that the pod gets its slice with."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pods import MIXED, container, fleet_of, pod_of
from tests.stories import FLEETS, STORIES, namespace_of
from tests.stories import fleet_of as fleet_name
from tests.stories import pod_of as pod_of_story
from webhook.admission.correction import correction
from webhook.admission.preview import preview
from webhook.cli.files import fleet_at


def corrected(pod: dict[str, Any], text: str = MIXED) -> str:
    (result,) = preview(pod, fleet_of(text))
    assert result.denial is not None
    return correction(result, fleet_of(text), "default")


@pytest.mark.parametrize(
    ("asked", "containers", "expected"),
    [
        pytest.param("1g5gb", (), "1g.5gb", id="misspelt"),
        pytest.param("nvidia.com/mig-1g.5gb", (), "1g.5gb", id="a resource"),
        pytest.param("1g.5gb@a1000", (), "1g.5gb@a100", id="a GPU that nobody knows"),
        pytest.param("2g.20gb", (), "3g.20gb", id="not offered"),
        pytest.param("trian=1g.5gb", ("train",), "train=1g.5gb", id="another container"),
        pytest.param("a=1g.5gb,b=2g10gb", ("a", "b"), "a=1g.5gb,b=2g.10gb", id="one of several containers"),
        pytest.param("7g.40gb|1g5gb", (), "7g.40gb|1g.5gb", id="one of several choices"),
        pytest.param("100gb", (), "", id="nothing is as large"),
        pytest.param("57x1g.5gb", (), "", id="no annotation is proposed"),
        pytest.param("", (), "", id="the hint is about the grammar"),
    ],
)
def test_what_is_proposed_stands_where_the_mistake_was(asked: str, containers: tuple[str, ...], expected: str) -> None:
    assert corrected(pod_of(asked, *map(container, containers))) == expected


def test_a_correction_is_never_denied() -> None:
    found = 0
    for story in STORIES:
        pod, fleet = pod_of_story(story), fleet_at(FLEETS[fleet_name(story)])
        for result in preview(pod, fleet):
            if result.denial is not None and (meant := correction(result, fleet, namespace_of(pod))):
                found += 1
                annotations = {**pod["metadata"]["annotations"], "gpu-slice": meant}
                (again,) = preview(pod | {"metadata": {**pod["metadata"], "annotations": annotations}}, fleet)
                assert again.outcome == "sliced", story.name
    assert found > 15
