"""What the server counts.  Labels come from what was resolved, never from what a user wrote."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from webhook.admission.review import Answer
from webhook.codes import DENIALS, WARNINGS
from webhook.fleet.fleet import Fleet

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Seconds.  The API server's own histogram begins at 5 ms."""

SEVERAL = "several"
"""The label where containers get different profiles, or several pools may take the pod: the names together
would be too many series."""


class _Admissions(Collector):
    """What is counted for each review: plain numbers, because a counter with a lock takes as long as a decision."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    def collect(self) -> Iterator[Metric]:
        counted = CounterMetricFamily(
            "gpu_slice_admissions",
            "Reviews that were answered: sliced, unchanged, untouched, denied, or shadowed (left as they are)",
            labels=["outcome", "profile", "pool"],
        )
        for labels, count in list(self.metrics.admissions.items()):
            counted.add_metric(labels, count)
        yield counted
        would = CounterMetricFamily(
            "gpu_slice_shadow_admissions",
            "Reviews of pods that were left as they are, by what would have been done: sliced or denied",
            labels=["outcome", "profile", "pool"],
        )
        for labels, count in list(self.metrics.shadow.items()):
            would.add_metric(labels, count)
        yield would
        for name, what, codes in (
            ("denials", "Pods that were denied, by reason", self.metrics.denials),
            ("shadow_denials", "Pods that would have been denied, by reason", self.metrics.shadow_denials),
            ("warnings", "Warnings to authors of admitted pods, by reason", self.metrics.warnings),
        ):
            family = CounterMetricFamily(f"gpu_slice_{name}", what, labels=["reason"])
            for code, count in codes.items():
                family.add_metric([code], count)
            yield family
        sums = accumulate(self.metrics.took)
        buckets = list(zip([*map(str, BUCKETS), "+Inf"], sums, strict=True))
        duration = HistogramMetricFamily("gpu_slice_admission_duration_seconds", "From the whole body to the answer")
        duration.add_metric([], buckets, self.metrics.took_in_all)
        yield duration


class Metrics:
    """The metrics of one server, in a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.admissions: dict[tuple[str, str, str], int] = {}
        """Answered reviews by outcome, profile and pool."""
        self.denials = dict.fromkeys(DENIALS, 0)
        """Denied pods by the code of the denial: every code is there from the start."""
        self.shadow: dict[tuple[str, str, str], int] = {}
        """Reviews in shadow, by what would have been done, profile and pool."""
        self.shadow_denials = dict.fromkeys(DENIALS, 0)
        self.warnings = dict.fromkeys(WARNINGS, 0)
        """Warnings by their code."""
        self.took = [0] * (len(BUCKETS) + 1)
        """Answered reviews by the bucket of their duration."""
        self.took_in_all = 0.0
        self.registry.register(_Admissions(self))
        self.advice = Counter(
            "gpu_slice_advice",
            "Workloads that were looked at, by what was said: denied (their pods would be), warned or silent",
            ["outcome"],
            registry=self.registry,
        )
        self.refused = Counter(
            "gpu_slice_refused_requests",
            "HTTP requests that were no review, or that failed, by status code",
            ["code"],
            registry=self.registry,
        )
        self.fleet_loaded = Gauge(
            "gpu_slice_fleet_loaded", "1 while the fleet file on disk is the one in use", registry=self.registry
        )
        self.fleet_reloads = Counter(
            "gpu_slice_fleet_reloads", "Fleet files read, by result", ["result"], registry=self.registry
        )
        self.fleet_generation = Gauge(
            "gpu_slice_fleet_generation", "How many fleets were taken since the start", registry=self.registry
        )
        self.fleet_info = Gauge(
            "gpu_slice_fleet_info",
            "1, with the first 12 digits of the SHA-256 of the fleet file in use",
            ["digest"],
            registry=self.registry,
        )
        self.in_shadow = Gauge(
            "gpu_slice_shadow",
            "1 while the fleet in use has pools or namespaces in shadow: their pods are left as they are",
            registry=self.registry,
        )
        self.promised = Gauge(
            "gpu_slice_promised_slices",
            "Slices of a node by the layout of its pool; resources are written as kube-state-metrics does",
            ["pool", "instance_type", "resource"],
            registry=self.registry,
        )
        self.not_after = Gauge(
            "gpu_slice_certificate_not_after_seconds",
            "When the serving certificate expires, as a Unix time",
            registry=self.registry,
        )
        self.authority_not_after = Gauge(
            "gpu_slice_ca_not_after_seconds",
            "When the CA that issued the serving certificate expires, as a Unix time; 0 where it is not known",
            registry=self.registry,
        )
        self.certificate_loaded = Gauge(
            "gpu_slice_certificate_loaded",
            "1 while the certificate on disk is the one that is served",
            registry=self.registry,
        )
        self.certificate_reloads = Counter(
            "gpu_slice_certificate_reloads", "Certificates read, by result", ["result"], registry=self.registry
        )
        self.connections = Gauge("gpu_slice_connections", "Open HTTPS connections", registry=self.registry)
        self.refused_connections = Counter(
            "gpu_slice_refused_connections",
            "Connections that were cut off: too many of one source or in total, or too slow in what they began",
            ["reason"],
            registry=self.registry,
        )
        self.draining = Gauge(
            "gpu_slice_draining", "1 from SIGTERM on, while callers are sent to other replicas", registry=self.registry
        )
        for result in ("taken", "refused"):
            self.fleet_reloads.labels(result)
            self.certificate_reloads.labels(result)
        self.refused.labels(500)  # from the start, so that the first one is an increase
        for reason in ("source", "total", "handshakes", "handshake", "records", "headers", "body"):
            self.refused_connections.labels(reason)

    def promise(self, fleet: Fleet) -> None:
        """Say what the nodes of *fleet* are to have."""
        self.promised.clear()
        for pool in fleet.pools:
            for shape in pool.shapes:
                for resource, count in shape.capacity.items():
                    self.promised.labels(pool.name, shape.instance_type.name, re.sub(r"\W", "_", resource)).set(count)

    def count(self, answer: Answer, seconds: float) -> None:
        """Count one answered review, which took *seconds*."""
        self.took[bisect_left(BUCKETS, seconds)] += 1
        self.took_in_all += seconds
        profile = pool = ""
        plan, denial = answer.plan, answer.denial
        shadow = plan is not None and plan.shadow
        if denial is not None:
            (self.shadow_denials if shadow else self.denials)[denial.reason] += 1
        if plan is not None:
            if (resolution := plan.resolution) is not None:
                profile = resolution.profile or SEVERAL
                pool = resolution.pools[0].name if len(resolution.pools) == 1 else SEVERAL
            if plan.warnings:
                for warning in plan.warnings:
                    self.warnings[warning.code] += 1
        key = answer.outcome, profile, pool
        if shadow:
            self.shadow[key] = self.shadow.get(key, 0) + 1
            key = "shadowed", "", ""
        self.admissions[key] = self.admissions.get(key, 0) + 1

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
