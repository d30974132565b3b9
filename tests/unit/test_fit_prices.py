"""`fit`: prices."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.fit_needs import run


@pytest.mark.parametrize(
    ("prices", "problem"),
    [
        pytest.param(["p4d.24xlarge"], "Write it as in 'p4d.24xlarge=21.96'", id="no price"),
        pytest.param(["p4d.24xlarge=dear"], "Write it as in 'p4d.24xlarge=21.96'", id="no number"),
        pytest.param(["p4d.24xlarge=0"], "'p4d.24xlarge=0' is not a price", id="nothing"),
        pytest.param(["p4d.24xlarge=nan"], "'p4d.24xlarge=nan' is not a price", id="no number at all"),
        pytest.param(["p4d.24xlarge=1e7"], "'p4d.24xlarge=1e7' is not a price", id="more than anything costs"),
        pytest.param(["p4d.large=1"], "'p4d.large' is no instance type of the catalogue", id="no instance type"),
        pytest.param(["g5.xlarge=1"], "the pods may use p4d.24xlarge, too. Give its price", id="one is missing"),
    ],
)
def test_a_wrong_price_is_refused(prices: list[str], problem: str) -> None:
    result = run("--need", "1g.5gb=1", *(f"--price={price}" for price in prices))

    assert result.exit_code == 2
    assert problem in result.stderr


PRICED = """\
apiVersion: gpu-slice/v1
pools:
- {name: large, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge], limit: {slices: 560}}
- {name: other, gpu: h100-80gb, partition: {mig: {1g.10gb: 7}}, instanceTypes: [p5.48xlarge], limit: {slices: 560}}
prices: {p4d.24xlarge: 20}
"""


@pytest.mark.parametrize(
    ("arguments", "dollars", "remark"),
    [
        pytest.param(["--need=1g.5gb=1"], 20, "", id="of all types that the pods may use"),
        pytest.param(["--need=1g.5gb=1", "--price=p4d.24xlarge=9"], 9, "", id="an option wins"),
        pytest.param(
            ["--need=1g.5gb=1", "--need=1g.10gb=1"],
            None,
            "GPUs are saved, and not dollars: the fleet has no price of p5.48xlarge\n",
            id="not of all",
        ),
        pytest.param(
            ["--need=1g.5gb=1", "--need=1g.10gb=1", "--price=p5.48xlarge=30"], 50, "", id="an option for the rest"
        ),
    ],
)
def test_the_fleets_prices_are_taken_where_they_suffice(
    arguments: list[str], dollars: float | None, remark: str, tmp_path: Path
) -> None:
    (tmp_path / "fleet.yaml").write_text(PRICED)
    result = run(*arguments, "--fleet", str(tmp_path / "fleet.yaml"), "-o", "json")
    assert (json.loads(result.stdout)["dollarsPerHour"], result.stderr) == (dollars, remark)


def test_it_is_said_what_nodes_that_are_cut_alike_cost() -> None:
    stdout = run("--need", "1g.5gb=120", "--need", "2g.10gb=30").stdout

    assert "If each GPU could be cut on its own, it would be at least 26 GPUs.\n" in stdout
