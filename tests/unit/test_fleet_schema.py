"""The JSON schema of the fleet file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.fleet_text import STORIES, pool_text, text
from webhook.cli import files
from webhook.fleet.file import schema


class TestSchema:
    """The same shape for editors.  The few words of JSON Schema that it uses are read here, without a library."""

    @staticmethod
    def errors(value: Any, shape: dict[str, Any], definitions: dict[str, Any], where: str = "") -> list[str]:
        """What is wrong with *value*, by the words that fleets depend on."""
        if "$ref" in shape:
            shape = definitions[shape["$ref"].rpartition("/")[2]]
        if "anyOf" in shape:
            tries = [TestSchema.errors(value, each, definitions, where) for each in shape["anyOf"]]
            return min(tries, key=len)
        if "const" in shape or "enum" in shape:
            return [] if value in shape.get("enum", [shape.get("const")]) else [f"{where} is not known"]
        types = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
        if "type" in shape and (
            not isinstance(value, types[shape["type"]]) or (isinstance(value, bool) != (shape["type"] == "boolean"))
        ):
            return [f"{where} is no {shape['type']}"]
        found = []
        if isinstance(value, dict):
            known, others = shape.get("properties", {}), shape.get("additionalProperties", True)
            found += [f"{where}.{name} is missing" for name in shape.get("required", []) if name not in value]
            for name, each in value.items():
                if name in known:
                    found += TestSchema.errors(each, known[name], definitions, f"{where}.{name}")
                elif others is False:
                    found.append(f"{where}.{name} is no field")
                elif isinstance(others, dict):
                    found += TestSchema.errors(each, others, definitions, f"{where}.{name}")
        if isinstance(value, list):
            for index, each in enumerate(value):
                found += TestSchema.errors(each, shape.get("items", {}), definitions, f"{where}[{index}]")
            if len(value) < shape.get("minItems", 0):
                found.append(f"{where} is too short")
        if isinstance(value, int) and not shape.get("minimum", value) <= value <= shape.get("maximum", value):
            found.append(f"{where} is out of bounds")
        if isinstance(value, str) and not re.search(shape.get("pattern", ""), value):
            found.append(f"{where} is not well formed")
        return found

    def against(self, written: str | bytes) -> list[str]:
        whole = schema()
        return self.errors(yaml.safe_load(written), whole, whole["$defs"])

    def test_the_built_in_fleet_has_this_shape(self) -> None:
        assert self.against(files.default_fleet_text()) == []

    @pytest.mark.parametrize("written", STORIES)
    def test_the_fleets_of_the_stories_have_it(self, written: Path) -> None:
        assert self.against(written.read_bytes()) == []

    @pytest.mark.parametrize(
        ("written", "error"),
        [
            pytest.param(text(extra="namespace: {}\n"), ".namespace is no field", id="a field misspelt"),
            pytest.param(
                text(pool_text(instanceType="[a]")),
                ".pools[0].instanceType is no field",
                id="a field of a pool misspelt",
            ),
            pytest.param(text(pool_text(gpu=None)), ".pools[0].gpu is missing", id="a field left out"),
            pytest.param(text().replace("/v1", "/v2"), ".apiVersion is not known", id="a newer version"),
            pytest.param(
                text(pool_text(partition='{mps: {replicas: "4"}}')),
                ".pools[0].partition.mps.replicas is no integer",
                id="a number in quotes",
            ),
            pytest.param(
                text(pool_text(partition="{mps: {replicas: 1}}")),
                ".pools[0].partition.mps.replicas is out of bounds",
                id="one replica",
            ),
            pytest.param(text(pool_text(strategy="none")), ".pools[0].strategy is not known", id="a choice"),
            pytest.param(text(pool_text(name="A")), ".pools[0].name is not well formed", id="a name"),
            pytest.param(text(pool_text(instanceTypes="[]")), ".pools[0].instanceTypes is too short", id="no type"),
        ],
    )
    def test_a_mistake_of_shape_is_seen(self, written: str, error: str) -> None:
        assert self.against(written) == [error]

    def test_it_says_which_dialect_it_is(self) -> None:
        whole = schema()
        assert whole["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert whole["required"] == ["apiVersion", "pools"]

    def test_every_field_has_the_name_that_is_written(self) -> None:
        whole = schema()
        objects = [whole, *whole["$defs"].values()]
        names = {name for each in objects for name in each.get("properties", {})}
        assert {"apiVersion", "instanceTypes", "timeSlicing", "memoryMiB"} <= names
        assert not [name for name in names if "_" in name]
        assert {each["additionalProperties"] for each in objects} == {False}

    def test_the_less_obvious_fields_explain_themselves(self) -> None:
        pool_fields = schema()["$defs"]["PoolEntry"]["properties"]
        assert all(
            pool_fields[name].get("description") for name in ("untainted", "strategy", "emptyFor", "ami", "limit")
        )
