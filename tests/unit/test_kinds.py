"""What is known of kinds, row by row: a preview finds their pods, and the annotation where it belongs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.pods import MIXED, container, fleet_of
from webhook.admission.kinds import KINDS, Kind, find, makes_no_pods
from webhook.admission.preview import preview

TEMPLATES = [pytest.param(kind, path, id=f"{kind.name} {path}") for kind in KINDS for path in kind.templates]
PLACES = [pytest.param(kind, path, id=f"{kind.name} {path}") for kind in KINDS for path in kind.passed_on]


def made(kind: Kind, **parts: Any) -> dict[str, Any]:
    """An object of this kind with something at each of these paths; ``*`` is the first item of a list."""
    document: dict[str, Any] = {"apiVersion": f"{kind.group}/v1".lstrip("/"), "kind": kind.name}
    document["metadata"] = {"name": "it"}
    for path, value in parts.items():
        here: Any = document
        *steps, last = path.split(".")
        for step, following in pairwise([*steps, last]):
            if step == "*":
                here.append([] if following == "*" else {}) if not here else None
                here = here[0]
            else:
                here = here.setdefault(step, [] if following == "*" else {})
        if last == "*":
            here.append(value)
        else:
            here[last] = value
    return document


@pytest.mark.parametrize(("kind", "path"), TEMPLATES)
def test_a_pod_template_is_previewed_with_its_path(kind: Kind, path: str) -> None:
    place = "metadata" if kind.ignored else f"{path}.metadata"
    parts = {path: {"spec": {"containers": [container()]}}, f"{place}.annotations": {"gpu-slice": "1g.5gb"}}
    document = made(kind, **parts)
    (result,) = preview(document, fleet_of(MIXED))
    assert (result.outcome, result.subject.advice) == ("sliced", ())
    assert result.subject.template == path.replace(".*", "[0]")


@pytest.mark.parametrize(("kind", "path"), PLACES)
def test_an_annotation_that_a_controller_passes_on_stands_right_and_is_checked(kind: Kind, path: str) -> None:
    good, bad = (made(kind, **{path: {"gpu-slice": value}}) for value in ("1g.5gb", "1g5gb"))
    (result,) = preview(good, fleet_of(MIXED))
    assert result.denial is None
    (advice,) = result.subject.advice
    assert f"reaches the pods of this {kind.name}" in advice
    (result,) = preview(bad, fleet_of(MIXED))
    assert result.denial is not None
    assert result.denial.field == f"{path.replace('.*', '[0]')}[gpu-slice]"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.group} {kind.name}")
def test_each_row_names_a_source_and_is_found_in_its_group_alone(kind: Kind) -> None:
    assert kind.source.startswith("https://")
    assert find(f"{kind.group}/v1".lstrip("/"), kind.name) is kind
    assert find(f"{kind.group}.example.com/v1", kind.name) is None
    assert not makes_no_pods(f"{kind.group}/v1".lstrip("/"), kind.name)
    assert kind.annotations or kind.printed_by


@pytest.mark.parametrize(
    ("api_version", "name", "expected"),
    [
        pytest.param("v1", "ConfigMap", True, id="of the core"),
        pytest.param("rbac.authorization.k8s.io/v1", "Role", True, id="of a group without pods"),
        pytest.param("karpenter.sh/v1", "NodePool", True, id="makes nodes"),
        pytest.param("kueue.x-k8s.io/v1beta2", "Workload", True, id="holds pods back"),
        pytest.param(None, "Service", True, id="of the core, without a group"),
        pytest.param("serving.knative.dev/v1", "Service", False, id="another kind of that name"),
        pytest.param("example.com/v1", "ConfigMap", False, id="somebody's own kind of that name"),
        pytest.param("example.com/v1", "Whatever", False, id="nobody knows"),
        pytest.param({}, [], False, id="no names at all"),
    ],
)
def test_only_kinds_of_which_it_is_known_make_no_pods(api_version: Any, name: Any, expected: bool) -> None:
    assert makes_no_pods(api_version, name) is expected
