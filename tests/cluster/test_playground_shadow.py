"""The playground with a fleet in shadow: it starts, and pods stay as they are."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.cluster.test_playground import COMMAND, ROOT, in_a_shell

EXAMPLE = "kubectl apply -f manifests/examples/01-one-slice.yaml"


@pytest.mark.parametrize("name", ["shadow", "shadow-pools"])
def test_a_fleet_in_shadow_is_tried_in_the_playground(cluster: object, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "playground"
    command = [*COMMAND, "--folder", folder, "--fleet", ROOT / "tests" / "fleets" / f"{name}.yaml"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C"):
                break
        else:
            pytest.fail("".join(said))
        try:
            made = in_a_shell(folder, EXAMPLE)
            assert made.returncode == 0, made.stderr
            told = "gpu-slice: shadow: not enforced: " in made.stderr
            limits = "kubectl get pod one-slice -o jsonpath={.spec.containers[0].resources.limits}"
            assert ("mig-1g.5gb" in in_a_shell(folder, limits).stdout) is not told
            assert told is (name == "shadow")
        finally:
            process.send_signal(signal.SIGINT)
            process.stdout.read()
    assert process.returncode == 0
