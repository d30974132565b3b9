"""DeviceClasses for clusters where NVIDIA's DRA driver hands out slices, in place of the device plugin.

A pod stays as it is: with ``extendedResourceName`` the scheduler makes a claim of ``nvidia.com/mig-1g.5gb: 1``.
Source: kubernetes-sigs/dra-driver-nvidia-gpu ``demo/specs/extended-resources/mig-1g-12gb.yaml``, KEP-5004.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import WHOLE_GPU, MigOffer
from webhook.render.manifest import Commented, Path, labels

DRIVER = "gpu.nvidia.com"

_HEAD = """\
Needs Kubernetes with DRAExtendedResource (beta from 1.36; on in 1.37), NVIDIA's DRA driver, GPUs that are cut already,
and nodes without the device plugin: nobody must offer one resource twice.
Karpenter launches no node for a claim: this is for nodes that stand there."""


def device_classes(fleet: Fleet) -> Iterator[Commented]:
    """One for each profile that has a resource of its own: under the strategy ``single`` none has."""
    found: dict[str, MigOffer] = {}
    for _, offer in fleet.offers:
        if isinstance(offer, MigOffer) and offer.resource != WHOLE_GPU:
            found.setdefault(offer.resource, offer)
    for index, (resource, offer) in enumerate(found.items()):
        notes: dict[Path, str] = {
            ("spec", "selectors"): f"A slice of that name on any GPU, as {resource} is.",
            ("spec", "extendedResourceName"): "Of two classes with one name, one would win.",
        }
        yield Commented(_device_class(resource, offer), notes if index else {(): _HEAD} | notes)


def _device_class(resource: str, offer: MigOffer) -> dict[str, object]:
    # A resource may hold a dot where the profile has a plus, and so may the name of a class.
    attributes = f"device.attributes['{DRIVER}']"
    wanted = f"device.driver == '{DRIVER}' && {attributes}.type == 'mig' && {attributes}.profile == '{offer}'"
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": f"{resource.partition('/')[2]}.{DRIVER}", "labels": labels("dra")},
        "spec": {"selectors": [{"cel": {"expression": wanted}}], "extendedResourceName": resource},
    }
