"""Replicas come, go and die, and their certificates rotate, while the API server's own client calls them.

Short versions of what `python -m tests.soak` does at length.  Each has a counterpart that fails, so that a loss is
known to be seen.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cluster import programs
from tests.packages import skip
from tests.soak.caller import TIMEOUT
from tests.soak.kill import kill
from tests.soak.overload import overload
from tests.soak.race import Silence, race
from tests.soak.replicas import Plain
from tests.soak.report import failed
from tests.soak.rotations import POLICY, rotations
from tests.soak.scenarios import is_bounded
from tests.soak.slow import slow
from tests.soak.stops import stops

pytestmark = pytest.mark.slow

SOON = replace(POLICY, authority_renewal=timedelta(seconds=3))


@pytest.fixture(scope="module", autouse=True, name="caller")
def _caller() -> None:
    try:
        programs.caller()
    except programs.BuildError as error:
        skip(error)


@pytest.mark.parametrize("pool", ["service", "endpoint"])
def test_replicas_that_stop_lose_nothing(tmp_path: Path, tls: Path, pool: str) -> None:
    """P29, P30: also where the API server goes on using connections to a replica that is no endpoint any more."""
    found = stops(tmp_path, tls, count=4, at_once=2, replicas=4, rate=500, settle=1.5, patience=2.5, pool=pool)
    assert (found["lost"], found["errors"], found["handshakeErrors"]) == (0, {}, {})
    assert found["patched"] == found["sent"] > 500
    assert found["exits"] == [0]


def test_a_server_that_stops_at_once_loses_some(tmp_path: Path, tls: Path) -> None:
    found = stops(tmp_path, tls, count=4, at_once=2, replicas=4, rate=500, patience=0, kind=Plain)
    assert found["lost"] > 0


def test_a_connection_that_was_silent_is_still_there(tmp_path: Path, tls: Path) -> None:
    """P31."""
    ((found,),) = race(tmp_path, tls, [Silence(100, 1, 0.003, 2)], replicas=1)
    assert (found["lost"], found["reused"]) == (0, 200)


def test_a_server_that_hangs_up_as_the_next_review_comes_loses_it(tmp_path: Path, tls: Path) -> None:
    ((found,),) = race(tmp_path, tls, [Silence(100, 1, 0.003, 2)], replicas=1, kind=Plain, options=("1",))
    assert found["lost"] > 0


def test_certificates_that_rotate_fail_no_handshake(tmp_path: Path) -> None:
    """P22, P23: with kubelets and informers that lag, and a keeper that dies between any two steps."""
    found = rotations(tmp_path, leaves=5, authorities=2, policy=SOON)
    assert (found["lost"], found["errors"], found["handshakeErrors"]) == (0, {}, {})
    assert found["handshakes"] > 100
    assert found["deaths"] > 0
    assert found["certificates refused"] == 0


def test_an_authority_that_callers_do_not_know_fails_handshakes(tmp_path: Path) -> None:
    # Four, because a replica may serve the last of two only after the load has ended.
    assert failed(rotations(tmp_path, leaves=6, authorities=4, policy=SOON, informed=False)) > 0


def test_a_replica_that_dies_takes_only_what_was_under_way_on_it(tmp_path: Path, tls: Path) -> None:
    """P32."""
    (found,), _ = kill(tmp_path, tls, count=1)
    assert is_bounded(found), found


def test_overload_is_survived(tmp_path: Path, tls: Path) -> None:
    """P33."""
    found, ordinary = overload(tmp_path, tls, workers=400, callers=1, seconds=2)
    assert found["answered"] > 0
    assert found["resident"] < 128
    assert ordinary["recovered"] <= TIMEOUT + 1


def test_slow_clients_are_cut_and_nobody_waits_for_them(tmp_path: Path, tls: Path) -> None:
    """P17."""
    kinds = ("no handshake", "half a header", "a header byte by byte")
    found = slow(tmp_path, tls, rounds=1, seconds=6, count=150, kinds=kinds)
    assert found["lost"] == 0
    for kind in kinds:
        assert found["cut"][kind] >= 50
        assert 4.5 < found["seconds"][kind] < 6.5
