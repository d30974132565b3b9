"""What is told although the pod is admitted."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pods import CORNERS, MIXED, SINGLE, Pod, container, expression, fleet_of, plan, pod_of, required
from webhook.admission.warnings import LONGEST, warning

PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
OWNED = [{"kind": "DaemonSet", "name": "x", "controller": True}]


def told(pod: Pod, fleet: str = MIXED, **more: Any) -> list[str]:
    return [each.text.removeprefix("gpu-slice: ") for each in plan(pod, fleet_of(fleet), **more).warnings]


def term(*parts: Any) -> dict[str, Any]:
    return {"matchExpressions": list(parts)}


def owned(pod: Pod, owners: Any = None) -> Pod:
    pod["metadata"]["ownerReferences"] = OWNED if owners is None else owners
    return pod


def test_a_pod_without_any_of_this_gets_no_warning() -> None:
    assert told(pod_of()) == []


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param("1/7", "", id="a whole number of slices"),
        pytest.param("2/7", "", id="another"),
        pytest.param("1/10", "1/10 of a GPU is 1g.5gb: one a100-40gb has room for 7", id="the smallest is more"),
        pytest.param(
            "3/7",
            "3/7 of a GPU is 3g.20gb: one a100-40gb has room for 2, or for 3 of 2g.10gb",
            id="costs half the memory",
        ),
        pytest.param(
            "1/4", "1/4 of a GPU is 2g.10gb: one a100-40gb has room for 3, or for 4 of 1g.10gb", id="no whole number"
        ),
        pytest.param("2x1/4", "1/4 of a GPU is 2g.10gb: one a100-40gb has room for 3, or for 4 of 1g.10gb", id="twice"),
    ],
)
def test_a_fraction_that_costs_more_than_it_says(asked: str, expected: str) -> None:
    found = [each for each in told(pod_of(asked)) if "of a GPU" in each]
    assert found == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("layouts", "expected"),
    [
        pytest.param(["1g.5gb: 1, 2g.10gb: 3"], "or for 7 of 1g.5gb", id="the largest of those that are offered"),
        pytest.param(["2g.10gb: 3", "1g.10gb: 3, 1g.5gb: 1"], "or for 4 of 1g.10gb", id="by another pool"),
        pytest.param(["2g.10gb: 3"], "or for 4 of 1g.10gb", id="none is offered: what the GPU could do"),
    ],
)
def test_the_next_smaller_is_one_that_can_be_had(layouts: list[str], expected: str) -> None:
    pools = [
        f"- {{name: p{place}, gpu: a100-40gb, partition: {{mig: {{{each}}}}}, instanceTypes: [p4d.24xlarge]}}"
        for place, each in enumerate(layouts)
    ]
    (found,) = told(pod_of("2/9|2g.10gb"), "pools:\n" + "\n".join(pools))
    assert found == f"2/9 of a GPU is 2g.10gb: one a100-40gb has room for 3, {expected}"


@pytest.mark.parametrize("asked", ["1g.5gb", "10gb", "4Gi", "shared"])
def test_only_fractions_get_that_warning(asked: str) -> None:
    assert told(pod_of(asked)) == []


def test_a_count_above_one() -> None:
    (found,) = told(pod_of("2x1g.5gb"))
    assert "one of its 2 slices" in found
    assert "'main'" in found


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(
            "1g.6gb@a100|1g.5gb", ["a100 has no profile '1g.6gb'; '1g.5gb' is used"], id="a profile it has not"
        ),
        pytest.param("9g.9gb|1g.5gb", ["no GPU has a profile '9g.9gb'; '1g.5gb' is used"], id="a profile of no GPU"),
        pytest.param("1g.5gb@x1|1g.5gb", ["no GPU is called 'x1'; '1g.5gb' is used"], id="a GPU of no name"),
        pytest.param(
            "1g.5gb@t4|1g.5gb", ["t4 has no MIG, so it has no '1g.5gb'; '1g.5gb' is used"], id="a GPU without MIG"
        ),
        pytest.param("1g.18gb|1g.5gb", [], id="one that is only not offered here"),
        pytest.param("57x1g.5gb|1g.5gb", [], id="one without room"),
        pytest.param("1g.5gb|9g.9gb", [], id="behind the one that was taken"),
    ],
)
def test_an_alternative_that_can_never_be(asked: str, expected: list[str]) -> None:
    assert told(pod_of(asked)) == expected


@pytest.mark.parametrize(
    ("spec", "containers", "expected"),
    [
        pytest.param({"nodeName": "node-1"}, [container()], "spec.nodeName", id="a node by name"),
        pytest.param({"nodeName": ""}, [container()], None, id="no node by name"),
        pytest.param({}, [container(securityContext={"privileged": True})], "'main' is privileged", id="privileged"),
        pytest.param({}, [container(securityContext={"privileged": False})], None, id="not privileged"),
        pytest.param({}, [container(securityContext=None)], None, id="no security context"),
        pytest.param(
            {}, [container(), container("b", securityContext={"privileged": True})], "'b' is privileged", id="another"
        ),
        pytest.param(
            {},
            [container(env=[{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}])],
            "NVIDIA_VISIBLE_DEVICES",
            id="all",
        ),
        pytest.param(
            {},
            [container(env=[{"name": "NVIDIA_VISIBLE_DEVICES", "valueFrom": {}}])],
            "NVIDIA_VISIBLE",
            id="from elsewhere",
        ),
        *(
            pytest.param(
                {},
                [container(env=[{"name": "NVIDIA_VISIBLE_DEVICES", "value": value}])],
                f"'main' sets NVIDIA_VISIBLE_DEVICES to '{value}', so it may not see its own slice",
                id=f"hidden by '{value}'",
            )
            for value in ("void", "none", "")
        ),
        pytest.param(
            {},
            [container(), container("b", env=[{"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}])],
            None,
            id="void without a slice",
        ),
        pytest.param({}, [container(env=[{"name": "PATH", "value": "all"}])], None, id="another variable"),
        pytest.param(
            {"securityContext": {"windowsOptions": {"hostProcess": True}}},
            [container()],
            "the pod has securityContext.windowsOptions",
            id="a pod of Windows",
        ),
        pytest.param(
            {}, [container(securityContext={"windowsOptions": {"runAsUserName": "u"}})], "'main' has", id="Windows"
        ),
        pytest.param(
            {"securityContext": {"windowsOptions": {}, "runAsUser": 1}},
            [container(securityContext={"windowsOptions": None})],
            None,
            id="no options of Windows",
        ),
    ],
)
def test_what_passes_the_slice_by(spec: dict[str, Any], containers: list[Any], expected: str | None) -> None:
    found = told(pod_of("main=1g.5gb", *containers, **spec))
    assert [expected is not None and expected in each for each in found] == [True] * (expected is not None)


def test_an_init_container_is_looked_at_too() -> None:
    init = container("i", securityContext={"privileged": True})
    assert "'i' is privileged" in told(pod_of(initContainers=[init]))[0]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("gpu-slice/pool", True),
        ("gpu-slices", True),
        ("gpu-slice.", True),
        ("gpu-slice/pools", False),
        ("my-gpu-slice", False),
        ("gpu", False),
    ],
)
def test_a_key_that_looks_like_ours(key: str, expected: bool) -> None:
    found = told(pod_of(annotations={key: "x"}))
    assert [f"'{key}'" in each for each in found] == [True] * expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [("gpu-fraction", True), ("gpu-memory", True), ("gpu-fraction-num-devices", True), ("gpu-operator", False)],
)
def test_an_annotation_of_another_way_to_share(key: str, expected: bool) -> None:
    said = f"annotation '{key}' asks another scheduler for a part of a GPU, beside the slice"
    assert told(pod_of(annotations={key: "0.5"})) == [said] * expected


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        *(
            pytest.param(resource, True, id=resource)
            for resource in (
                "nvidia.com/gpumem", "nvidia.com/gpumem-percentage", "nvidia.com/gpucores", "nvidia.com/priority",
                "nvidia.com/pgpu", "nvidia.com/vgpu", "nvidia.com/gpu-10gb", "nvidia.com/GB100_B200",
                "volcano.sh/vgpu-number", "volcano.sh/vgpu-memory", "volcano.sh/gpu-number", "aliyun.com/gpu-mem",
                "aliyun.com/gpu-core.percentage", "koordinator.sh/gpu-core", "tencent.com/vcuda-memory",
                "tke.cloud.tencent.com/qgpu-core", "vke.volcengine.com/mgpu-core", "elasticgpu.io/gpu-memory",
                "k8s.amazonaws.com/vgpu", "run.ai/gpu.memory", "amd.com/gpu",
                "aws.amazon.com/neuron", "aws.amazon.com/neuroncore", "aws.amazon.com/neurondevice", "google.com/tpu",
                "cloud-tpus.google.com/v3", "huawei.com/Ascend910A", "huawei.com/Ascend310P-memory", "habana.ai/gaudi",
                "cambricon.com/vmlu", "cambricon.com/mlu370.smlu.vcore", "hygon.com/dcunum", "hygon.com/dcumem",
                "kunlunxin.com/vxpu", "vastaitech.com/va", "enflame.com/vgcu", "iluvatar.ai/BI-V150.vCore",
            )
        ),
        *(
            pytest.param(resource, False, id=resource)
            for resource in (
                "cpu", "memory", "hugepages-2Mi", "vpc.amazonaws.com/efa", "rdma/hca", "nvidia.com/hostdev",
                "nvidia.com/mlnxnics", "example.com/fpga", "google.com/nic", "aws.amazon.com/efa",
            )
        ),
    ],
)  # fmt: skip
def test_a_resource_of_another_way_to_share(resource: str, expected: bool) -> None:
    said = f"'main' also asks for {resource}, which no pool of the fleet offers"
    assert told(pod_of("1g.5gb", container(limits={"cpu": "1", resource: "1"}))) == [said] * expected
    beside = pod_of("main=1g.5gb", container(), container("b", limits={resource: "1"}))
    assert told(beside) == [said.replace("main", "b")] * expected


def test_many_such_resources_are_not_all_told() -> None:
    limits = {f"example.com/gpu-{number}": "1" for number in range(9000)}
    assert told(pod_of("1g.5gb", container(limits=limits)))[-1].startswith("there are more warnings")


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        pytest.param([{"name": "gpu", "resourceClaimTemplateName": "one"}], True, id="one"),
        pytest.param([{}], True, id="of the future"),
        pytest.param([], False, id="none"),
        pytest.param(None, False, id="null"),
    ],
)
def test_resource_claims_beside_a_slice(claims: Any, expected: bool) -> None:
    said = "the pod also has spec.resourceClaims: by default Karpenter launches no node for such a pod"
    assert told(pod_of(resourceClaims=claims)) == [said] * expected


class TestLabels:
    """Labels without which no node will do, where Karpenter launches nodes."""

    OWN = "select by what they have: nvidia.com/gpu, gpu-slice/pool"

    @pytest.mark.parametrize(
        ("spec", "unheard_of"),
        [
            pytest.param({"nodeSelector": {"hub.jupyter.org/node-purpose": "user"}}, ["hub.jupyter.org/node-purpose"]),
            pytest.param({"nodeSelector": {"x/y": "1", "topology.kubernetes.io/zone": "a"}}, ["x/y"], id="one of two"),
            pytest.param({"nodeSelector": {"x/y": "1", "a": "1"}}, ["a", "x/y"], id="both"),
            pytest.param({"nodeSelector": {"kubernetes.io/hostname": "a"}}, ["kubernetes.io/hostname"], id="a host"),
            pytest.param({"nodeSelector": {"karpenter.sh/initialized": "true"}}, ["karpenter.sh/initialized"]),
            pytest.param({"nodeSelector": {"eks.amazonaws.com/nodegroup": "a"}}, ["eks.amazonaws.com/nodegroup"]),
            pytest.param({"nodeSelector": {"nvidia.com/gpu": "a100"}}, [], id="a pool's own"),
            *(
                pytest.param({"nodeSelector": {key: "a"}}, [], id=key)
                for key in (
                    "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone",
                    "topology.ebs.csi.aws.com/zone", "topology.k8s.aws/zone-id", "topology.kubernetes.io/region",
                    "karpenter.k8s.aws/instance-cpu", "karpenter.k8s.aws/instance-local-nvme",
                    "karpenter.k8s.aws/instance-tenancy", "karpenter.k8s.aws/nitro-sandbox",
                )
            ),
            *(
                pytest.param({"affinity": required(term(expression("x", operator, *values)))}, told, id=operator)
                for operator, values, told in (
                    ("In", ["a"], ["x"]), ("Exists", [], ["x"]), ("Gt", ["1"], ["x"]), ("Lt", ["1"], ["x"]),
                    ("NotIn", ["a"], []), ("DoesNotExist", [], []),
                )
            ),
            pytest.param(
                {"affinity": required(term(expression("x", "Exists")), term(expression("y", "DoesNotExist")))},
                [],
                id="another term will do",
            ),
            pytest.param(
                {
                    "affinity": required(
                        term(expression("x", "Exists")),
                        term(expression("y", "NotIn", "a"), expression("nvidia.com/gpu", "In", "h100")),
                    )
                },
                ["x"],
                id="another term will not do",
            ),
            pytest.param(
                {"affinity": required(term(expression("x", "Exists"), expression("x", "In", "a")))}, ["x"], id="once"
            ),
            pytest.param(
                {"affinity": {"nodeAffinity": {PREFERRED: [{"preference": term(expression("x", "Exists"))}]}}},
                [],
                id="preferred",
            ),
        ],
    )  # fmt: skip
    def test_karpenter_launches_no_node_for_a_label_that_it_does_not_know(
        self, spec: dict[str, Any], unheard_of: list[str]
    ) -> None:
        found = told(pod_of("1g.5gb", **spec))
        assert [each.partition("; ")[0] for each in found] == [f"new nodes lack label '{x}'" for x in unheard_of]

    def test_the_keys_that_can_match_are_listed(self) -> None:
        (said,) = told(pod_of(nodeSelector={"team": "a"}))
        assert said.startswith(f"new nodes lack label 'team'; {self.OWN}, ")
        assert len(said) > 80

    @pytest.mark.parametrize(
        ("key", "meant"),
        [
            ("zone", "topology.kubernetes.io/zone"),
            ("instance-type", "node.kubernetes.io/instance-type"),
            ("eks.amazonaws.com/instance-family", "karpenter.k8s.aws/instance-family"),
            ("pool", "gpu-slice/pool"),
        ],
    )
    def test_a_key_that_ends_like_it_comes_first(self, key: str, meant: str) -> None:
        (said,) = told(pod_of(nodeSelector={key: "a"}))
        assert meant in said

    def test_existing_nodes_may_have_any_label(self) -> None:
        selector = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "gpu-slice/pool": "standing"}
        assert told(pod_of("1g.10gb", nodeSelector=selector), CORNERS) == []
        del selector["gpu-slice/pool"]
        (said,) = told(pod_of("1g.10gb", nodeSelector=selector), CORNERS)
        assert "'nvidia.com/gpu.product'" in said

    @pytest.mark.parametrize(
        ("more", "told_of"),
        [
            pytest.param("", True, id="nothing"),
            pytest.param("nodeLabels: {team: a}", False, id="the nodes' own labels"),
        ],
    )
    def test_a_pool_may_say_more_of_its_nodes(self, more: str, told_of: bool) -> None:
        fleet = f"""
pools:
- {{name: p, gpu: a100-40gb, partition: {{mig: {{1g.5gb: 7}}}}, instanceTypes: [p4d.24xlarge], {more}}}
"""
        assert bool(told(pod_of(nodeSelector={"team": "a"}), fleet)) == told_of

    def test_a_second_visit_does_not_tell_it_again(self) -> None:
        pod = pod_of(nodeSelector={"team": "a"})
        again = jsonpatch.apply_patch(pod, plan(pod, fleet_of(MIXED)).patch)
        assert told(again) == []

    def test_many_such_labels_are_not_all_told(self) -> None:
        assert len(told(pod_of(nodeSelector={f"x/{number}": "1" for number in range(200)}))) == 32


class TestDaemonSet:
    def test_a_soft_taint_keeps_no_daemon_away(self) -> None:
        fleet = """
pools:
- {name: p, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], untainted: true,
   taints: [{key: soft, effect: PreferNoSchedule}]}
"""
        assert told(owned(pod_of()), fleet) == [
            "a DaemonSet is placed by its template: add the nodeSelector nvidia.com/gpu: a100 to it"
        ]

    def test_its_template_lacks_both(self) -> None:
        found = told(owned(pod_of()))
        assert [each for each in found if "toleration nvidia.com/gpu-shared" in each]
        assert [each for each in found if "nodeSelector nvidia.com/gpu: a100" in each]
        assert len(found) == 2

    def test_its_template_has_both(self) -> None:
        pod = pod_of(tolerations=[{"operator": "Exists"}], nodeSelector={"nvidia.com/gpu": "a100"})
        assert told(owned(pod)) == []

    def test_its_template_does_not_single_out_the_pool(self) -> None:
        pod = pod_of(tolerations=[{"operator": "Exists"}], nodeSelector={"nvidia.com/gpu": "a100"})
        (found,) = told(owned(pod), SINGLE)
        assert "gpu-slice/pool: one" in found

    def test_it_says_exactly_which_toleration(self) -> None:
        found = " ".join(told(owned(pod_of("2g.10gb")), CORNERS))
        assert "dedicated=gpu:NoSchedule" in found
        assert "cut:NoExecute" in found

    @pytest.mark.parametrize(
        "owners",
        [
            pytest.param([], id="nobody"),
            pytest.param([{"kind": "ReplicaSet", "controller": True}], id="a ReplicaSet"),
            pytest.param([{"kind": "DaemonSet"}], id="one that does not control it"),
            pytest.param([{"kind": "DaemonSet", "controller": False}], id="nor this"),
        ],
    )
    def test_other_owners_place_nothing(self, owners: list[Any]) -> None:
        assert told(owned(pod_of(), owners)) == []

    def test_a_preview_knows_the_controller_before_there_is_an_owner(self) -> None:
        assert len(told(pod_of(), controller="DaemonSet")) == 2
        assert told(pod_of(), controller="Deployment") == []


class TestWarning:
    @given(st.text(), st.text())
    def test_any_text_becomes_short_and_printable(self, text: str, name: str) -> None:
        found = warning("privileged", text, name).text
        assert found.startswith("gpu-slice: ")
        assert found.isprintable()
        assert len(found) <= LONGEST == 120

    def test_a_long_name_is_cut_and_what_to_do_is_not(self) -> None:
        found = warning("privileged", "{name} wants this", "a" * 200).text
        assert found.endswith("…' wants this")
        assert len(found) == LONGEST

    def test_what_fits_is_not_cut(self) -> None:
        text = "x" * (LONGEST - len("gpu-slice: "))
        assert warning("privileged", text).text == f"gpu-slice: {text}"
        assert warning("privileged", f"{text}y").text == f"gpu-slice: {text[:-1]}…"

    def test_all_together_fit_into_what_an_api_server_keeps(self) -> None:
        """It drops what is beyond 4,096 characters, and it is spared the rest."""
        names = [f"c{index}" for index in range(100)]
        pod = pod_of("c0=1g.5gb", *(container(name, securityContext={"privileged": True}) for name in names))
        assert sum(len(each.text) for each in plan(pod, fleet_of(MIXED)).warnings) <= 4096
