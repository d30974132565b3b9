"""Instance types, labels and taints that are refused."""

from __future__ import annotations

import pytest

from tests.unit.fleet_text import H100, pool_text, text

ROWS = [
    # instance types
    pytest.param(
        text(pool_text(instanceTypes="p4d.24xlarge")),
        "pools[0].instanceTypes",
        "'p4d.24xlarge' is a string",
        "Write a list",
        id="one, no list",
    ),
    pytest.param(
        text(pool_text(instanceTypes="[]")),
        "pools[0].instanceTypes",
        "is empty",
        "Add at least one entry",
        id="no instance type",
    ),
    pytest.param(
        text(pool_text(instanceTypes="[p4d.24xlrge]")),
        "pools[0].instanceTypes[0]",
        "'p4d.24xlrge' is not in the catalogue",
        "'p4d.24xlarge', or add it under catalogue.instanceTypes",
        id="one misspelt",
    ),
    pytest.param(
        text(pool_text(instanceTypes="[p4d.24xlarge, zz]")),
        "pools[0].instanceTypes[1]",
        "'zz' is not in the catalogue",
        "Add it under catalogue.instanceTypes",
        id="one like no other",
    ),
    pytest.param(
        text(pool_text(instanceTypes="[p4de.24xlarge]")),
        "pools[0].instanceTypes[0]",
        "'p4de.24xlarge' carries a100-80gb, not a100-40gb",
        "'gpu: a100-80gb'",
        id="the larger A100",
    ),
    pytest.param(
        text(pool_text(instanceTypes="[p4d.24xlarge, p4d.24xlarge]")),
        "pools[0].instanceTypes[1]",
        "'p4d.24xlarge' is given twice",
        "once",
        id="one twice",
    ),
    pytest.param(
        text(pool_text(gpu="l4", partition="{mps: {replicas: 2}}", instanceTypes="[g6.xlarge, gr6f.4xlarge]")),
        "pools[0].instanceTypes[1]",
        "'gr6f.4xlarge' has only a fraction of a GPU",
        "whole GPU",
        id="a fraction of a GPU",
    ),
    pytest.param(
        text(
            pool_text(**{**H100, "instanceTypes": "[p5.48xlarge, x1.large]"}),
            extra="catalogue: {instanceTypes: {x1.large: {gpu: h100-80gb, gpus: 1, architecture: arm64}}}\n",
        ),
        "pools[0].instanceTypes",
        "'p5.48xlarge' is amd64 and 'x1.large' is arm64",
        "a pool for each",
        id="two architectures",
    ),
    # labels and taints
    pytest.param(
        text(pool_text(labels='{"a b": x}')),
        "pools[0].labels[a b]",
        "'a b' is not well formed",
        "Write a label key, such as 'nvidia.com/gpu'",
        id="a bad label key",
    ),
    pytest.param(
        text(pool_text(labels="{a: x y}")),
        "pools[0].labels.a",
        "'x y' is not well formed",
        "Use letters, digits, '-', '_' and '.', at most 63 characters, and quote numbers",
        id="a bad label value",
    ),
    pytest.param(
        text(pool_text(labels="{a: 1g.5gb+me}")),
        "pools[0].labels.a",
        "'1g.5gb+me' is not well formed",
        "Use letters, digits, '-', '_' and '.', at most 63 characters, and quote numbers",
        id="a plus in a label",
    ),
    pytest.param(
        text(pool_text(labels="{a: 1}")),
        "pools[0].labels.a",
        "1 is a number",
        "Write a string: put it in quotes",
        id="a number in a label",
    ),
    pytest.param(
        text(pool_text(labels="{a: yes}")),
        "pools[0].labels.a",
        "true is a boolean",
        "Write a string: put it in quotes",
        id="yes is true",
    ),
    *(
        pytest.param(
            text(pool_text(labels=f"{{{key}: x}}")),
            f"pools[0].labels[{key}]",
            "this label is set by Karpenter, the cloud or gpu-slice",
            "gpu-slice/pool",
            id=f"a label that others set: {key}",
        )
        for key in (
            "karpenter.sh/nodepool",
            "karpenter.k8s.aws/instance-gpu-name",
            "gpu-slice/pool",
            "kubernetes.io/arch",
            "node.kubernetes.io/instance-type",
            "beta.kubernetes.io/instance-type",
        )
    ),
    pytest.param(
        text(pool_text(taints="[]")),
        "pools[0].taints",
        "without a taint any pod may be scheduled to these nodes",
        "Remove 'taints' for the default, or add 'untainted: true'",
        id="no taint by error",
    ),
    pytest.param(
        text(pool_text(taints="[{key: a, effect: PreferNoSchedule}]")),
        "pools[0].taints",
        "PreferNoSchedule keeps no pod away: any pod may be scheduled to these nodes",
        "or add 'untainted: true'",
        id="a taint that keeps no pod away",
    ),
    pytest.param(
        text(pool_text(labels="{topology.kubernetes.io/zone: us-east-1a}")),
        "pools[0].labels[topology.kubernetes.io/zone]",
        "this label is set by Karpenter, the cloud or gpu-slice",
        "Write 'zones: [NAME]'",
        id="a zone as a label",
    ),
    *(
        pytest.param(
            text(pool_text(zones=f"[{zone}]")),
            "pools[0].zones[0]",
            f"'{zone}' is not well formed",
            "such as 'us-east-1a', and not a region or the id of a zone",
            id=f"no zone: {zone}",
        )
        for zone in ("us-east-1", "use1-az1", "a", "us-east-1A", "us-east-1aa")
    ),
    pytest.param(text(pool_text(zones="[]")), "pools[0].zones", "is empty", "Add at least one entry", id="no zones"),
    pytest.param(
        text(pool_text(zones="[us-east-1a, us-east-1b, us-east-1a]")),
        "pools[0].zones[2]",
        "'us-east-1a' is given twice",
        "Give it once",
        id="a zone twice",
    ),
    pytest.param(
        text(pool_text(nodes="existing", labels="{gpu-slice/pool: p}")),
        "pools[0].labels[gpu-slice/pool]",
        "this label is set by",
        "gpu-slice/pool is set to the pool's name",
        id="our own label on existing nodes",
    ),
    *(
        pytest.param(
            text(pool_text(nodes="existing", labels=f"{{{key}: x}}")),
            f"pools[0].labels[{key}]",
            f"'p4d.24xlarge' has '{value}' there, not 'x'",
            "Correct it, or instanceTypes",
            id=f"what the type contradicts: {key}",
        )
        for key, value in (
            ("node.kubernetes.io/instance-type", "p4d.24xlarge"),
            ("beta.kubernetes.io/arch", "amd64"),
            ("kubernetes.io/os", "linux"),
            ("karpenter.k8s.aws/instance-family", "p4d"),
        )
    ),
    pytest.param(
        text(pool_text(untainted="true")), "pools[0].untainted", "default taint", "'taints: []'", id="untainted alone"
    ),
    pytest.param(
        text(pool_text(untainted="true", taints="[{key: a}]")),
        "pools[0].untainted",
        "the pool has taints",
        "'taints: []'",
        id="untainted with taints",
    ),
    pytest.param(
        text(pool_text(taints="[{value: a}]")), "pools[0].taints[0].key", "is missing", "Add it", id="a taint's key"
    ),
    pytest.param(
        text(pool_text(taints="[{key: a b}]")),
        "pools[0].taints[0].key",
        "'a b' is not well formed",
        "Write a label key, such as 'nvidia.com/gpu'",
        id="a taint's bad key",
    ),
    pytest.param(
        text(pool_text(taints="[{key: a, value: true}]")),
        "pools[0].taints[0].value",
        "true is a boolean",
        "Write a string: put it in quotes",
        id="a taint's value without quotes",
    ),
    pytest.param(
        text(pool_text(taints="[{key: a, effect: NoWay}]")),
        "pools[0].taints[0].effect",
        "'NoWay' is not known",
        "'NoSchedule'",
        id="an effect that Kubernetes has not",
    ),
]
