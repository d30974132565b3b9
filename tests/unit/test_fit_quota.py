"""`fit` and what keeps pods out but room: the quotas of namespaces; and what is counted though it is in shadow."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fit_needs import answer, object_of, pod, pools_of, run, template
from webhook.admission.pod import convert
from webhook.cli import files
from webhook.fit.demand import kind_of
from webhook.fit.quota import over_quota

FLEET = """\
apiVersion: gpu-slice/v1
pools:
- {name: train, gpu: a100-80gb, partition: {mig: {3g.40gb: 1, 1g.10gb: 3}}, instanceTypes: [p4de.24xlarge]}
- {name: small, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], limit: {nodes: 1}}
- {name: one, gpu: a30, partition: {mig: {1g.6gb: 4}}, instanceTypes: [a30.one], strategy: single}
- {name: dark, gpu: b200, partition: {mig: {1g.23gb: 7}}, instanceTypes: [p6-b200.48xlarge], mode: shadow}
catalogue: {instanceTypes: {a30.one: {gpu: a30, gpus: 1, architecture: amd64}}}
namespaces:
  prod: {pools: [train], quota: {3g.40gb: 4, 1g.10gb: 6}}
  notebooks: {slices: [1g.5gb], quota: {1g.5gb: 10}, default: 1g.5gb}
  cut: {pools: [one], quota: {1g.6gb: 2}}
  few: {quota: {1g.5gb: 1}}
  quiet: {mode: shadow, quota: {1g.5gb: 3}}
"""


@pytest.fixture
def fleet(tmp_path: Path) -> str:
    (tmp_path / "fleet.yaml").write_text(FLEET)
    return str(tmp_path / "fleet.yaml")


def deployment(value: str, replicas: int, namespace: str | None = None) -> dict[str, Any]:
    made = object_of("Deployment", {"replicas": replicas, "template": template(value)})
    return made | {"metadata": {"name": "test", **({"namespace": namespace} if namespace else {})}}


def test_pods_beyond_the_quota_of_their_namespace_do_not_fit(fleet: str) -> None:
    arguments = ["-", "--fleet", fleet, "-n", "prod"]
    text = yaml.safe_dump(deployment("3g.40gb", 40))
    result = run(*arguments, text=text)
    found = answer(*arguments, text=text)

    assert result.exit_code == 1
    assert result.stdout.startswith("36 of 40 pods do not fit: 8 GPUs, 1 node hold the others.\n")
    why = "No room for 36 pods with 1 x 3g.40gb, because of the quota of namespace prod: 4 x 3g.40gb.\n"
    assert why in result.stdout
    assert "Without quotas they would take 40 GPUs, 5 nodes.\n" in result.stdout
    assert found["left"] == [
        {"pods": 36, "slices": {"3g.40gb": 1}, "pools": ["train"], "namespace": "prod", "quota": {"3g.40gb": 4}}
    ]
    assert (found["fits"], pools_of(found), pools_of(found["unlimited"])) == (False, {"train": 1}, {"train": 5})


@pytest.mark.parametrize("output", ["table", "json", "short", "fleet"])
def test_the_exit_code_is_the_same_for_every_output(output: str, fleet: str) -> None:
    few, many = (["--fleet", fleet, "-n", "prod", f"--need=3g.40gb={n}", "-o", output] for n in (4, 5))
    assert (run(*few).exit_code, run(*many).exit_code) == (0, 1)


def test_a_suggested_fleet_comes_with_what_the_quota_keeps_out(fleet: str) -> None:
    stderr = run("--fleet", fleet, "-n", "prod", "--need=3g.40gb=5", "-o", "fleet").stderr
    assert "No room for 1 pod with 1 x 3g.40gb, because of the quota of namespace prod: 4 x 3g.40gb.\n" in stderr


@pytest.mark.parametrize(
    ("documents", "out"),
    [
        pytest.param([("3g.40gb", 4, "prod")], {}, id="as many as there may be"),
        pytest.param([("3g.40gb", 9, "other")], {}, id="of another namespace"),
        pytest.param([("3g.40gb", 3, "prod"), ("3g.40gb", 2, "prod"), ("3g.40gb", 9, "other")], {"prod": 1},
                     id="of several objects"),
        pytest.param([("2x3g.40gb", 3, "prod")], {"prod": 1}, id="pods of two slices"),
        pytest.param([("4x3g.40gb", 1, "prod"), ("3g.40gb", 4, "prod")], {"prod": 1}, id="the fewest pods"),
        pytest.param([("3g.40gb|1g.10gb", 5, "prod")], {"prod": 1}, id="alternatives: none for a quota"),
        pytest.param([("1/8", 7, "prod")], {"prod": 1}, id="a fraction"),
        pytest.param([("1g.6gb", 3, "cut")], {"cut": 1}, id="slices of single"),
        pytest.param([("1g.5gb", 3, "few")], {"few": 2}, id="a namespace without other limits"),
        pytest.param([("1g.5gb", 5, "quiet")], {"quiet": 2}, id="in shadow, where quotas refuse pods too"),
        pytest.param([("1g.5gb", 11, "notebooks"), ("1g.5gb", 2, "few")], {"few": 1, "notebooks": 1}, id="of two"),
    ],
)  # fmt: skip
def test_how_many_pods_quotas_keep_out(documents: list[tuple[str, int, str]], out: dict[str, int], fleet: str) -> None:
    text = yaml.safe_dump_all([deployment(*each) for each in documents])
    found = answer("-", "--fleet", fleet, text=text)
    kept = {each["namespace"]: each["pods"] for each in found["left"] if "namespace" in each}
    assert kept == out
    assert found["fits"] is not (kept or found["left"])


def test_what_a_limit_and_what_a_quota_keeps_out_are_told_apart(fleet: str) -> None:
    text = yaml.safe_dump_all([deployment("1g.5gb", 60, "other"), deployment("1g.5gb", 12, "notebooks")])
    result = run("-", "--fleet", fleet, text=text)

    assert result.stdout.startswith("16 of 72 pods do not fit: ")
    assert "No room for 14 pods with 1 x 1g.5gb, because of the limit of small.\n" in result.stdout
    assert "No room for 2 pods with 1 x 1g.5gb, because of the quota of namespace notebooks: 10 x 1g.5gb.\n" in (
        result.stdout
    )
    assert "Without limits and quotas they would take 16 GPUs, 2 nodes.\n" in result.stdout


VALUES = ["3g.40gb", "2x3g.40gb", "1g.10gb", "2x1g.10gb", "main=3g.40gb,side=1g.10gb", "main=1g.10gb,side=2x3g.40gb"]


@given(st.dictionaries(st.sampled_from(VALUES), st.integers(1, 5), min_size=1, max_size=3))
def test_quotas_keep_out_as_few_pods_as_possible(wanted: dict[str, int]) -> None:
    fleet = files.load_fleet(FLEET.encode())
    demand, needs = {}, []
    for value, count in wanted.items():
        document = pod(value)
        if "side" in value:
            document["spec"]["containers"].append({"name": "side"})
        kind = kind_of(convert(document), fleet, "prod")
        assert kind is not None
        demand["prod", kind] = count
        needs.append({slice.name: n for slice, n in kind.slices})

    def allowed(counts: tuple[int, ...]) -> bool:
        return all(
            sum(n * need.get(name, 0) for n, need in zip(counts, needs, strict=True)) <= most
            for name, most in {"3g.40gb": 4, "1g.10gb": 6}.items()
        )

    most = max(sum(counts) for counts in product(*(range(n + 1) for n in wanted.values())) if allowed(counts))
    over = over_quota(demand, fleet)
    assert sum(over.values()) == sum(wanted.values()) - most
    assert allowed(tuple(demand[key] - over.get(key, 0) for key in demand))


def test_what_is_counted_in_a_pool_in_shadow_is_said(fleet: str) -> None:
    arguments = ["--fleet", fleet, "--need=1g.23gb=100"]

    assert run(*arguments).stderr == "pool dark is in shadow: 2 nodes of it counted as if it enforced\n"
    assert answer(*arguments)["inShadow"] == {"dark": 2}
    assert run("--fleet", fleet, "--need=1g.5gb=1").stderr == ""


def test_a_namespace_in_shadow_is_said_to_be_counted(fleet: str) -> None:
    stderr = run("--fleet", fleet, "--need=1g.5gb=1", "-n", "quiet").stderr
    assert stderr == "namespace quiet is in shadow: its pods are counted as if it enforced\n"


def test_everything_in_shadow_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(json.dumps(yaml.safe_load(FLEET) | {"mode": "shadow"}))
    stderr = run("--fleet", str(tmp_path / "fleet.yaml"), "--need=1g.5gb=1").stderr
    assert stderr == "namespace default is in shadow: its pods are counted as if it enforced\n"


def test_what_is_said_to_be_written_is_enforced_if_anything_is(fleet: str) -> None:
    stderr = run("--fleet", fleet, "--need=1g.20gb=1").stderr
    assert "Write '3g.40gb', the nearest that is offered (pool train, a100-80gb)." in stderr
