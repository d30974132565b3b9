"""Namespaces that gpu-slice never touches, and what a fleet says of them all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.unit.fleet_text import load, text
from webhook.admission.plan import UNTOUCHED_NAMESPACES
from webhook.admission.preview import preview
from webhook.cli.main import main

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "main", "resources": {"limits": {"nvidia.com/gpu": 1}}}]},
}


@pytest.mark.parametrize("namespace", sorted(UNTOUCHED_NAMESPACES))
class TestWhatIsSaidOfThem:
    """The checks and previews."""

    @pytest.mark.parametrize("field", ["default: 1g.5gb", "pools: [p]", "slices: [1g.5gb]", "mode: shadow"])
    def test_fleet_check_warns(self, namespace: str, field: str, tmp_path: Path) -> None:
        path = tmp_path / "fleet.yaml"
        path.write_text(text(extra=f"namespaces: {{{namespace}: {{{field}}}}}\n"))
        result = CliRunner().invoke(main, ["fleet", "check", str(path)])
        assert result.exit_code == 0
        assert f"warning: namespaces.{namespace}.{field.partition(':')[0]}: has no effect" in result.stderr

    def test_a_quota_has_an_effect(self, namespace: str, tmp_path: Path) -> None:
        """The API server enforces it."""
        path = tmp_path / "fleet.yaml"
        path.write_text(text(extra=f"namespaces: {{{namespace}: {{quota: {{1g.5gb: 1}}}}, a: {{default: 1g.5gb}}}}\n"))
        assert "no effect" not in CliRunner().invoke(main, ["fleet", "check", str(path)]).stderr

    @pytest.mark.parametrize("whose", ["{}", "'*'"])
    def test_a_preview_with_a_default_says_so(self, namespace: str, whose: str) -> None:
        fleet = load(extra=f"namespaces: {{{whose.format(namespace)}: {{default: 1g.5gb}}}}\n")
        (shown,) = preview(POD, fleet, namespace)
        assert shown.outcome == "untouched"
        assert shown.why == f"pods of namespace '{namespace}' are never changed"
