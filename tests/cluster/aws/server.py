"""moto's AWS as a process: ``python -m tests.cluster.aws.server PORT CLUSTER KUBERNETES TYPE...``.

What moto lacks is put in from here: EKS' images and the parameters that name them, capacity reservations, and of what
a fleet launches its security groups and its reservation.  What the examples of the documentation name is there, too.
Paths below ``/test`` are for the tests: the calls so far, the instances, the faults.
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
from unittest.mock import patch
from urllib.parse import parse_qsl

ACCOUNT, ANOTHER, REGION = "123456789012", "210987654321", "us-west-2"
"""moto's own account, one that shares reservations, and the only region whose data have p4d, p4de, p5 and p5e."""
AL2023, BOTTLEROCKET = "v20260724", "1.57.0"
GOLDEN = "company-golden-al2023-nvidia"
"""The company's own images, tagged ``golden: al2023-nvidia``."""
SUBNET, PRIVATE, GROUP = "subnet-0123456789abcdef0", "subnet-0fedcba9876543210", "gpu-nodes"
"""In us-west-2a and -2b, the second tagged ``tier: private``; and a security group by its name."""


def _reservation(number: str, instance_type: str, zone: str, owner: str = ACCOUNT, **more: Any) -> dict[str, Any]:
    return {
        "CapacityReservationId": f"cr-{number}",
        "OwnerId": owner,
        "InstanceType": instance_type,
        "AvailabilityZone": f"{REGION}{zone}",
        "State": "active",
        "InstanceMatchCriteria": "targeted",
        "ReservationType": "default",
        "TotalInstanceCount": 4,
        "AvailableInstanceCount": 4,
        **more,
    }


TEAM = {"Tags": [{"Key": "team", "Value": "research"}]}
BLOCK = {"ReservationType": "capacity-block", "EndDate": datetime(2999, 1, 1, tzinfo=UTC)}
RESERVATIONS = [
    _reservation("0123456789abcdef0", "p4d.24xlarge", "b"),
    _reservation("0a", "p5.48xlarge", "a", **TEAM),
    _reservation("0b", "p5.48xlarge", "c", ANOTHER, **TEAM, **BLOCK),
    _reservation("0c", "p5.48xlarge", "a", AvailableInstanceCount=0),
]


def reserved(ids: Container[str], filters: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    """What EC2's DescribeCapacityReservations answers."""
    for each in RESERVATIONS:
        has = {
            "state": each["State"],
            "owner-id": each["OwnerId"],
            "instance-match-criteria": each["InstanceMatchCriteria"],
            **{f"tag:{tag['Key']}": tag["Value"] for tag in each.get("Tags", ())},
        }
        keys = [tag["Key"] for tag in each.get("Tags", ())]
        fits = (
            bool({*keys} & {*want}) if name == "tag-key" else has.get(name) in want for name, want in filters.items()
        )
        if (not ids or each["CapacityReservationId"] in ids) and all(fits):
            yield each


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
        number += 1
        yield "", *_image(number, f"{GOLDEN}-{arch}", arch, ACCOUNT)


def _image(number: int, name: str, arch: str, owner: str = "602401143452") -> tuple[str, dict[str, Any]]:
    ami = f"ami-{number:017x}"
    return ami, {
        "ami_id": ami,
        "name": name,
        "description": name,
        "owner_id": owner,
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
    """What ``docs/eks.md`` asks for before one begins, what its examples name, and EKS' images."""
    from moto.backends import get_backend
    from moto.core.responses import ActionResult
    from moto.ec2.models import instance_types
    from moto.ec2.models.fleets import Fleet
    from moto.ec2.responses import EC2Response
    from moto.ssm.models import Parameter

    # Karpenter looks at each type for each pair of a pool and an overlay: with all, and many pools, for minutes.
    known = instance_types.InstanceTypeBackend.instance_types
    known[:] = [each for each in known if each.name in types]
    for regions in instance_types.INSTANCE_TYPE_OFFERINGS.values():
        regions[REGION] = [each for each in regions[REGION] if each["InstanceType"] in types]
    now = datetime.now(UTC)
    parameters = get_backend("ssm")[ACCOUNT][REGION]._parameters
    ec2 = get_backend("ec2")[ACCOUNT][REGION]
    for parameter, ami, _ in images(kubernetes):
        if parameter:
            parameters[parameter].append(Parameter(ACCOUNT, parameter, ami, "String", None, None, None, now, 1, "text"))
        else:
            ec2.create_tags([ami], {"golden": "al2023-nvidia"})
    subnets = [subnet.id for subnet in ec2.get_default_subnets().values()]
    (group, *_) = [group.id for group in ec2.describe_security_groups(filters={"group-name": ["default"]})]
    ec2.create_tags([*subnets, group], {"karpenter.sh/discovery": cluster})
    vpc = ec2.get_default_vpc().id
    for number, (name, zone) in enumerate([(SUBNET, "a"), (PRIVATE, "b")]):
        with patch("moto.ec2.models.subnets.random_subnet_id", lambda name=name: name):
            ec2.create_subnet(vpc, f"172.31.{128 + 16 * number}.0/20", availability_zone=f"{REGION}{zone}")
    ec2.create_tags([PRIVATE], {"tier": "private"})
    ec2.create_security_group(GROUP, GROUP, vpc)
    get_backend("iam")[ACCOUNT]["aws"].create_role(f"KarpenterNodeRole-{cluster}", "{}", "/", None, "", [], None)
    get_backend("eks")[ACCOUNT][REGION].create_cluster(
        cluster,
        f"arn:aws:iam::{ACCOUNT}:role/cluster",
        {"subnetIds": subnets, "securityGroupIds": [group]},
        version=kubernetes,
        kubernetes_network_config={"serviceIpv4Cidr": "10.100.0.0/16"},
    )

    def described(self: EC2Response) -> ActionResult:
        found = reserved(self._get_param("CapacityReservationIds", []), self._filters_from_querystring())
        return ActionResult({"CapacityReservations": list(found)})

    EC2Response.describe_capacity_reservations = described

    begin = Fleet.__init__

    def begun(fleet: Fleet, *given: Any) -> None:
        """A block of capacity, which moto does not sell, is bought on demand."""
        begin(fleet, *({**each, "DefaultTargetCapacityType": "on-demand"} if block(each) else each for each in given))

    def block(given: Any) -> bool:
        return isinstance(given, dict) and given.get("DefaultTargetCapacityType") == "capacity-block"

    def as_asked(create: Callable[[Fleet, float], Any]) -> Callable[[Fleet, float], Any]:
        """Without its groups an instance is drifted to Karpenter, and without its reservation it is not reserved."""

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
                    specified = data.get("CapacityReservationSpecification", {})
                    instance.capacity_reservation_specification = specified
                    instance.capacity_reservation_id = specified.get("CapacityReservationTarget", {}).get(
                        "CapacityReservationId"
                    )
                    if "InstanceMarketOptions" in data and instance.capacity_reservation_id:
                        instance.lifecycle = data["InstanceMarketOptions"]["MarketType"]
            return result

        return created

    Fleet.__init__ = begun
    Fleet.create_on_demand_requests = as_asked(Fleet.create_on_demand_requests)
    Fleet.create_spot_requests = as_asked(Fleet.create_spot_requests)


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
            "groups": [group.name for group in instance.security_groups],
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
