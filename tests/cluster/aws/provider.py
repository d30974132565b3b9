"""Karpenter's controller for AWS as a process, and one fleet with the pools of all test fleets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import programs
from tests.cluster.aws.cloud import Cloud
from tests.cluster.aws.server import ANOTHER, BOTTLEROCKET, REGION
from tests.cluster.cluster import Cluster
from tests.cluster.control_plane import Starter, free_ports
from tests.stories import FLEETS
from tests.waiting import wait_for
from webhook.cli import files
from webhook.fleet.fleet import Fleet

DOCS = Path(__file__).parents[3] / "docs"

MORE = f"""\
pools:
- name: taints
  gpu: h200
  partition: {{mig: {{3g.71gb: 2}}}}
  instanceTypes: [p5en.48xlarge]
  taints: [{{key: dedicated, value: research, effect: NoSchedule}}, {{key: gpu, effect: NoExecute}}]
- name: brocket
  gpu: a100-40gb
  partition: {{mig: {{1g.5gb: 7}}}}
  strategy: single
  instanceTypes: [p4d.24xlarge]
  ami: bottlerocket@v{BOTTLEROCKET}
- name: brocket-turns
  gpu: a10g
  partition: {{timeSlicing: {{replicas: 4}}}}
  instanceTypes: [g5.xlarge]
  ami: bottlerocket@v{BOTTLEROCKET}
- name: company
  gpu: a100-40gb
  partition: {{mig: {{2g.10gb: 3}}}}
  instanceTypes: [p4d.24xlarge]
  ami: [{{name: "amazon-eks-node-al2023-x86_64-nvidia-*"}}]
  subnets: [{{tags: {{karpenter.sh/discovery: "*"}}}}]
  securityGroups: [{{tags: {{karpenter.sh/discovery: "*"}}}}]
  tags: {{team: ml, cost-center: "42"}}
  nodeLabels: {{example.com/team: ml}}
  budgets: [{{nodes: "1"}}, {{nodes: "0", schedule: "0 9 * * mon-fri", duration: 8h}}]
  terminationGracePeriod: 2h
  nodePool: {{template: {{metadata: {{annotations: {{example.com/owner: ml}}}}}}}}
  nodeClass:
    metadataOptions: {{httpTokens: required, httpPutResponseHopLimit: 1}}
    kubelet: {{maxPods: 58, systemReserved: {{memory: 1Gi}}}}
    blockDeviceMappings:
    - {{deviceName: /dev/xvda, ebs: {{volumeSize: 200Gi, volumeType: gp3, encrypted: true, iops: 6000}}}}
    userData: |
      #!/bin/bash
      echo 'HTTPS_PROXY=http://proxy.example.com:3128' >>/etc/environment
- name: operator
  gpu: a100-40gb
  partition: {{mig: {{3g.20gb: 2}}}}
  instanceTypes: [p4d.24xlarge]
  partitionedBy: gpu-operator
- name: reserved
  gpu: h100-80gb
  partition: {{mig: {{1g.10gb: 7}}}}
  instanceTypes: [p5.48xlarge]
  capacityTypes: [reserved]
  capacityReservations: [{{tags: {{team: "*"}}, ownerID: "{ANOTHER}"}}]
- name: unreserved
  gpu: h100-80gb
  partition: {{mig: {{1g.10gb: 7}}}}
  instanceTypes: [p5.48xlarge]
  capacityTypes: [reserved]
  capacityReservations: [{{id: cr-0123456789abcdeff}}]
- name: full
  gpu: h100-80gb
  partition: {{mig: {{1g.10gb: 7}}}}
  instanceTypes: [p5.48xlarge]
  capacityTypes: [reserved]
  capacityReservations: [{{id: cr-0c}}]
"""


def recipe() -> str:
    """The fleet that the documentation shows for what companies demand."""
    shown = [
        block.split("\n```")[0] for page in sorted(DOCS.glob("*.md")) for block in page.read_text().split("```yaml\n")
    ]
    (fleet,) = [each for each in shown if each.startswith("apiVersion: gpu-slice/v1") and "\ndefaults:" in each]
    return fleet


def all_pools() -> str:
    """A fleet file with the pools of every test fleet, each named after its fleet, of `MORE`, and of `recipe`."""
    texts = {name: path.read_bytes() if path else files.default_fleet_text() for name, path in FLEETS.items()}
    texts |= {"more": f"apiVersion: gpu-slice/v1\n{MORE}".encode(), "recipe": recipe().encode()}
    (theirs,) = [each for each in pools_of(texts["recipe"]) if "mig" in each["partition"]]
    pools = [pool | {"name": f"{name}-{pool['name']}"} for name, text in texts.items() for pool in pools_of(text)]
    pools.append(theirs | {"name": "recipe-operator", "partitionedBy": "gpu-operator"})
    return yaml.safe_dump({"apiVersion": "gpu-slice/v1", "pools": pools})


def pools_of(text: bytes) -> list[dict[str, Any]]:
    """The pools of a fleet as they are written, with what they have from its `defaults`."""
    return [pool.entry.model_dump(by_alias=True, exclude_unset=True) for pool in files.load_fleet(text).pools]


def log(cluster: Cluster) -> str:
    """What the controller has logged since it was started last."""
    return (cluster.plane.logs / "controller.log").read_text(errors="replace")


@contextmanager
def controller(
    cluster: Cluster, cloud: Cloud, fleet: Fleet, home: Path, gates: str = "NodeOverlay=true", *, dra: bool = False
) -> Iterator[None]:
    """Karpenter, until the end of the block; with *dra* as the chart's ``settings.enableDRA`` starts it."""
    program = programs.karpenter_aws() / "controller"
    home.mkdir(parents=True, exist_ok=True)
    metrics, health = free_ports(2)
    (home / "metrics-port").write_text(str(metrics))
    environment = {
        "HOME": str(home),
        "KUBECONFIG": str(cluster.plane.kubeconfig),
        "SYSTEM_NAMESPACE": "kube-system",
        "CLUSTER_NAME": fleet.cluster,
        "CLUSTER_ENDPOINT": cluster.plane.url,
        "AWS_ENDPOINT_URL": cloud.url,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "ISOLATED_VPC": "true",  # no price list, which moto has not
        "FEATURE_GATES": gates,
        "DISABLE_LEADER_ELECTION": "true",
        "METRICS_PORT": str(metrics),
        "HEALTH_PROBE_PORT": str(health),
        "BATCH_IDLE_DURATION": "200ms",
        "LOG_LEVEL": "debug",
        "IGNORE_DRA_REQUESTS": str(not dra).lower(),
        "AWS_FEATURE_GATES": "DRANVIDIAGPU=true,DRAEFA=true" if dra else "DRANVIDIAGPU=false,DRAEFA=false",
    }
    with ExitStack() as stack:
        process = Starter(stack, cluster.plane.logs, environment)(program)
        wait_for("Karpenter runs", lambda: process.poll() is not None or "Starting workers" in log(cluster))
        yield
        assert process.poll() is None, log(cluster)[-2000:]
