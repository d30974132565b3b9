"""The nodes of a pool: instance types, limits, prices."""

from __future__ import annotations

import pytest

from tests.unit.fleet_text import H100, load, pool, pool_text


class TestNodes:
    """What is known of a node before it exists."""

    def test_a_node_of_karpenter(self) -> None:
        (shape,) = pool(labels="{nvidia.com/gpu: a100, team: a}").shapes
        assert shape.instance_type.name == "p4d.24xlarge"
        assert {key: value for key, value in shape.labels.items() if value is not None} == {
            "gpu-slice/pool": "p",
            "karpenter.k8s.aws/ec2nodeclass": "p",
            "nvidia.com/gpu.deploy.operands": "false",
            "karpenter.k8s.aws/instance-capability-flex": "false",
            "karpenter.k8s.aws/instance-category": "p",
            "karpenter.k8s.aws/instance-generation": "4",
            "karpenter.k8s.aws/instance-family": "p4d",
            "karpenter.k8s.aws/instance-gpu-count": "8",
            "karpenter.k8s.aws/instance-gpu-manufacturer": "nvidia",
            "karpenter.k8s.aws/instance-gpu-memory": "40960",
            "karpenter.k8s.aws/instance-gpu-name": "a100",
            "karpenter.k8s.aws/instance-size": "24xlarge",
            "karpenter.sh/capacity-type": "on-demand",
            "karpenter.sh/nodepool": "p",
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/os": "linux",
            "beta.kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/os": "linux",
            "node.kubernetes.io/instance-type": "p4d.24xlarge",
            "beta.kubernetes.io/instance-type": "p4d.24xlarge",
            "nvidia.com/gpu": "a100",
            "team": "a",
        }

    def test_what_a_node_never_has_is_known_too(self) -> None:
        (shape,) = pool().shapes
        assert sorted(key for key, value in shape.labels.items() if value is None) == [
            "karpenter.k8s.aws/capacity-reservation-id",
            "karpenter.k8s.aws/capacity-reservation-interruptible",
            "karpenter.k8s.aws/capacity-reservation-type",
            "karpenter.k8s.aws/instance-accelerator-count",
            "karpenter.k8s.aws/instance-accelerator-manufacturer",
            "karpenter.k8s.aws/instance-accelerator-name",
            "node.kubernetes.io/windows-build",
        ]

    def test_a_node_that_stands_there_may_have_been_launched_by_karpenter_or_not(self) -> None:
        shapes = pool(nodes="existing").shapes
        assert [shape.labels["karpenter.k8s.aws/instance-family"] for shape in shapes] == ["p4d", None]
        for shape in shapes:
            assert "karpenter.sh/nodepool" not in shape.labels
            assert shape.labels["gpu-slice/pool"] == "p"
            assert shape.labels["nvidia.com/gpu"] == "a100"
            assert shape.labels["node.kubernetes.io/instance-type"] == "p4d.24xlarge"

    def test_nodes_of_node_pools_that_are_named_are_known_to_be_theirs(self) -> None:
        shapes = pool(nodes="existing", nodePools="[a, b]").shapes
        assert [shape.labels["karpenter.sh/nodepool"] for shape in shapes] == ["a", "b"]
        assert {shape.labels["karpenter.k8s.aws/instance-category"] for shape in shapes} == {"p"}

    def test_only_reserved_nodes_are_of_a_reservation(self) -> None:
        found = pool(capacityTypes="[reserved, spot]", capacityReservations="[{id: cr-1}]").shapes
        known = ["karpenter.k8s.aws/capacity-reservation-id" in each.labels for each in found]
        assert known == [False, True]

    def test_there_is_one_kind_for_each_zone(self) -> None:
        zones = [
            (each.labels["topology.kubernetes.io/zone"], each.labels["topology.kubernetes.io/region"])
            for each in pool(zones="[us-east-1a, us-west-2-lax-1a, us-east-1-wl1-bos-wlz-1, us-gov-west-1b]").shapes
        ]
        assert zones == [
            ("us-east-1a", "us-east-1"),
            ("us-west-2-lax-1a", "us-west-2"),
            ("us-east-1-wl1-bos-wlz-1", "us-east-1"),
            ("us-gov-west-1b", "us-gov-west-1"),
        ]

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("p4d.24xlarge", ("p", "4", "p4d", "24xlarge", "false")),
            ("p6-b200.48xlarge", ("p", "6", "p6-b200", "48xlarge", "false")),
            ("gr6.4xlarge", ("gr", "6", "gr6", "4xlarge", "false")),
            ("g5g.metal", ("g", "5", "g5g", "metal", "false")),
            ("u-6tb1.metal", ("u", "1", "u-6tb1", "metal", "false")),
            ("m7i-flex.large", ("m", "7", "m7i-flex", "large", "true")),
            ("our-own", (None, None, None, None, "false")),
            ("a.b.c", (None, None, None, None, "false")),
        ],
    )
    def test_what_follows_from_the_name_of_a_type(self, name: str, expected: tuple[str | None, ...]) -> None:
        """Held against the names in Karpenter's ``instance-types.md``."""
        types = f"catalogue: {{instanceTypes: {{{name}: {{gpu: a100-40gb, gpus: 8}}}}}}\n"
        (shape,) = load(pool_text(instanceTypes=f"[{name}]"), extra=types).pools[0].shapes
        assert expected == tuple(
            shape.labels[f"karpenter.k8s.aws/instance-{what}"]
            for what in ("category", "generation", "family", "size", "capability-flex")
        )

    def test_there_is_one_kind_for_each_type_and_each_way_to_buy_it(self) -> None:
        found = pool(**{**H100, "instanceTypes": "[p5.4xlarge, p5.48xlarge]"}, capacityTypes="[spot, on-demand]")
        kinds = [
            (each.instance_type.name, each.labels["karpenter.sh/capacity-type"], each.capacity) for each in found.shapes
        ]
        assert kinds == [
            ("p5.4xlarge", "spot", {"nvidia.com/mig-1g.10gb": 7}),
            ("p5.4xlarge", "on-demand", {"nvidia.com/mig-1g.10gb": 7}),
            ("p5.48xlarge", "spot", {"nvidia.com/mig-1g.10gb": 56}),
            ("p5.48xlarge", "on-demand", {"nvidia.com/mig-1g.10gb": 56}),
        ]

    def test_a_type_that_karpenter_does_not_list_has_no_gpu_labels(self) -> None:
        shape, _ = pool(
            gpu="gb200", partition="{mig: {1g.23gb: 7}}", instanceTypes="[p6e-gb200.36xlarge]", nodes="existing"
        ).shapes
        assert shape.labels["kubernetes.io/arch"] == "arm64"
        assert not [key for key in shape.labels if key.startswith("karpenter.k8s.aws/instance-gpu-")]
