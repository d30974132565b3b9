"""``python -m tests.cluster.programs``: build what is missing, so that a person can follow it."""

import sys

from tests.cluster import programs

for build in (programs.etcd, programs.control_plane, programs.karpenter, programs.device_plugin, programs.caller):
    try:
        build()
    except programs.BuildError as error:  # the tests that want it say so, too
        print(error, file=sys.stderr)
