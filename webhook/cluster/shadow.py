"""What replicas have counted in shadow, read from their metrics and added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Thread

from prometheus_client.parser import text_string_to_metric_families

from webhook.cluster.objects import PODS, Pod
from webhook.cluster.reader import Reader, Refused, Unreachable

REPLICAS = "app.kubernetes.io/name=gpu-slice,app.kubernetes.io/component=webhook"
PORT = 8080
"""Of metrics, as in ``manifests/webhook/deployment.yaml``."""
SECONDS, BYTES = 10.0, 4 << 20
"""For all that a replica answers.  The metrics of a large fleet are some 100 KB."""
_NO_METRICS = "it did not answer with metrics"


@dataclass(frozen=True, slots=True)
class Replica:
    """The counts of one replica, which begin with its start."""

    name: str
    problem: str = ""
    """Why they are not known."""
    since: datetime | None = None
    fleet: str = ""
    """The digest of the fleet file that it serves; empty if it does not say."""
    in_shadow: bool = False
    """Whether anything of the fleet that it serves is."""
    reviews: int = 0
    """All that it answered."""
    given: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Reviews in shadow of pods that would get a slice, by pool and profile."""
    denied: Counter[str] = field(default_factory=Counter)
    """Reviews in shadow of pods that would be denied, by code."""


def replicas(reader: Reader, namespace: str) -> Iterator[Replica]:
    """Those in *namespace*, through the API server.  Raises `webhook.cluster.reader.Unreachable`."""
    listing = reader.list(PODS, namespace, labelSelector=REPLICAS)
    if listing.problem:
        yield Replica(f"namespace {namespace}", listing.problem)
    pods: Iterable[Pod] = listing.items
    for pod in pods:
        if not pod.ended:
            yield _asked(reader, pod.metadata.name, namespace)


def _asked(reader: Reader, name: str, namespace: str) -> Replica:
    try:
        path = f"{PODS.path(namespace, f'{name}:{PORT}')}/proxy/metrics"
        return within_limits(name, lambda: reader.text(path, BYTES + 1))
    except Refused as refused:
        if refused.status in (401, 403):
            return Replica(name, f"you may not get pods/proxy in namespace {namespace}")
        return Replica(name, f"the API server does not reach its port {PORT}: {refused}")
    except Unreachable as error:
        return Replica(name, str(error))


def within_limits(name: str, ask: Callable[[], bytes]) -> Replica:
    """The counts in the metrics that *ask* gives, of which it need not read more than `BYTES` and one.

    Whoever answers may answer slowly for ever, so *ask* runs in a thread for which nobody waits at the end.
    Raises what *ask* raises.
    """
    answer: Future[bytes] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except Exception as error:  # it is raised below
            answer.set_exception(error)

    Thread(target=run, daemon=True).start()
    try:
        data = answer.result(SECONDS)
    except TimeoutError:
        if answer.done():
            raise
        return Replica(name, f"{_NO_METRICS} within {SECONDS:g} s")
    if len(data) > BYTES:
        return Replica(name, f"{_NO_METRICS}, but with more than {BYTES >> 20} MiB")
    return read(name, data.decode(errors="replace"))


def read(name: str, text: str) -> Replica:
    """The counts in a replica's metrics, or in whatever else it answered."""
    try:
        return _counts(name, text)
    except (ValueError, LookupError, OverflowError, OSError):  # the last two for a date
        return Replica(name, _NO_METRICS)


def _counts(name: str, text: str) -> Replica:
    since, fleet, in_shadow, reviews = None, "", None, 0
    given: Counter[tuple[str, str]] = Counter()
    denied: Counter[str] = Counter()
    for sample in (sample for family in text_string_to_metric_families(text) for sample in family.samples):
        labels = sample.labels
        match sample.name:
            case "process_start_time_seconds":
                since = datetime.fromtimestamp(_whole(sample.value), UTC)
            case "gpu_slice_fleet_info":
                fleet = labels.get("digest", "")
            case "gpu_slice_shadow":
                in_shadow = bool(_whole(sample.value))
            case "gpu_slice_admissions_total":
                reviews += _whole(sample.value)
            case "gpu_slice_shadow_admissions_total" if labels["outcome"] == "sliced":
                given[labels["pool"], labels["profile"]] += _whole(sample.value)
            case "gpu_slice_shadow_denials_total" if number := _whole(sample.value):
                denied[labels["reason"]] += number
    if in_shadow is None:
        return Replica(name, "its metrics say nothing of shadow: it is no webhook, or of an older release")
    return Replica(name, "", since, fleet, in_shadow, reviews, given, denied)


def _whole(number: float) -> int:
    """A count or a time.  Raises `ValueError` for what is none, such as NaN."""
    if not 0 <= number < 2**53:
        raise ValueError(number)
    return int(number)
