"""The fleet as a policy in the API server, without one: its table of answers, its grammar and its size."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.pods import container, plan, pod_of
from tests.rendering import ENFORCED, documents_of
from webhook.admission.resolve import Resolution
from webhook.cli import files
from webhook.cli.main import main
from webhook.errors import BadFleet, Denial
from webhook.fleet.fleet import Fleet
from webhook.render import admission_policy
from webhook.render.admission_policy import LONGEST, NAME, alone, standby, variables_of
from webhook.render.admission_table import Table
from webhook.render.cel import grammar
from webhook.slices.request import parse

SIZES = [
    *(f"{number}/{whole}" for whole in range(1, 9) for number in range(1, whole + 1)),
    *(f"{number}{unit}" for number in (*range(1, 25), 40, 71, 72, 80, 141, 180) for unit in ("gb", "Gi")),
    *("1/100", "99/100", "1g.5gb", "1g.10gb", "1g.10gb.me", "2g.10gb", "7g.80gb", "3g.71gb", "1c.3g.20gb", "shared"),
]
COUNTS = (1, 2, 3, 7, 8, 9, 16, 17, 24, 25, 56, 57, 9999)


@pytest.fixture(name="fleet", params=ENFORCED.values(), ids=ENFORCED)
def _fleet(request: pytest.FixtureRequest) -> Fleet:
    return files.fleet_at(request.param)


def told(answer: Resolution) -> str:
    """All of it that a pod is given."""
    tolerations = sorted(json.dumps(need.written, sort_keys=True) for need in answer.needs)
    given = answer.assignments[0].resource
    return f"{given} {answer.names} {sorted(answer.labels.items())} {answer.one_of} {tolerations}"


def looked_up(table: Table, namespace: str, word: str, count: int, gpu: str) -> str:
    """What the policy finds.  The same as `found` of `webhook.render.cel`."""
    fraction, memory = re.fullmatch(r"(\d+)/(\d+)", word), re.fullmatch(r"(\d+)(gb|Gi)", word)
    key, number, denominator = word, 0, 1
    if fraction:
        key, number, denominator = "/", int(fraction[1]), int(fraction[2])
    elif memory:
        key, number = memory[2], int(memory[1])
    place = table.keys[table.policies.get(namespace, 0)].get(key + gpu)
    for row in () if place is None else table.rows[place]:
        if number * row.scale <= row.size * denominator and count <= row.most:
            answer = table.answers[row.answer]
            return told(answer)
    return ""


def test_the_table_has_the_answer_of_the_webhook_to_every_choice(fleet: Fleet) -> None:
    table = Table(fleet)
    gpus = ["", *(f"@{name}" for name in {pool.gpu.name for pool in fleet.pools} | {fleet.pools[0].gpu.family, "a30"})]
    namespaces = [*(name for name in fleet.policies if name != "*"), "elsewhere"]
    answered = 0
    for namespace, word, gpu in product(namespaces, SIZES, gpus):
        for count in (1,) if word == "shared" else COUNTS:
            value = f"{count}x{word}{gpu}" if count > 1 else word + gpu
            try:
                found = plan(pod_of(value, container("main")), fleet, namespace=namespace).resolution
            except Denial:
                found = None
            expected = ""
            if found is not None:
                expected = told(found)
                answered += 1
            assert looked_up(table, namespace, word, count, gpu) == expected, value
    assert answered > 20


@pytest.mark.parametrize(
    "value", ["1g.5gb", "main=1g.5gb", "a = 2x1/7 @ h100 | 10gb|9Gi@a100-80gb", "shared@a10g", "1c.3g.20gb-me"]
)
def test_what_the_policy_reads_is_one_request(value: str) -> None:
    assert re.match(grammar(Table(files.fleet_at(None)).gpus), value)
    assert len(parse(value)) == 1


@pytest.mark.parametrize(
    "value",
    ["", " 1g.5gb", "1g.5gb ", "1g. 5gb", "1g.5gb|", "a=1g.5gb,b=1g.5gb", "2xshared", "1g.5gb@h10", "01g.5gb",
     "1g.5gb\n", "1g.5gb\t|shared", "A=1g.5gb", "1g.5gb@NVIDIA A100-SXM4-40GB", "1/7@", "=1g.5gb", "00gb", "0x1g.5gb",
     "a=b=1g.5gb"],
    ids=repr,
)  # fmt: skip
def test_what_the_policy_does_not_read(value: str) -> None:
    assert not re.fullmatch(grammar(Table(files.fleet_at(None)).gpus)[1:-1], value)


def test_the_standby_is_bound_to_the_webhooks_deployment_and_what_stands_alone_to_nothing(fleet: Fleet) -> None:
    beside, instead = documents_of(fleet, "admission-policy"), documents_of(fleet, "policy-alone")
    # Who refuses comes first, so that no pod slips through in between.
    kinds = ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]
    kinds += [kind.replace("Validating", "Mutating") for kind in kinds]
    for documents in beside, instead:
        assert [each["kind"] for each in documents] == kinds
        assert {each["metadata"]["name"] for each in documents} == {NAME}
    for binding in beside[1], beside[3]:
        reference = binding["spec"]["paramRef"]
        assert reference == {"name": "webhook", "namespace": "gpu-slice", "parameterNotFoundAction": "Allow"}
    for policy in beside[0], beside[2]:
        assert policy["spec"]["paramKind"] == {"apiVersion": "apps/v1", "kind": "Deployment"}
    # The API server stops to watch a kind with the last policy that names it, and does not begin again.
    assert "param" not in json.dumps(instead)


def test_both_policies_have_the_same_variables_each_of_which_names_only_those_before_it(fleet: Fleet) -> None:
    validating, _, mutating, _ = (each.manifest["spec"] for each in alone(fleet))
    assert validating["variables"] == mutating["variables"]
    known: set[str] = set()
    for variable in mutating["variables"]:
        assert set(re.findall(r"\bvariables\.(\w+)", variable["expression"])) <= known, variable["name"]
        known.add(variable["name"])


def test_it_looks_at_the_pods_that_the_webhook_is_shown() -> None:
    manifest = Path(__file__).parents[2] / "manifests" / "webhook" / "webhook.yaml"
    entry = yaml.safe_load(manifest.read_text())["webhooks"][0]
    for document in alone(files.fleet_at(None)):
        if "matchConstraints" in document.manifest["spec"]:
            spec = document.manifest["spec"]
            assert spec["matchConstraints"]["resourceRules"] == entry["rules"]
            assert sorted_(spec["matchConstraints"]["namespaceSelector"]) == sorted_(entry["namespaceSelector"])
            assert spec["matchConditions"][:2] == entry["matchConditions"][:2]


def sorted_(selector: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    return [(each["key"], each["operator"], sorted(each.get("values", ()))) for each in selector["matchExpressions"]]


def large(pools: int, namespaces: int) -> str:
    """A fleet with many pools, and namespaces of which each may use another part of it."""
    layouts: list[tuple[str, str, dict[str, int]]] = [
        ("a100-40gb", "p4d.24xlarge", {"1g.5gb": 7}),
        ("a100-80gb", "p4de.24xlarge", {"2g.20gb": 3, "1g.10gb": 1}),
        ("h100-80gb", "p5.48xlarge", {"3g.40gb": 1, "1g.10gb": 4}),
        ("h200", "p5e.48xlarge", {"4g.71gb": 1, "3g.71gb": 1}),
    ]
    entries = []
    for number in range(pools):
        gpu, instance_type, mig = layouts[number % len(layouts)]
        entry = {"name": f"pool-{number}", "gpu": gpu, "instanceTypes": [instance_type], "partition": {"mig": mig}}
        entries.append(entry | {"labels": {"team": f"team-{number // 4}"}})
    allowed = {f"team-{number}": {"pools": [f"pool-{number % pools}", "pool-0"]} for number in range(namespaces)}
    return json.dumps({"apiVersion": "gpu-slice/v1", "cluster": "c", "pools": entries, "namespaces": allowed})


def test_a_fleet_of_twenty_pools_is_far_below_what_the_api_server_reads() -> None:
    fleet = files.load_fleet(large(20, 10).encode())
    assert max(map(len, variables_of(fleet).values())) < LONGEST / 5
    for document in (*standby(fleet), *alone(fleet)):
        assert len(str(document)) < 1_000_000


def test_a_fleet_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_policy, "LONGEST", 1_000)
    for options in ((), ("--output-dir", str(tmp_path / "out"))):
        result = CliRunner().invoke(main, ["render", "--only", "admission-policy", *options])
        assert (result.exit_code, result.stdout) == (2, "")
        assert re.search(r"\nError: pools and namespaces: make \w+ of the policy \d+ characters long", result.stderr)


@pytest.mark.parametrize("where", ["", "namespaces: {team-a: {mode: shadow}}", "pools[0]"])
def test_a_fleet_with_something_in_shadow_is_refused(where: str) -> None:
    pool = "{name: a, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge]"
    pool += ", mode: shadow}" if where == "pools[0]" else "}"
    top = {"": "mode: shadow", "pools[0]": ""}.get(where, where)
    fleet = files.load_fleet(f"apiVersion: gpu-slice/v1\n{top}\npools:\n- {pool}\n".encode())
    with pytest.raises(BadFleet, match=r"^mode: the fleet has .* in shadow, and a policy in the API server enforces"):
        list(standby(fleet))


def test_nobody_gets_it_unasked() -> None:
    assert "AdmissionPolicy" not in CliRunner().invoke(main, ["render"]).stdout
    assert "AdmissionPolicy" in CliRunner().invoke(main, ["render", "--only", "policy-alone"]).stdout


def test_each_answer_of_the_policy_has_its_tolerations(fleet: Fleet) -> None:
    variables = variables_of(fleet)
    tolerations = json.loads(variables["tolerations"])
    read = [[tolerations[place] for place in places] for places in json.loads(variables["needs"])]
    assert read == [[need.written for need in answer.needs] for answer in Table(fleet).answers]
    assert any(read)
