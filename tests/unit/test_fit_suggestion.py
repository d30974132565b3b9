"""`fit`: the fleet that it suggests."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tests.unit.fit_needs import ROOT, answer, run
from webhook.cli import files
from webhook.cli.main import main


@pytest.mark.parametrize(
    ("needs", "more"),
    [
        pytest.param(["1g.5gb=120", "2g.10gb=30"], "", id="one new pool"),
        pytest.param(["1g.5gb=700", "2g.10gb=300", "3g.20gb=99"], "", id="several"),
        pytest.param(["2x1g.5gb=30", "5x2g.10gb=8", "main=3g.20gb=17"], "", id="several slices"),
        pytest.param(["1/7=120", "2/7=20", "9Gi=10"], "", id="fractions and memory"),
        pytest.param(["1g.5gb=120", "2g.10gb=30"], "namespaces: {default: {pools: [a100-mixed, a100-1g-5gb]}}\n",
                     id="a namespace with its pools"),
        pytest.param(["1g.5gb=120", "2g.10gb=30"], "namespaces: {other: {slices: [3g.20gb]}}\n",
                     id="a namespace that names a slice nobody else needs"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prices", [False, True], ids=["GPUs", "dollars"])
def test_the_suggested_fleet_is_valid_and_does_what_was_said(
    needs: list[str], more: str, prices: bool, tmp_path: Path
) -> None:
    fleet, better = tmp_path / "fleet.yaml", tmp_path / "better.yaml"
    fleet.write_text(files.default_fleet_text().decode() + more)
    arguments = [*(f"--need={need}" for need in needs)]
    if prices:
        arguments += ["--price=p4d.24xlarge=32.77", "--price=p4de.24xlarge=40.97", "--price=p5.48xlarge=55.04"]
        arguments += ["--price=p5e.48xlarge=63.3", "--price=p5en.48xlarge=63.3"]
    said = answer(*arguments, "--fleet", str(fleet))

    result = run(*arguments, "--fleet", str(fleet), "-o", "fleet")
    better.write_text(result.stdout)
    again = answer(*arguments, "--fleet", str(better))

    assert "warning" not in result.stderr
    assert CliRunner().invoke(main, ["fleet", "check", str(better)]).exit_code == 0
    assert again["fits"]
    key = "dollarsPerHour" if prices else "gpus"
    assert again[key] == said["best"][key] < said["unlimited"][key]
    assert again["saves"]["gpus"] == 0


@pytest.mark.parametrize("path", sorted((ROOT / "tests" / "fleets").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_suggestion_for_any_fleet_is_valid_and_no_worse(path: Path, tmp_path: Path) -> None:
    fleet = files.fleet_at(path)
    needs = [f"--need={slice}=97" for slice in dict.fromkeys(str(offer) for _, offer in fleet.offers)]
    better = tmp_path / "better.yaml"

    said, result = answer(*needs, "--fleet", str(path)), run(*needs, "--fleet", str(path), "-o", "fleet")
    better.write_text(result.stdout)

    assert CliRunner().invoke(main, ["fleet", "check", str(better)]).exit_code == 0
    assert answer(*needs, "--fleet", str(better))["gpus"] == said["best"]["gpus"] <= said["unlimited"]["gpus"]


def test_a_suggestion_says_what_it_saves_and_what_it_changes() -> None:
    result = run("--need", "1g.5gb=120", "--need", "2g.10gb=30", "-o", "fleet")

    assert result.stderr.splitlines() == [
        "That saves 8 GPUs and 1 node.",
        "pool a100-1g-5gb is left out: no pod needs it any more",
        "pool a100-mixed is left out: no pod needs it any more",
        "pool a100-40gb-1x2g-10gb-5x1g-5gb is new, and like a100-1g-5gb but for its layout and its limit",
    ]
    new = yaml.safe_load(result.stdout)["pools"][0]
    assert new["partition"] == {"mig": {"1g.5gb": 5, "2g.10gb": 1}}
    assert new["limit"] == {"nodes": 4}
    assert new["weight"] == 20


def test_where_nothing_is_better_the_fleet_stays_as_it_is() -> None:
    result = run("--need", "1g.5gb=56", "-o", "fleet")

    nothing = "Other layouts of these slices, in new pools like a100-1g-5gb and a100-mixed, save nothing.\n"
    assert nothing in result.stderr
    assert [pool["name"] for pool in yaml.safe_load(result.stdout)["pools"]] == [
        pool.name for pool in files.fleet_at(None).pools
    ]


def test_a_gap_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook.fit.patterns.ROUNDS", 0)
    monkeypatch.setattr("webhook.fit.patterns.MOST_NODES", 0)
    needs = ["--need", "19x1g.5gb=10", "--need", "30x1g.5gb=3"]

    result = run(*needs)

    assert "  no\n" in result.stdout
    assert "Not proved: with these layouts it is at least 40 GPUs, so 16 GPUs may be too many.\n" in result.stdout
    assert answer(*needs)["exact"] is False
    assert "(at least 40)" in run(*needs, "-o", "short").stdout
