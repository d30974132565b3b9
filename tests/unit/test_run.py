"""What the sockets of the server are like."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from webhook.cli import files
from webhook.cli.files import load_fleet
from webhook.fleet.fleet import Fleet
from webhook.server import fleet_file
from webhook.server.fleet_file import FleetWatch
from webhook.server.metrics import Metrics
from webhook.server.run import listen, look_again, look_at


@pytest.mark.parametrize("host", ["127.0.0.1", ""], ids=["loopback", "all addresses"])
def test_an_answer_does_not_wait_for_the_callers_acknowledgement(host: str) -> None:
    with listen(host, 0) as listening, socket.create_connection(("127.0.0.1", listening.getsockname()[1])):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_look_that_fails_ends_neither_the_others_nor_the_next() -> None:
    """P24."""
    looks: list[str] = []

    def fail() -> None:
        looks.append("fails")
        raise KeyError("of no kind that was foreseen")

    async def look_three_times() -> None:
        looking = asyncio.create_task(look_again([fail, lambda: looks.append("goes on")], 0.001))
        while len(looks) < 6 and not looking.done():
            await asyncio.sleep(0.001)
        looking.cancel()

    asyncio.run(look_three_times())
    assert looks[:6] == ["fails", "goes on"] * 3


def test_a_fleet_that_fails_in_an_unforeseen_way_is_said_to_be_missing_and_tried_again(tmp_path: Path) -> None:
    """P24, P43."""
    results: list[object] = [files.fleet_at(None), KeyError("unforeseen"), KeyError("again"), files.fleet_at(None)]

    def load(_: bytes) -> Fleet:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    metrics = Metrics()
    path = tmp_path / "fleet.yaml"
    watch = FleetWatch(path, load, metrics)
    loaded = []
    for text in ("good", "bad", "bad", "good"):
        path.write_text(text)
        look_at([watch.look])
        loaded.append(metrics.fleet_loaded._value.get())
        assert watch.current is not None
    assert loaded == [1, 0, 0, 1]
    assert not results


def test_a_fleet_by_which_nothing_can_be_decided_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P24, P43."""
    metrics = Metrics()
    path = tmp_path / "fleet.yaml"
    path.write_bytes(files.default_fleet_text())
    watch = FleetWatch(path, load_fleet, metrics)
    look_at([watch.look])
    first = watch.current
    assert first is not None
    with monkeypatch.context() as patched:
        patched.setattr(fleet_file, "prepare", lambda _: {}["unforeseen"])
        path.write_bytes(files.default_fleet_text() + b"# again\n")
        look_at([watch.look])
        assert (watch.current, metrics.fleet_loaded._value.get()) == (first, 0)
    look_at([watch.look])
    assert watch.current is not first
    assert metrics.fleet_loaded._value.get() == 1


def test_each_new_problem_of_the_fleet_file_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "fleet.yaml"
    watch = FleetWatch(path, load_fleet, Metrics())
    for make in (lambda: None, lambda: path.write_bytes(b""), path.unlink, path.mkdir):
        make()
        look_at([watch.look] * 3)
    problems = [record.fields["problem"] for record in caplog.records if "fleet refused" in record.getMessage()]
    assert [problem.partition(": ")[2] for problem in problems] == [
        "No such file or directory", problems[1].partition(": ")[2], "No such file or directory", "Is a directory",
    ]  # fmt: skip
    assert "No such file" not in problems[1]
