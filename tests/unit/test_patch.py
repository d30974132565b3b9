"""Operations that an API server can always apply."""

from __future__ import annotations

import jsonpatch
import jsonpointer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.admission.patch import Patch, escape


@pytest.mark.parametrize(
    ("key", "step"),
    [
        pytest.param("plain", "plain", id="nothing to escape"),
        pytest.param("gpu-slice/assigned", "gpu-slice~1assigned", id="slash"),
        pytest.param("a~b", "a~0b", id="tilde"),
        pytest.param("~1", "~01", id="a tilde first: what looks like an escape is none"),
        pytest.param("~/", "~0~1", id="both"),
        pytest.param("/~", "~1~0", id="both, the other way"),
        pytest.param("", "", id="empty key"),
        pytest.param("é…", "é…", id="unicode stays"),
    ],
)
def test_a_key_becomes_a_step_of_a_pointer(key: str, step: str) -> None:
    assert escape(key) == step


@given(st.text())
def test_another_library_reads_the_step_as_the_key(key: str) -> None:
    assert jsonpointer.JsonPointer(f"/{escape(key)}").parts == [key]


def test_what_is_absent_is_added_and_what_is_there_is_replaced_even_null() -> None:
    parent = {"null": None, "there": 1}
    patch = Patch()

    for key in ("absent", "null", "there"):
        patch.put(f"/spec/{key}", "new", exists=key in parent)

    assert patch.operations == [
        {"op": "add", "path": "/spec/absent", "value": "new"},
        {"op": "replace", "path": "/spec/null", "value": "new"},
        {"op": "replace", "path": "/spec/there", "value": "new"},
    ]


def test_appending_and_removing() -> None:
    patch = Patch()

    patch.append("/spec/tolerations", {"key": "x"})
    patch.remove(f"/spec/nodeSelector/{escape('a/b~c')}")

    assert patch.operations == [
        {"op": "add", "path": "/spec/tolerations/-", "value": {"key": "x"}},
        {"op": "remove", "path": "/spec/nodeSelector/a~1b~0c"},
    ]


@given(st.dictionaries(st.text(max_size=3), st.none() | st.integers(), max_size=4), st.text(max_size=3))
def test_a_patch_does_to_any_key_what_it_says(parent: dict[str, int | None], key: str) -> None:
    put = Patch()
    put.put(f"/{escape(key)}", "new", exists=key in parent)
    assert jsonpatch.apply_patch(parent, put.operations) == {**parent, key: "new"}

    for there in parent:
        removed = Patch()
        removed.remove(f"/{escape(there)}")
        assert jsonpatch.apply_patch(parent, removed.operations) == {k: v for k, v in parent.items() if k != there}
