"""The pods that ``gpu-slice fit`` is about, read from files and options, and counted by their kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import click

from webhook.admission.defaults import DEFAULT
from webhook.admission.pod import Pod, convert
from webhook.admission.preview import previews
from webhook.admission.workloads import Subject
from webhook.cli import files, show
from webhook.cli.progress import Progress
from webhook.cli.terminal import echo, line
from webhook.cluster.live_pods import LivePod
from webhook.cluster.owners import Identity, Owners
from webhook.cluster.snapshot import Listing
from webhook.errors import BadDocument, Denial, quote
from webhook.fit.answer import Answer
from webhook.fit.demand import PodCounts, PodKind, Shape, by_hand, demand_of, key_of, kind_again, namespace_of
from webhook.fit.fit import fit
from webhook.fit.parts import counted
from webhook.fit.replicas import EACH_NODE
from webhook.fleet.fleet import Fleet
from webhook.slices import request
from webhook.slices.request import ANNOTATION

MOST_REMARKS = 20
"""Remarks that are printed.  The others are counted."""

MOST_PODS = 10_000_000
"""Pods in all.  A cluster has some 100,000."""


class Wanted:
    """Pods by what decides about them."""

    def __init__(self, fleet: Fleet, namespace: str) -> None:
        self.fleet, self.namespace = fleet, namespace
        self.counts: dict[bytes, int] = defaultdict(int)
        self.kinds: dict[bytes, PodKind | None] = {}
        self.code = 0
        self.denied = 0
        self.uncounted: list[str] = []
        """Objects whose pods ask for slices, and it is not known how many there are."""
        self.unsliced = 0
        self.remarks = 0
        self.documents = 0

    def demand(self) -> PodCounts:
        """How many pods of each kind there are."""
        return demand_of((kind, self.counts[key]) for key, kind in self.kinds.items() if kind is not None)

    def by_namespace(self) -> dict[tuple[str, PodKind], int]:
        """How many pods of each kind there are in a namespace."""
        counts: dict[tuple[str, PodKind], int] = defaultdict(int)
        for key, kind in self.kinds.items():
            if kind is not None and self.counts[key]:
                counts[namespace_of(key) or self.namespace, kind] += self.counts[key]
        return counts

    def pools(self) -> list[str]:
        """The pools that serve the pods."""
        indexes = {index for kind in self.demand() for index, _ in kind.served}
        return [self.fleet.pools[index].name for index in sorted(indexes)]

    def instance_types(self) -> tuple[list[str], list[str]]:
        """The instance types that serve the pods, and those that other layouts would let serve them, too."""
        served = self._types(shape for kind in self.demand() for shape in kind.served)
        possible = self._types(shape for kind in self.demand() for shape in kind.possible)
        return served, [name for name in possible if name not in served]

    def _types(self, shapes: Iterable[Shape]) -> list[str]:
        pools = self.fleet.pools
        names = (pools[index].shapes[number].instance_type.name for index, number in sorted(set(shapes)))
        return list(dict.fromkeys(names))

    def need(self, text: str) -> None:
        """Add the pods of an option, such as ``1g.5gb=120``."""
        value, _, count = text.rpartition("=")
        count = count.strip().lstrip("0") or count.strip()
        if not value or not count.isdecimal():
            raise click.BadParameter(f"{quote(text)}: write it as in 1g.5gb=120", param_hint="--need")
        pods = int(count[:20])  # which is too many, too
        names = ["main"]
        with suppress(Denial):  # so is its preview
            names = [each.container or "main" for each in request.parse(value)]
        pod = {"metadata": {"name": text, "annotations": {ANNOTATION: value}},
               "spec": {"containers": [{"name": name} for name in names]}}  # fmt: skip
        self._add(Subject("--need", text, None, {"apiVersion": "v1", "kind": "Pod", **pod}), pods)

    def read(self, paths: tuple[Path, ...], progress: Progress) -> None:
        """Add the pods of all documents in *paths*, each once: neither with its owner nor with what it owns again."""
        owners = Owners()
        held: list[tuple[Identity, Subject, int, str]] = []
        for _, found in files.read_all(paths):
            self.documents += 1
            progress(f"read {self.documents:,} objects with {sum(self.counts.values()):,} pods")
            if isinstance(found, BadDocument):
                self._remark(line(line("not read", fg="red", bold=True), f": {found}"))
                self.code = 3
                continue
            for subject, count, remark in counted(found.value):
                if not isinstance(subject.source, dict):
                    self._add(subject, count, remark)
                    continue
                makes = subject.pod is not None and subject.controller is not None
                sure = makes and (not remark or subject.controller == EACH_NODE)
                runs = subject.pod is not None and count > 0
                identity = owners.add(subject.source, self.namespace, runs=runs, counted=sure)
                asks = subject.pod is not None or subject.strays
                if asks and (owners.owned(identity) or not (sure or (subject.pod and subject.controller is None))):
                    held.append((identity, subject, count, remark))
                else:
                    self._add(subject, count, remark)
        for identity, subject, count, remark in held:
            certain = subject.pod is not None and not remark
            if not owners.covered(identity) and (certain or not owners.owns(identity)):
                self._add(subject, count, remark)
        if paths and not self.documents:
            raise click.UsageError(f"{', '.join(map(str, paths))}: contains no objects")

    def look(self, pods: Listing[LivePod]) -> None:
        """Add the pods of a cluster that run or wait."""
        if pods.problem:
            self._remark(f"not all pods are counted: {pods.problem}")
            self.code = 3
        for pod in pods.items:
            if pod.status.ended:
                continue
            title = f"Pod {pod.metadata.namespace}/{pod.metadata.name}"
            try:
                if (key := pod.key) not in self.kinds:
                    self.kinds[key] = kind_again(key, self.fleet)
                if self.kinds[key] is None:
                    self.unsliced += by_hand(Pod(pod.metadata, pod.spec))
            except Denial as denial:
                self.code, self.denied = max(self.code, 1), self.denied + 1
                self._remark(f"{title}: it would be denied now, so it is not counted: {denial}")
                continue
            if self.kinds[key] is not None:
                if not self.counts[key] and ANNOTATION not in Pod(pod.metadata, pod.spec).annotations:
                    where = f"namespace '{pod.metadata.namespace}' has the label {DEFAULT}"
                    self._remark(f"{title}: it, and all that are like it, are counted as sliced: this holds if {where}")
                self.counts[key] += 1

    def _add(self, subject: Subject, count: int, remark: str = "") -> None:
        if sum(self.counts.values()) + count > MOST_PODS:
            raise click.UsageError(
                f"{subject.title[:100]}: there are more than {MOST_PODS:,} pods in all. Give fewer, such as a "
                "thousandth of each, and multiply the answer."
            )
        key, unsliced = b"", False
        if subject.pod is not None:
            with suppress(Denial):  # its preview is denied, too
                pod = convert(subject.pod)
                unsliced = by_hand(pod)
                if not subject.advice and not subject.strays:
                    key = key_of(pod, subject.namespace or self.namespace)
        if key not in self.kinds:
            key = self._look(subject, count) or key
        if self.kinds.get(key) is None:
            self.unsliced += count if unsliced else 0
            return
        self.counts[key] += count
        if subject.controller == EACH_NODE:
            self.uncounted.append(subject.title)
        if remark:
            self._note(subject, remark)

    def _look(self, subject: Subject, count: int) -> bytes | None:
        """Preview *subject*, and say what is wrong with it; its key if it gets slices."""
        found = None
        for preview in previews(subject, self.fleet, self.namespace):
            if preview.denial is not None or preview.problem:
                self.code = max(self.code, 3 if preview.problem else 1)
                self.denied += count if preview.outcome == "denied" and preview.subject.pod is not None else 0
                for text in show.remarks(preview):
                    echo(text, err=True)
                continue
            for note in preview.subject.advice:
                self._note(preview.subject, note)
            asks = subject.pod is not None or any(stray.key == ANNOTATION for stray in subject.strays)
            if preview.plan is None and asks and not subject.makes_no_pods:
                self.uncounted.append(subject.title)
            if preview.plan is not None and subject.pod is not None:
                found = key_of(convert(subject.pod), subject.namespace or self.namespace)
                if found not in self.kinds:
                    self.kinds[found] = kind_again(found, self.fleet)
        return found

    def _note(self, subject: Subject, text: str) -> None:
        self._remark(line(f"{subject.title}: ", line("note", fg="yellow"), f": {text}"))

    def _remark(self, text: str) -> None:
        self.remarks += 1
        if self.remarks <= MOST_REMARKS:
            echo(text, err=True)

    def say(self) -> None:
        """What is to be said about all of them, on stderr."""
        if self.remarks > MOST_REMARKS:
            echo(f"more remarks like these: {self.remarks - MOST_REMARKS:,}", err=True)
        if self.unsliced:
            echo(
                f"pods that ask for GPUs by hand, without the annotation, are not counted: {self.unsliced:,}", err=True
            )

    def differences(self, best: Answer, better: Fleet, prices: Mapping[str, float] | None) -> Iterator[str]:
        """Where the pods do otherwise on the *better* fleet than *best* says: alternatives may be taken differently."""
        kinds: list[tuple[PodKind, int]] = []
        for key, kind in self.kinds.items():
            if kind is None:
                continue
            try:
                again = kind_again(key, better)
            except Denial as denial:
                yield f"warning: {self.counts[key]:,} pods would be denied with it: {denial}"
                continue
            if again is not None:
                kinds.append((again, self.counts[key]))
        found = fit(demand_of(kinds), better, prices).current
        if found.left or found.cost > best.cost + 1e-6:
            yield "warning: with it, alternatives of the pods are taken differently; run fit again with it"
