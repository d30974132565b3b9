"""``python -m tests.cluster.programs``: build what is missing, so that a person can follow it."""

import sys

from tests.cluster import programs

try:
    programs.etcd()
    programs.control_plane()
    programs.karpenter()
    programs.device_plugin()
except programs.BuildError as error:
    print(f"tests/cluster will be skipped: {error}", file=sys.stderr)
