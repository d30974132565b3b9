"""moto's AWS as a process: ``python -m tests.cluster.aws.server PORT CLUSTER KUBERNETES TYPE...``.

What moto lacks is put in from here: EKS' images, the parameters that name them, and the security groups of what a fleet
launches.  Paths below ``/test`` are for the tests: the calls so far, the instances, the faults.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Container, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

ACCOUNT, REGION = "123456789012", "us-west-2"
"""moto's own account, and the only region whose data have p4d, p4de, p5 and p5e."""
AL2023, BOTTLEROCKET = "v20260724", "1.57.0"


def images(kubernetes: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """EKS' images: the parameter that names each, its id, and what moto is to know of it."""
    number = 0
    for arch in ("x86_64", "arm64"):
        for variant in ("standard", "nvidia", "neuron"):
            name = f"amazon-eks-node-al2023-{arch}-{variant}-{kubernetes}-{AL2023}"
            folder = f"/aws/service/eks/optimized-ami/{kubernetes}/amazon-linux-2023/{arch}/{variant}"
            number += 1
            yield f"{folder}/{name}/image_id", *_image(number, name, arch)
        for variant in ("", "-nvidia"):
            name = f"bottlerocket-aws-k8s-{kubernetes}{variant}-{arch}-v{BOTTLEROCKET}-00000000"
            number += 1
            folder = f"/aws/service/bottlerocket/aws-k8s-{kubernetes}{variant}/{arch}/{BOTTLEROCKET}"
            yield f"{folder}/image_id", *_image(number, name, arch)


def _image(number: int, name: str, arch: str) -> tuple[str, dict[str, Any]]:
    ami = f"ami-{number:017x}"
    return ami, {
        "ami_id": ami,
        "name": name,
        "description": name,
        "owner_id": "602401143452",
        "public": True,
        "virtualization_type": "hvm",
        "architecture": arch,
        "state": "available",
        "platform": None,
        "image_type": "machine",
        "hypervisor": "xen",
        "root_device_name": "/dev/xvda",
        "root_device_type": "ebs",
        "sriov": "simple",
        "creation_date": "2026-07-24T00:00:00.000Z",
    }


def seed(cluster: str, kubernetes: str, types: Container[str]) -> None:
    """What ``docs/eks.md`` asks for before one begins, and EKS' images."""
    from moto.backends import get_backend
    from moto.ec2.models import instance_types
    from moto.ec2.models.fleets import Fleet
    from moto.ssm.models import Parameter

    # Karpenter looks at each type for each pair of a pool and an overlay: with all, and many pools, for minutes.
    known = instance_types.InstanceTypeBackend.instance_types
    known[:] = [each for each in known if each.name in types]
    for regions in instance_types.INSTANCE_TYPE_OFFERINGS.values():
        regions[REGION] = [each for each in regions[REGION] if each["InstanceType"] in types]
    now = datetime.now(UTC)
    parameters = get_backend("ssm")[ACCOUNT][REGION]._parameters
    for parameter, ami, _ in images(kubernetes):
        parameters[parameter].append(Parameter(ACCOUNT, parameter, ami, "String", None, None, None, now, 1, "text"))
    ec2 = get_backend("ec2")[ACCOUNT][REGION]
    subnets = [subnet.id for subnet in ec2.get_default_subnets().values()]
    (group, *_) = [group.id for group in ec2.describe_security_groups(filters={"group-name": ["default"]})]
    ec2.create_tags([*subnets, group], {"karpenter.sh/discovery": cluster})
    get_backend("iam")[ACCOUNT]["aws"].create_role(f"KarpenterNodeRole-{cluster}", "{}", "/", None, "", [], None)
    get_backend("eks")[ACCOUNT][REGION].create_cluster(
        cluster,
        f"arn:aws:iam::{ACCOUNT}:role/cluster",
        {"subnetIds": subnets, "securityGroupIds": [group]},
        version=kubernetes,
        kubernetes_network_config={"serviceIpv4Cidr": "10.100.0.0/16"},
    )

    def with_groups(create: Callable[[Fleet, float], Any]) -> Callable[[Fleet, float], Any]:
        """Without its groups an instance is drifted to Karpenter."""

        def created(fleet: Fleet, weight: float) -> Any:
            result = create(fleet, weight)
            for config in fleet.launch_template_configs:
                name = config["LaunchTemplateSpecification"]["LaunchTemplateName"]
                data = ec2.get_launch_template_by_name(name).default_version().data
                wanted = [each for interface in data["NetworkInterfaces"] for each in interface["Groups"]]
                found = [ec2.get_security_group_from_id(each) for each in wanted]
                for instance in [
                    *(each["instance"] for each in fleet.on_demand_instances),
                    *(each.instance for each in fleet.spot_requests),
                ]:
                    instance.security_groups = found
            return result

        return created

    Fleet.create_on_demand_requests = with_groups(Fleet.create_on_demand_requests)
    Fleet.create_spot_requests = with_groups(Fleet.create_spot_requests)


MESSAGES = {
    "InsufficientInstanceCapacity": "We currently do not have sufficient {type} capacity in the Availability Zone you "
    "requested ({zone}). Our system will be working on provisioning additional capacity.",
    "VcpuLimitExceeded": "You have requested more vCPU capacity than your current vCPU limit of 0 allows for the "
    "instance bucket that the specified instance type belongs to. Please visit "
    "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.",
    "UnauthorizedOperation": "You are not authorized to perform this operation.",
}
"""What EC2 says with its codes."""


class Recorder:
    """Answers below ``/test``, refuses what it was told to, and hands the rest to *app*, with a note."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self.app = app
        self.calls: list[dict[str, str]] = []
        self.faults: dict[str, str] = {}

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        path = environ["PATH_INFO"]
        if path == "/test/faults" and body:
            self.faults = json.loads(body)
        if path.startswith("/test/"):
            start("200 OK", [("Content-Type", "application/json")])
            answer = {
                "calls": lambda: self.calls,
                "instances": lambda: list(instances()),
                "faults": lambda: self.faults,
            }
            return [json.dumps(answer[path.removeprefix("/test/")]()).encode()]
        form = dict(parse_qsl(body.decode(errors="replace"))) if b"Action=" in body else {}
        if form:
            self.calls.append(form)
        if code := self.faults.get(form.get("Action", "")):
            status, text = fault(code, form)
            start(status, [("Content-Type", "text/xml")])
            return [text.encode()]
        return self.app(environ, start)


def fault(code: str, form: dict[str, str]) -> tuple[str, str]:
    """How EC2 refuses: the call as a whole, or in its answer each override of a fleet."""
    if code == "UnauthorizedOperation":
        error = f"<Error><Code>{code}</Code><Message>{MESSAGES[code]}</Message></Error>"
        return "403 Forbidden", f"<Response><Errors>{error}</Errors><RequestID>1</RequestID></Response>"
    if form.get("DryRun") == "true":
        error = "<Error><Code>DryRunOperation</Code><Message>Request would have succeeded.</Message></Error>"
        return "412 Precondition Failed", f"<Response><Errors>{error}</Errors><RequestID>1</RequestID></Response>"
    items = []
    for key, instance_type in form.items():
        if not (found := re.fullmatch(r"(LaunchTemplateConfigs\.\d+\.Overrides\.\d+)\.InstanceType", key)):
            continue
        zone = form.get(f"{found[1]}.AvailabilityZone", "")
        subnet = form.get(f"{found[1]}.SubnetId", "")
        items.append(
            "<item><launchTemplateAndOverrides><launchTemplateSpecification/><overrides>"
            f"<instanceType>{instance_type}</instanceType><subnetId>{subnet}</subnetId>"
            f"<availabilityZone>{zone}</availabilityZone></overrides></launchTemplateAndOverrides>"
            f"<lifecycle>{form.get('TargetCapacitySpecification.DefaultTargetCapacityType', 'on-demand')}</lifecycle>"
            f"<errorCode>{code}</errorCode>"
            f"<errorMessage>{MESSAGES[code].format(type=instance_type, zone=zone)}</errorMessage></item>"
        )
    return "200 OK", (
        '<CreateFleetResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>1</requestId>'
        f"<fleetId>fleet-0</fleetId><errorSet>{''.join(items)}</errorSet><fleetInstanceSet/></CreateFleetResponse>"
    )


def instances() -> Iterator[dict[str, Any]]:
    """Every instance that was ever launched."""
    from moto.backends import get_backend

    ec2 = get_backend("ec2")[ACCOUNT][REGION]
    for instance in ec2.all_instances():
        yield {
            "id": instance.id,
            "type": instance.instance_type,
            "zone": instance.placement.availability_zone,
            "subnet": instance.subnet_id,
            "image": ec2.amis[instance.image_id].name,
            "architecture": instance.architecture,
            "state": instance.state,
            "userData": str(instance.user_data or ""),
            "tags": {tag["key"]: tag["value"] for tag in instance.get_tags()},
        }


def main(port: int, cluster: str, kubernetes: str, *types: str) -> None:
    """Serve until killed."""
    with tempfile.TemporaryDirectory() as folder:
        amis = Path(folder) / "amis.json"
        amis.write_text(json.dumps([image for _, _, image in images(kubernetes)]))
        os.environ |= {"MOTO_AMIS_PATH": str(amis), "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server

        seed(cluster, kubernetes, types)
    app = Recorder(DomainDispatcherApplication(create_backend_app))
    make_server("127.0.0.1", port, app, threaded=True, request_handler=MotoRequestHandler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
