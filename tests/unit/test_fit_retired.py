"""`fit` with pools that are retired or in shadow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.unit.fit_needs import answer, pod, run

HEAD = """\
apiVersion: gpu-slice/v1
catalogue: {instanceTypes: {one: {gpu: a100-40gb, gpus: 1, architecture: amd64}}}
pools:
"""
OLD = "name: old, gpu: a100-40gb, partition: {mig: {3g.20gb: 2}}, instanceTypes: [one], retired: true"
NEW = "name: new, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], limit: {nodes: 9}"


def fleet(folder: Path, *pools: str) -> str:
    path = folder / "fleet.yaml"
    path.write_text(HEAD + "".join(f"- {{{pool}}}\n" for pool in pools))
    return str(path)


def kept(folder: Path, slice: str, pools: str = "old") -> str:
    """A pod that got *slice* before its pool was retired."""
    document = pod(slice)
    resource = f"nvidia.com/mig-{slice}"
    document["metadata"]["annotations"] |= {
        "gpu-slice/assigned": f"{slice} -> main={resource}:1",
        "gpu-slice/pools": pools,
    }
    document["spec"]["containers"][0]["resources"] = {"limits": {resource: 1}, "requests": {resource: 1}}
    path = folder / f"{slice}.json"
    path.write_text(json.dumps(document))
    return str(path)


def suggested(*arguments: str) -> tuple[dict[str, dict[str, Any]], str]:
    """The pools of the suggested fleet, and the remarks."""
    result = run(*arguments, "-o", "fleet")
    return {pool["name"]: pool for pool in yaml.safe_load(result.stdout)["pools"]}, result.stderr


def test_a_pod_of_a_retired_pool_has_no_room_because_the_pool_is_retired(tmp_path: Path) -> None:
    result = run(kept(tmp_path, "3g.20gb"), "--fleet", fleet(tmp_path, OLD, NEW))

    assert result.exit_code == 1
    assert "No room for 1 pod with 1 x 3g.20gb, because old is retired.\n" in result.stdout
    assert "limit" not in result.stdout


def test_what_lacks_a_limit_and_what_is_retired_are_told_apart(tmp_path: Path) -> None:
    both = fleet(tmp_path, OLD, NEW.replace("9", "0"))

    result = run(kept(tmp_path, "3g.20gb"), "--need=1g.5gb=7", "--fleet", both)

    assert "with 1 x 3g.20gb, because old is retired.\n" in result.stdout
    assert "with 1 x 1g.5gb, because of the limit of new.\n" in result.stdout
    assert "Without limits they would take" in result.stdout


def test_several_retired_pools_are_named(tmp_path: Path) -> None:
    other = OLD.replace("name: old", "name: older")

    result = run(kept(tmp_path, "3g.20gb", "old|older"), "--fleet", fleet(tmp_path, OLD, other, NEW))

    assert "because old, older are retired.\n" in result.stdout


def test_a_suggestion_leaves_a_retired_pool_alone(tmp_path: Path) -> None:
    pools, remarks = suggested(kept(tmp_path, "3g.20gb"), "--fleet", fleet(tmp_path, OLD, NEW))

    assert pools["old"] == yaml.safe_load(f"{{{OLD}}}")
    assert "pool old is retired, and stays as it is: no node is launched for its pods\n" in remarks
    assert "larger limit" not in remarks


def test_a_suggestion_does_not_leave_out_a_retired_pool_whose_pods_have_room_elsewhere(tmp_path: Path) -> None:
    """It goes when its last node is gone."""
    pools, remarks = suggested(kept(tmp_path, "3g.20gb"), "--need=1g.5gb=4", "--fleet", fleet(tmp_path, OLD, NEW))

    assert pools["old"] == yaml.safe_load(f"{{{OLD}}}")
    assert "pool new is left out" in remarks
    assert "pool old" not in remarks


def test_no_new_pool_is_like_a_retired_one(tmp_path: Path) -> None:
    """Its nodes have one GPU and not eight, so one like it would be the smallest answer."""
    found = answer("--need=1g.5gb=1", "--fleet", fleet(tmp_path, OLD, NEW))

    assert {each.get("like", each["name"]) for each in found["best"]["pools"]} == {"new"}
    assert found["best"]["gpus"] == 8


def test_a_new_pool_enforces_though_the_one_it_is_like_is_in_shadow(tmp_path: Path) -> None:
    shadow = OLD.replace("retired: true", "mode: shadow, limit: {nodes: 9}")

    pools, remarks = suggested("--need=3g.20gb=1", "--need=1g.5gb=3", "--fleet", fleet(tmp_path, shadow, NEW))

    (name,) = pools.keys() - {"old", "new"}
    assert f"pool {name} is new, and like old" in remarks
    assert "mode" not in pools[name]
