"""What is locked for the image has no known advisory, as far as anybody can be asked from here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # it asks a server

LOCK = Path(__file__).parents[2] / "requirements.lock"


def test_no_locked_dependency_has_a_known_advisory() -> None:
    """P40."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner", "off"]
    audit = subprocess.run([*command, "-f", "json", "-r", str(LOCK)], capture_output=True, text=True, timeout=300)
    if not audit.stdout:
        pytest.skip(f"no source of advisories can be asked: {audit.stderr.strip().splitlines()[-1]}")
    found = json.loads(audit.stdout)["dependencies"]
    assert found
    if all("skip_reason" in each for each in found):
        pytest.skip(f"no source of advisories can be asked: {found[0]['skip_reason']}")
    assert [each for each in found if each.get("vulns")] == []
