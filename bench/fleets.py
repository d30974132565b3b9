"""A fleet file of a large company: teams with pools of their own, and namespaces that may use some of them."""

from __future__ import annotations

KINDS = (
    ("a100-40gb", "mig: {1g.5gb: 7}", "p4d.24xlarge", "1g.5gb"),
    ("a100-40gb", "mig: {3g.20gb: 1, 2g.10gb: 1, 1g.5gb: 2}", "p4d.24xlarge", "2g.10gb"),
    ("a100-80gb", "mig: {1g.10gb: 7}", "p4de.24xlarge", "1g.10gb"),
    ("a100-80gb", "mig: {3g.40gb: 2}", "p4de.24xlarge", "3g.40gb"),
    ("h100-80gb", "mig: {1g.10gb: 7}", "p5.48xlarge", "1g.10gb"),
    ("h100-80gb", "mig: {2g.20gb: 3, 1g.10gb: 1}", "p5.48xlarge", "2g.20gb"),
    ("h200", "mig: {1g.18gb: 7}", "p5en.48xlarge", "1g.18gb"),
    ("h200", "mig: {3g.71gb: 2}", "p5en.48xlarge", "3g.71gb"),
    ("b200", "mig: {1g.23gb: 7}", "p6-b200.48xlarge", "1g.23gb"),
    ("l4", "timeSlicing: {replicas: 4}", "g6.xlarge, g6.2xlarge", "shared"),
)
"""Each team has one pool of each: the GPU, how it is divided, the instance types, and a slice that it has."""

SLICES = tuple(dict.fromkeys(slice for *_, slice in KINDS))

OWN = "project-0005"
"""A namespace that may use two slices of three of the 500 pools, among them 1g.5gb."""
SLICED = "research"
"""One that may use any pool, but only `SLICES`."""
FREE = "anything"
"""One without an entry."""


def name_of(index: int) -> str:
    """The name of a pool."""
    return f"team-{index // len(KINDS):02d}-{KINDS[index % len(KINDS)][0]}-{index % len(KINDS)}"


def fleet_file(pools: int, namespaces: int) -> str:
    """A fleet file with so many of both."""
    lines = ["apiVersion: gpu-slice/v1", "cluster: large", "pools:"]
    for index in range(pools):
        gpu, partition, types, _ = KINDS[index % len(KINDS)]
        lines += [
            f"  - name: {name_of(index)}",
            f"    gpu: {gpu}",
            f"    partition: {{{partition}}}",
            f"    instanceTypes: [{types}]",
            f"    nodeLabels: {{team: team-{index // len(KINDS):02d}}}",
        ]
    lines += ["namespaces:", f"  {SLICED}: {{slices: [{', '.join(SLICES)}]}}"]
    for index in range(namespaces - 1):
        own = sorted({(index * 7 + step * 5) % pools for step in range(3)})
        slices = dict.fromkeys(KINDS[each % len(KINDS)][3] for each in own)
        default = f", default: {KINDS[own[0] % len(KINDS)][3]}" if index % 5 == 0 else ""
        names = ", ".join(map(name_of, own))
        lines.append(f"  project-{index:04d}: {{pools: [{names}], slices: [{', '.join(slices)}]{default}}}")
    return "\n".join(lines) + "\n"
