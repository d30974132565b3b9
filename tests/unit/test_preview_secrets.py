"""Previews look into a Secret, which may hold a chart's values, and show nothing of it but the annotation."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from click.testing import CliRunner

from tests.pods import fleet_of, pod_of
from webhook.admission.preview import Preview, preview
from webhook.cli.main import main

VALUES = """
hub: {password: hunter2, hunter2: 1}
singleuser: {hunter2: {extraAnnotations: {KEY: VALUE}}}
"""


def secret(text: str | bytes, field: str = "data", **more: Any) -> dict[str, Any]:
    data = text if field == "stringData" else b64encode(text.encode() if isinstance(text, str) else text).decode()
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub"}, field: {"values.yaml": data, **more}}


def values(value: str, key: str = "gpu-slice") -> str:
    return VALUES.replace("KEY", key).replace("VALUE", value)


def seen(document: Any) -> list[Preview]:
    return list(preview(document, fleet_of("built-in")))


@pytest.mark.parametrize("field", ["data", "stringData"])
def test_a_wrong_value_is_denied(field: str) -> None:
    (result,) = seen(secret(values("half a gpu please"), field))
    assert result.denial is not None
    assert result.denial.field == "data[values.yaml][gpu-slice]".replace("data", field, 1)
    (note,) = result.subject.advice
    assert note.startswith("'gpu-slice' is at ")


def test_a_right_value_is_told_where_it_stands() -> None:
    (result,) = seen(secret(values("1g.5gb")))
    assert result.denial is None
    assert [note.code for note in result.subject.advice] == ["not-previewed"]


def test_a_misspelt_key_is_told() -> None:
    (result,) = seen(secret(values("1g.5gb", "gpu_slice")))
    assert "'gpu_slice' is at data[values.yaml]" in result.subject.advice[0]


@pytest.mark.parametrize("output", ["diff", "patch", "yaml", "json", "sarif", "github"])
@pytest.mark.parametrize(
    "text",
    [values("half"), values("9g.9gb"), values("1g.5gb"), values("half") + "\n- hunter2: [", "hunter2\ngpu-slice:\n\t-",
     json.dumps(pod_of("1g.5gb") | {"hunter2": "hunter2"}), json.dumps(pod_of("half", namespace="hunter2")),
     json.dumps({"kind": "ConfigMap", "data": {"hunter2": values("half")}})],
)  # fmt: skip
@pytest.mark.parametrize("field", ["data", "stringData"])
def test_nothing_else_of_it_is_shown(field: str, text: str, output: str) -> None:
    shown = CliRunner().invoke(main, ["preview", "-", "-o", output], input=json.dumps(secret(text, field)))
    assert shown.exit_code in (0, 1), shown.output
    assert "hunter2" not in shown.output


def test_a_pod_inside_is_no_pod_of_the_secret() -> None:
    (result,) = seen(secret(json.dumps(pod_of("1g.5gb"))))
    assert (result.pod, result.subject.kind) == (None, "Secret")


@pytest.mark.parametrize("data", [b"\xff\xfegpu-slice: half", b"", b"lice" * 9])
def test_what_is_no_text_is_passed_over(data: bytes) -> None:
    (result,) = seen(secret(data, other="!not base64"))
    assert (result.denial, result.subject.advice) == (None, ())


def test_only_some_texts_are_read() -> None:
    more = {f"v{number}": b64encode(values("half").encode()).decode() for number in range(20)}
    results = seen(secret(values("half"), **more))
    assert len(results) == 8
    assert any("more places than a preview looks at" in note for note in results[0].subject.advice)
