"""``python -m tests.cluster.programs``: build what is missing, so that a person can follow it."""

import sys

from tests.cluster import programs

BUILDS = (
    programs.etcd, programs.control_plane, programs.karpenter, programs.karpenter_aws, programs.device_plugin,
    programs.mig_parted, programs.caller, programs.helm, lambda: programs.helm(3), programs.kubeconform,
)  # fmt: skip

for build in BUILDS:
    try:
        build()
    except programs.BuildError as error:  # the tests that want it say so, too
        print(error, file=sys.stderr)
