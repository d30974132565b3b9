"""Commands that look again read the fleet again, too: somebody may be correcting it meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from tests.unit.check_facts import FLEET
from webhook.cli import check, cluster, usage
from webhook.cli.main import main
from webhook.cluster.check import CHECKS, Line, Problem, Status
from webhook.cluster.usage import Usage


class Fleets:
    """The fleet of a cluster, which cannot be used in the first *bad* looks."""

    def __init__(self, bad: int) -> None:
        self.bad, self.looks = bad, 0

    def __call__(self, *_: Any) -> Any:
        self.looks += 1
        if self.looks <= self.bad:
            raise cluster.BadServed("ConfigMap fleet: pools: is missing")
        return FLEET


@pytest.fixture
def fleets(monkeypatch: pytest.MonkeyPatch) -> Fleets:
    found = Fleets(2)
    monkeypatch.setattr(cluster, "reader", lambda *_: None)
    monkeypatch.setattr(cluster, "fleet_of", found)
    monkeypatch.setattr(check, "AGAIN", 0)
    return found


def test_a_fleet_that_is_corrected_while_check_waits_ends_the_wait(
    monkeypatch: pytest.MonkeyPatch, fleets: Fleets
) -> None:
    def look(_: object, fleet: object, *__: object) -> tuple[Line, ...]:
        failed = (Problem("it is none"),) if fleet is None else ()
        return (Line(CHECKS[0], Status.FAILED if failed else Status.GOOD, failed),)

    monkeypatch.setattr(check, "_look", look)
    result = CliRunner().invoke(main, ["check", "--wait", "1h"])
    assert (result.exit_code, fleets.looks) == (0, 3)


def test_a_fleet_that_changes_while_usage_watches_is_shown(monkeypatch: pytest.MonkeyPatch, fleets: Fleets) -> None:
    fleets.bad = 0
    shown = []

    def look(_: object, fleet: object, __: object) -> Usage:
        shown.append(fleet)
        return Usage((), (), (), True, True)

    def sleep(_: float) -> None:
        fleets.bad = 2 if fleets.looks == 1 else 0
        if len(shown) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(usage, "_look", look)
    monkeypatch.setattr("time.sleep", sleep)
    result = CliRunner().invoke(main, ["usage", "--watch", "1"])
    assert result.exit_code == 0
    assert fleets.looks == 3
    assert "could not look: ConfigMap fleet" in result.stderr
