"""What a node does when it boots, before its kubelet starts: ``userData`` of an EC2NodeClass.

GPUs are cut at every boot, because slices do not survive a reboot.  On AL2023 a script does it (``cut-gpus.sh``).
cloud-init runs the parts of ``userData`` once in an instance's life and blocks ``nodeadm-run.service``, which starts
the kubelet.  The part installs a systemd unit that does the same on every later boot.  Source: awslabs
amazon-eks-ami ``templates/al2023/runtime/rootfs/etc/systemd/system/nodeadm-run.service``.

A node is replaced when its ``userData`` changes.  So the script and the unit are sent without their comments, and a
test holds what is sent to the byte.

Bottlerocket cuts its GPUs itself, and time-sliced GPUs are not cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from webhook.fleet.check import bottlerocket_key
from webhook.fleet.pool import MigOffer, Pool

BOUNDARY = "gpu-slice"

_PART = """\
#!/bin/bash
mkdir -p /etc/gpu-slice /usr/local/sbin
cat >/etc/gpu-slice/cut.env <<'EOF'
LAYOUT={layout}
EOF
cat >/usr/local/sbin/gpu-slice-cut <<'EOF'
{script}EOF
cat >/etc/systemd/system/gpu-slice-cut.service <<'EOF'
{unit}EOF
chmod 755 /usr/local/sbin/gpu-slice-cut
systemctl daemon-reload
systemctl enable gpu-slice-cut.service
# Does not return where the cut fails, and so neither does cloud-init, for which the kubelet waits.
systemctl start gpu-slice-cut.service
# Returns early only where the unit could not even be tried.
until systemctl is-active --quiet gpu-slice-cut.service; do
  echo "gpu-slice-cut: this node will not join: the unit did not run" | tee /dev/console
  sleep 60
done
"""
_MIME = """\
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="{boundary}"

{parts}--{boundary}--
"""
_COMMENT = re.compile(r"^[ ]*#(?!!).*\n|[ ]{4}#.*$", re.MULTILINE)
"""A line of its own, but for the first one's ``#!``, or four blanks after what it is about."""


@dataclass(frozen=True, slots=True)
class BootFiles:
    """The two files of this folder that an AL2023 node gets."""

    script: str
    unit: str


def user_data(pool: Pool, files: BootFiles) -> str | None:
    """The ``userData`` of the nodes of *pool*; None if there is none.

    What the fleet adds comes first: a node whose GPUs cannot be cut runs nothing after our own part.
    """
    added: str | None = pool.entry.node_class.get("userData")
    if pool.entry.bottlerocket:
        return _bottlerocket(pool) + (f"\n{added}" if added else "")
    if pool.entry.partition.mig is None or pool.entry.by_operator:
        return added
    part = _PART.format(layout=",".join(layout(pool)), script=files.script, unit=files.unit)
    parts = [_COMMENT.sub("", part)]
    if added:
        parts.insert(0, added)
    return _MIME.format(boundary=BOUNDARY, parts="".join(map(_mime_part, parts)))


def _mime_part(text: str) -> str:
    """A part by what it begins with: a script, or a NodeConfig of nodeadm."""
    kind = "text/x-shellscript" if text.startswith("#!") else "application/node.eks.aws"
    return f'--{BOUNDARY}\nContent-Type: {kind}; charset="us-ascii"\n\n{text}\n'


def layout(pool: Pool) -> list[str]:
    """The profiles of one GPU, each repeated by its count, the largest first.

    The driver uses the next free placement, and a small slice in the wrong placement leaves no room for a large one.
    """
    offers = [offer for offer in pool.offers if isinstance(offer, MigOffer)]
    offers.sort(key=lambda offer: (-offer.profile.size, -offer.profile.compute_slices))
    return [str(offer) for offer in offers for _ in range(offer.per_gpu)]


def _bottlerocket(pool: Pool) -> str:
    """Settings for Bottlerocket's own device plugin.  Source: ``settings.kubelet-device-plugins``, 1.34 and 1.54."""
    partition = pool.entry.partition
    nvidia = "settings.kubelet-device-plugins.nvidia"
    if partition.mig is not None:
        (profile,) = partition.mig
        key = bottlerocket_key(pool.gpu)
        return f'[{nvidia}]\ndevice-partitioning-strategy = "mig"\n\n[{nvidia}.mig.profile]\n"{key}" = "{profile}"\n'
    name, sharing = ("time-slicing", partition.time_slicing) if partition.time_slicing else ("mps", partition.mps)
    assert sharing is not None
    return (
        f'[{nvidia}]\ndevice-sharing-strategy = "{name}"\n\n[{nvidia}.{name}]\nreplicas = {sharing.replicas}\n'
        "rename-by-default = true\nfail-requests-greater-than-one = true\n"
    )
