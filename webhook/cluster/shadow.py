"""What replicas have counted in shadow, read from their metrics and added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from webhook.cluster.objects import PODS, Pod
from webhook.cluster.reader import Reader, Refused, Unreachable

REPLICAS = "app.kubernetes.io/name=gpu-slice,app.kubernetes.io/component=webhook"
PORT = 8080
"""Of metrics, as in ``manifests/webhook/deployment.yaml``."""


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
        return read(name, reader.text(f"{PODS.path(namespace, f'{name}:{PORT}')}/proxy/metrics"))
    except Refused as refused:
        if refused.status in (401, 403):
            return Replica(name, f"you may not get pods/proxy in namespace {namespace}")
        return Replica(name, f"the API server does not reach its port {PORT}: {refused}")
    except Unreachable as error:
        return Replica(name, str(error))


def read(name: str, text: str) -> Replica:
    """The counts in a replica's metrics."""
    since, fleet, in_shadow, reviews = None, "", None, 0
    given: Counter[tuple[str, str]] = Counter()
    denied: Counter[str] = Counter()
    try:
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    except ValueError:
        return Replica(name, "it did not answer with metrics")
    for sample in samples:
        labels, number = sample.labels, int(sample.value)
        match sample.name:
            case "process_start_time_seconds":
                since = datetime.fromtimestamp(number, UTC)
            case "gpu_slice_fleet_info":
                fleet = labels.get("digest", "")
            case "gpu_slice_shadow":
                in_shadow = bool(number)
            case "gpu_slice_admissions_total":
                reviews += number
            case "gpu_slice_shadow_admissions_total" if labels["outcome"] == "sliced":
                given[labels["pool"], labels["profile"]] += number
            case "gpu_slice_shadow_denials_total" if number:
                denied[labels["reason"]] += number
    if in_shadow is None:
        return Replica(name, "its metrics say nothing of shadow: it is no webhook, or of an older release")
    return Replica(name, "", since, fleet, in_shadow, reviews, given, denied)
