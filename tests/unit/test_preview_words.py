"""Small words of previews: articles, quotes, what is not filled in, and texts that are for no pod."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pods import container, fleet_of, plan, pod_of
from webhook.admission.preview import Preview, preview
from webhook.errors import Denial

UNFILLED = ["${ACCELERATOR_QUANTITY}", "{{ .Values.gpus }}", "$(params.gpus)"]


def seen(document: Any) -> Preview:
    (result,) = preview(document, fleet_of("built-in"))
    return result


@pytest.mark.parametrize("value", UNFILLED)
def test_a_quantity_that_is_not_filled_in_yet_is_no_denial(value: str) -> None:
    result = seen(pod_of("1g.5gb", container("main", {"nvidia.com/gpu": value})))
    assert result.denial is None
    assert result.outcome == "unread"
    assert "is not filled in there yet" in result.problem


@pytest.mark.parametrize("value", UNFILLED)
def test_nor_is_a_selector(value: str) -> None:
    assert "not filled in" in seen(pod_of("1g.5gb", nodeSelector={"nvidia.com/gpu": value})).problem


@pytest.mark.parametrize("value", UNFILLED)
def test_the_webhook_denies_it(value: str) -> None:
    with pytest.raises(Denial, match="is not a whole number"):
        plan(pod_of("1g.5gb", container("main", {"nvidia.com/gpu": value})), fleet_of("built-in"))


@pytest.mark.parametrize("name", [False, 1, 1.5])
def test_a_name_that_yaml_reads_as_something_else_is_to_be_put_in_quotes(name: object) -> None:
    with pytest.raises(Denial, match="Write a string: put it in quotes"):
        plan(pod_of("1g.5gb", {"name": name, "image": "x"}), fleet_of("built-in"))


@pytest.mark.parametrize("name", [["main"], {"a": "b"}])
def test_quotes_make_no_string_of_a_list(name: object) -> None:
    with pytest.raises(Denial, match=r"Write a string\."):
        plan(pod_of("1g.5gb", {"name": name, "image": "x"}), fleet_of("built-in"))


@pytest.mark.parametrize(
    ("kind", "group", "said"),
    [
        ("Ingress", "networking.k8s.io/v1", "an Ingress"),
        ("Endpoints", "v1", "an Endpoints"),
        ("Service", "v1", "a Serv"),
    ],
)
def test_an_article_is_that_of_the_word(kind: str, group: str, said: str) -> None:
    metadata = {"name": "x", "annotations": {"gpu-slice": "1g.5gb"}}
    (note,) = seen({"apiVersion": group, "kind": kind, "metadata": metadata}).subject.advice
    assert f": {said}" in note


TEXT = "MIME-Version: 1.0\n#!/bin/sh\necho gpu-slice:\n\t- {"


@pytest.mark.parametrize(
    ("kind", "group", "field"),
    [
        ("EC2NodeClass", "karpenter.k8s.aws/v1", "spec"),
        ("NodePool", "karpenter.sh/v1", "spec"),
        ("Event", "v1", "note"),
    ],
)
def test_a_text_that_is_for_no_pod_is_not_read(kind: str, group: str, field: str) -> None:
    document = {"apiVersion": group, "kind": kind, "metadata": {"name": "x"}, field: {"userData": TEXT}}
    assert seen(document).subject.advice == ()


def test_that_of_a_config_map_is() -> None:
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"values.yaml": TEXT}}
    (note,) = seen(document).subject.advice
    assert "cannot be read" in note
