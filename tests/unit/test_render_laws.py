"""What holds for what any fleet renders to that loads."""

from __future__ import annotations

import json
from typing import Any

import jsonpatch
from hypothesis import given
from hypothesis import strategies as st

from tests.pods import container, plan, pod_of
from tests.rendering import documents_of
from tests.unit import test_render
from webhook.cli import files
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import MigOffer
from webhook.render.boot import layout
from webhook.slices.catalogue import Gpu, InstanceType
from webhook.slices.layout import fits

CATALOGUE = files.catalogue()
TYPES: dict[tuple[str, str], list[InstanceType]] = {}
for each in CATALOGUE.instance_types.values():
    if each.gpus:
        TYPES.setdefault((each.gpu, each.architecture), []).append(each)


@st.composite
def partitions(draw: st.DrawFn, gpu: Gpu) -> tuple[dict[str, Any], str]:
    """How one GPU is cut or shared, and the strategy."""
    placed = [profile for profile in gpu.profiles if profile.starts]
    kind = draw(st.sampled_from(["mig", "single", "timeSlicing", "mps"] if placed else ["timeSlicing", "mps"]))
    if kind in ("timeSlicing", "mps"):
        return {kind: {"replicas": draw(st.integers(2, 12))}}, "mixed"
    profiles = draw(st.lists(st.sampled_from(placed), min_size=1, max_size=1 if kind == "single" else 7))
    chosen = {profiles[0]: 1}
    for profile in profiles[1:] if kind == "mig" else profiles * profiles[0].most:
        more = chosen | {profile: chosen.get(profile, 0) + 1}
        chosen = more if fits(gpu, more) else chosen
    return {
        "mig": {str(profile): count for profile, count in chosen.items()}
    }, "single" if kind == "single" else "mixed"


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """Any fleet of up to four pools."""
    pools = []
    for index in range(draw(st.integers(1, 4))):
        types = TYPES[draw(st.sampled_from(sorted(TYPES)))]
        gpu = CATALOGUE.gpus[types[0].gpu]
        partition, strategy = draw(partitions(gpu))
        pool: dict[str, Any] = {"name": f"pool-{index}", "gpu": gpu.name, "partition": partition}
        pool["instanceTypes"] = draw(st.lists(st.sampled_from([t.name for t in types]), min_size=1, unique=True))
        pool |= {"strategy": strategy} if "mig" in partition else {}
        pool |= draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "labels": st.sampled_from([{}, {"nvidia.com/gpu": "gpu"}, {"team": "a", "tier": "1"}]),
                    "taints": st.sampled_from(
                        [[{"key": "dedicated", "value": "a"}, {"key": "b", "effect": "NoExecute"}]]
                    ),
                    "capacityTypes": st.permutations(["spot", "on-demand"]),
                    "weight": st.integers(1, 100),
                    "limit": st.sampled_from([{"nodes": 3}, {"slices": 500}]),
                },
            )
        )
        pools.append(pool)
    return files.load_fleet(json.dumps({"apiVersion": "gpu-slice/v1", "pools": pools}).encode())


@given(fleets())
def test_what_is_rendered_holds_together(fleet: Fleet) -> None:
    test_render.test_each_slice_that_the_webhook_gives_is_promised_by_an_overlay_with_the_same_count(fleet)
    test_render.test_no_two_overlays_have_one_weight(fleet)
    test_render.test_nodes_carry_the_labels_and_taints_that_the_webhook_counts_on(fleet)
    test_render.test_each_pool_has_one_device_plugin_which_tolerates_its_taints(fleet)


@given(fleets())
def test_each_slice_that_can_be_had_is_provided_by_the_documents_of_the_pools_that_serve_it(fleet: Fleet) -> None:
    pools = {each["metadata"]["name"]: each["spec"] for each in documents_of(fleet, "node-pools")}
    overlays = documents_of(fleet, "node-overlays")
    for pool, offer in fleet.offers:
        pod = pod_of(f"{offer}@{pool.gpu.name}", container())
        made = jsonpatch.apply_patch(pod, list(plan(pod, fleet).patch))
        ((resource, count),) = made["spec"]["containers"][0]["resources"]["limits"].items()
        serving = made["metadata"]["annotations"]["gpu-slice/pools"].split(", ")
        assert serving
        for name in serving:
            template = pools[name]["template"]
            labels = template["metadata"]["labels"]
            assert made["spec"].get("nodeSelector", {}).items() <= labels.items()
            tolerated = {(each["key"], each.get("effect", "")) for each in made["spec"].get("tolerations", ())}
            for taint in template["spec"].get("taints", ()):
                assert {(taint["key"], taint["effect"]), (taint["key"], "")} & tolerated
            promised = [each for each in overlays if each["spec"]["requirements"][0]["values"] == [name]]
            assert promised
            assert all(int(each["spec"]["capacity"].get(resource, 0)) >= int(count) for each in promised)


@given(fleets())
def test_a_boot_script_makes_what_the_overlay_counts(fleet: Fleet) -> None:
    for pool in fleet.pools:
        assert len(layout(pool)) == sum(offer.per_gpu for offer in pool.offers if isinstance(offer, MigOffer))
        sizes = [profile.size for name in layout(pool) for profile in pool.gpu.profiles if str(profile) == name]
        assert sizes == sorted(sizes, reverse=True)
