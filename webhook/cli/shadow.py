"""``gpu-slice check --shadow``: what would have happened, from the replicas' metrics."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from http.client import HTTPException
from urllib.request import urlopen

from webhook.cli.show import table
from webhook.cli.terminal import CouldNotLook, Line, line
from webhook.cluster.cures import Here
from webhook.cluster.reader import Reader, Unreachable
from webhook.cluster.shadow import BYTES, SECONDS, Replica, replicas, within_limits
from webhook.codes import DENIALS

_WHY = {str(code): text for code, text in DENIALS.items()}
_CURE = (
    "Run kubectl -n gpu-slice port-forward POD 8080 for each replica, and name what it serves: --metrics "
    "http://127.0.0.1:8080/metrics"
)


def from_cluster(reader: Reader, namespace: str) -> list[Replica]:
    """The replicas in *namespace*.  If the API server cannot be asked, the exit code is 3."""
    try:
        return list(replicas(reader, namespace))
    except Unreachable as error:
        raise CouldNotLook(str(error)) from None


def from_sources(sources: Sequence[str]) -> list[Replica]:
    """The replicas whose metrics are in files, or at addresses."""
    return [_from(source) for source in sources]


def _from(source: str) -> Replica:
    try:
        return within_limits(source, lambda: _bytes(source))
    except (OSError, ValueError, HTTPException) as error:
        told = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Replica(source, f"cannot be read: {told}")


def _bytes(source: str) -> bytes:
    if source.startswith(("http://", "https://")):
        with urlopen(source, timeout=SECONDS) as answer:  # noqa: S310  # its scheme was just looked at
            return bytes(answer.read(BYTES + 1))
    with open(source, "rb") as file:
        return file.read(BYTES + 1)


def verdict(found: Sequence[Replica]) -> tuple[int, str]:
    """The exit code, and the sentence that closes the report."""
    unread = sum(bool(each.problem) for each in found)
    given, denied = (counts.total() for counts in _counts(found))
    if unread == len(found):
        return 3, "none of the replicas could be looked at" if found else "there is no replica to look at"
    told = (
        f"of {given + denied} reviews in shadow, {given} would have given a slice, and {denied} would have been denials"
    )
    if since := max((each.since for each in found if each.since is not None), default=None):
        told += f" (complete since {_time(since)}, when the last replica started)"
    if unread:
        told += f"; {unread} of {len(found)} replicas could not be looked at"
    if denied:
        return 1, told
    if unread:
        return 3, told
    if not given:
        return 3, f"{told}: nothing is known yet"
    return 0, told


def _counts(found: Sequence[Replica]) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    given: Counter[tuple[str, str]] = Counter()
    denied: Counter[str] = Counter()
    for each in found:
        given, denied = given + each.given, denied + each.denied
    return given, denied


def report(found: Sequence[Replica], messages: str, here: Here, *, short: bool) -> Iterator[str | Line]:
    """The report for people.  *messages*: where ``docs/messages.md`` is; *here*: see `Here`."""
    known = [each for each in found if not each.problem]
    if known and not short:
        rows = [("REPLICA", "SINCE", "FLEET", "IN SHADOW", "REVIEWS", "OF THEM IN SHADOW")]
        rows += [(each.name, _time(each.since), each.fleet or "?", "yes" if each.in_shadow else "no",
                  str(each.reviews), str(each.given.total() + each.denied.total())) for each in known]  # fmt: skip
        yield from table(rows)
        yield ""
    given, denied = _counts(found)
    if given and not short:
        yield from table([("WOULD GET A SLICE", "SLICE", "POOL"), *(
            (str(number), profile, pool) for (pool, profile), number in given.most_common())])  # fmt: skip
        yield ""
    if denied:
        yield from table([("WOULD BE DENIED", "CODE", "WHY", "SEE"), *(
            (str(number), code, _WHY.get(code, ""), f"{messages}#{code}")
            for code, number in denied.most_common())])  # fmt: skip
        yield ""
    for each in found:
        if each.problem:
            yield line(line("?", fg="cyan"), f" {each.name}: {each.problem}")
    if any(each.problem for each in found):
        yield f"  {here.told(_CURE)}"
    if len({(each.fleet, each.in_shadow) for each in known}) > 1:
        yield "  Not all replicas serve the same fleet yet: a new one reaches all of them within some two minutes."
    code, told = verdict(found)
    yield line(line(("√", "×", "", "?")[code], fg=("green", "red", "", "cyan")[code]), f" {told}")


def as_json(found: Sequence[Replica], messages: str) -> str:
    """The report for programs."""
    code, told = verdict(found)
    given, denied = _counts(found)
    return json.dumps(
        {
            "verdict": told,
            "failed": code == 1,
            "replicas": [
                {
                    "name": each.name,
                    "problem": each.problem or None,
                    "since": each.since.isoformat() if each.since else None,
                    "fleet": each.fleet or None,
                    "shadow": None if each.problem else each.in_shadow,
                    "reviews": each.reviews,
                    "reviewsInShadow": each.given.total() + each.denied.total(),
                }
                for each in found
            ],
            "given": [
                {"pool": pool, "slice": profile, "reviews": number} for (pool, profile), number in given.most_common()
            ],
            "denied": [
                {"code": code, "reviews": number, "help": f"{messages}#{code}"} for code, number in denied.most_common()
            ],
        },
        indent=2,
    )


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "an unknown time"
