"""Somebody who follows pages of the documents in a cluster: every command as it stands there, in its order.

The webhook that they install is real, and the API server reaches it by a URL on loopback, as there is no network.  What
needs AWS is played by `tests.cluster.aws.cli`.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from tests.cluster.cluster import Cluster
from tests.cluster.install import Installation
from tests.cluster.page import Block, Shell
from tests.running import Running

ROOT = Path(__file__).parents[2]
STUBS = ("aws", "helm", "docker", "curl")
APPLIED = re.compile(r"^kubectl apply -k my-cluster$", re.MULTILINE)


class Reader:
    """Follows *blocks* in a folder of its own, but for those that need something of *untried*."""

    def __init__(
        self, cluster: Cluster, tls: Path, folder: Path, blocks: Sequence[Block], untried: Collection[str] = ()
    ) -> None:
        self.cluster, self.tls, self.blocks, self.untried = cluster, tls, blocks, untried
        self.installation = Installation(cluster)
        self.folder = folder / "gpu-slice"
        shutil.copytree(ROOT / "manifests", self.folder / "manifests")
        shutil.copy(ROOT / "Makefile", self.folder)
        self.shell = Shell(self.folder, self._environment(folder / "bin"))
        self.said: dict[str, str] = {}
        self.failed = ""
        self.server: Running | None = None

    def _environment(self, bin: Path) -> dict[str, str]:
        bin.mkdir()
        python = f'PYTHONPATH="{ROOT}" exec "{sys.executable}" -m'
        written = {name: f'{python} tests.cluster.aws.cli {name} "$@"' for name in STUBS}
        written |= {"gpu-slice": f'{python} webhook "$@"', "sleep": "exec /bin/sleep 0.2"}
        for name, command in written.items():
            (bin / name).write_text(f"#!/bin/sh\n{command}\n")
            (bin / name).chmod(0o755)
        (bin / "kubectl").symlink_to(self.cluster.plane.kubectl)
        path = f"{bin}:/usr/local/bin:/usr/bin:/bin"
        return {
            "PATH": path,
            "HOME": str(bin.parent),
            "KUBECONFIG": str(self.cluster.plane.kubeconfig),
            "LANG": "C.UTF-8",
        }

    def read(self, block: Block) -> str:
        """What *block* said; those before it are run first, once each."""
        for each in self.blocks[: self.blocks.index(block) + 1]:
            if each.where not in self.said and each.needs not in self.untried:
                assert not self.failed, f"{self.failed} failed, and what follows needs it"
                self.failed = each.where
                self.said[each.where] = self._run(each)
                self.failed = ""
        return self.said.get(block.where, "")

    def _run(self, block: Block) -> str:
        applies = APPLIED.search(block.text)
        if applies and self.server:  # whose URL kubectl would merge with the Service of the manifest
            self.installation.take_away()
        done = self.shell(block.text)
        assert done.returncode == 0, f"{block.where}: {done.stdout}"
        if applies:
            self._serve()
        return done.stdout

    def _serve(self) -> None:
        """Have the webhook's Service lead to a server, which no network here does."""
        fleet = self.folder / "my-cluster" / "fleet.yaml"
        self.server = self.server or Running(self.tls, "--fleet", str(fleet), "--poll=0.2")
        self.installation.point_at(self.server.port, self.tls / "ca.crt", self.noticed())

    def noticed(self) -> Callable[[str], bool]:
        """What tells, by what the probe said, that the webhook is asked and serves the fleet that was applied."""
        return lambda said: "ValidatingAdmissionPolicy" not in said and "failed calling webhook" not in said

    def stop(self) -> None:
        """End the server, if there is one."""
        if self.server:
            self.server.stop()
