"""DeviceClasses for clusters where NVIDIA's DRA driver allocates slices, instead of the device plugin.

The pod does not change: with ``extendedResourceName`` the scheduler turns ``nvidia.com/mig-1g.5gb: 1`` into a claim.
Source: kubernetes-sigs/dra-driver-nvidia-gpu ``demo/specs/extended-resources/mig-1g-12gb.yaml``, KEP-5004.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import WHOLE_GPU, MigOffer
from webhook.render.manifest import Commented, KeyPath, labels

DRIVER = "gpu.nvidia.com"

_HEAD = """\
This needs Kubernetes with DRAExtendedResource (beta from 1.36; on in 1.37), NVIDIA's DRA driver, GPUs that are already
cut, and nodes without the device plugin: a resource must not be offered twice.
Karpenter launches no node for a claim, so this is for existing nodes."""


def device_classes(fleet: Fleet) -> Iterator[Commented]:
    """One for each profile with a resource of its own.  Under the strategy ``single`` no profile has one."""
    offers: dict[str, MigOffer] = {}
    for _, offer in (fleet.before or fleet).offers:
        if isinstance(offer, MigOffer) and offer.resource != WHOLE_GPU:
            offers.setdefault(offer.resource, offer)
    for index, (resource, offer) in enumerate(offers.items()):
        notes: dict[KeyPath, str] = {
            ("spec", "selectors"): f"A slice with this profile on any GPU, like {resource}.",
            ("spec", "extendedResourceName"): "If two classes had the same name here, one would win.",
        }
        yield Commented(_device_class(resource, offer), notes if index else {(): _HEAD} | notes)


def _device_class(resource: str, offer: MigOffer) -> dict[str, object]:
    # Where the profile has a plus, the resource has a dot.  The name of a class may contain a dot, too.
    attributes = f"device.attributes['{DRIVER}']"
    wanted = f"device.driver == '{DRIVER}' && {attributes}.type == 'mig' && {attributes}.profile == '{offer}'"
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": f"{resource.partition('/')[2]}.{DRIVER}", "labels": labels("dra")},
        "spec": {"selectors": [{"cel": {"expression": wanted}}], "extendedResourceName": resource},
    }
