"""The keep-alive race: reviews on connections that were silent until somebody may just be closing them: P31."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.soak.caller import Caller, Figures
from tests.soak.replicas import Replica, Replicas


@dataclass(frozen=True)
class Silence:
    """So many ``connections``, silent for ``idle`` seconds, give or take ``spread``, again and again."""

    connections: int
    idle: float
    spread: float
    rounds: int


def race(
    folder: Path,
    tls: Path,
    silences: list[Silence],
    *,
    replicas: int = 3,
    callers: int = 1,
    options: tuple[str, ...] = (),
    kind: type[Replica] = Replica,
) -> list[list[Figures]]:
    """The figures of each silence, from each of the *callers*, which have an address each."""
    with ExitStack() as stack:
        sources = [f"127.0.0.{10 + number}" for number in range(callers)]
        api_servers = [stack.enter_context(Caller(folder, source=source)) for source in sources]
        deployment = stack.enter_context(Replicas(api_servers, tls, *options, kind=kind))
        deployment.start(replicas)
        groups = [asdict(silence) for silence in silences]
        with ThreadPoolExecutor(callers) as threads:
            found = list(threads.map(lambda caller: caller.race(*groups), api_servers))
    return [list(each) for each in zip(*found, strict=True)]
