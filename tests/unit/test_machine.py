"""The limits follow from the memory and the file descriptors that there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from webhook.server import machine
from webhook.server.settings import (
    CONNECTION,
    HELD,
    MIB,
    MOST_BODY,
    MOST_CONNECTIONS,
    PROCESS,
    SECOND_PORT,
    limits,
    shortage,
)


@pytest.mark.parametrize("memory", [256, 384, 512, 4096, 1_000_000])
def test_whatever_callers_do_the_memory_is_enough(memory: int) -> None:
    """P16, P33."""
    found = limits(memory * MIB, 1_000_000)
    assert PROCESS + found.connections * CONNECTION + found.held * HELD < memory * MIB
    assert found.held >= MOST_BODY


def test_the_deployment_has_room_for_an_api_server_at_its_worst() -> None:
    """P33."""
    found = limits(256 * MIB, 1_000_000)
    assert found.of_a_source > 640 + 100
    assert found.held > 4 * MIB
    assert found.handshakes < found.connections / 2


@pytest.mark.parametrize("files", [1024, 4096])
def test_there_are_always_files_left(files: int) -> None:
    """P33."""
    found = limits(4096 * MIB, files)
    assert found.connections + SECOND_PORT.connections < files - 50


def test_two_addresses_cannot_take_more_than_everything_and_one_cannot_take_all() -> None:
    for memory in (64, 256, 4096):
        found = limits(memory * MIB, 100_000)
        assert 2 * found.of_a_source <= found.connections <= MOST_CONNECTIONS


@pytest.mark.parametrize(
    ("own", "tree", "expected"),
    [
        pytest.param("0::/\n", {"memory.max": "268435456\n"}, 268435456, id="a container"),
        pytest.param("0::/\n", {"memory.max": "max\n"}, None, id="no limit"),
        pytest.param("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": "1000"}, 1000, id="the limit of a parent"),
        pytest.param("0::/a/b\n", {"a/b/memory.max": "500", "a/memory.max": "1000"}, 500, id="the least of two"),
        pytest.param("4:memory:/a\n0::/\n", {}, None, id="version 1"),
        pytest.param("", {}, None, id="nothing is known"),
    ],
)
def test_memory_is_what_the_cgroup_allows(tmp_path: Path, own: str, tree: dict[str, str], expected: int | None) -> None:
    for name, text in tree.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text(own)
    physical = machine.memory(tmp_path, tmp_path / "no such file")
    assert physical > 64 * MIB
    assert machine.memory(tmp_path, tmp_path / "own") == (expected or physical)


@pytest.mark.parametrize(
    ("memory", "files", "short_of"),
    [(255, 10_000, "memory"), (256, 10_000, ""), (4096, 1_024, "file descriptors"), (4096, 2_048, "")],
)
def test_a_replica_that_is_too_small_says_of_what_it_is_short(memory: int, files: int, short_of: str) -> None:
    said = shortage(memory * MIB, files)
    assert (short_of in said) if short_of else not said
