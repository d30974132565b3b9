"""How many pods an object runs at once, as far as its fields say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from webhook.admission.contents import mapping
from webhook.admission.kinds import find
from webhook.admission.workloads import Subject

ENDED = ("Succeeded", "Failed")
"""Phases of pods that hold no slice any more."""

_STEP = re.compile(r"\[(?P<bracket>[^\]]*+)(?:\]|\Z)|(?P<name>[^.\[]+)")
_SCALED = {"ScaledJob", "Workflow", "Configuration"}
"""Kinds whose objects do not say how many pods there are."""
_TEMPLATES = ("Template", "TrainingRuntime")
"""How the names of kinds end whose objects run nothing until another one uses them."""
_STOPPED = {"kubeflow-resource-stopped": None, "serving.kserve.io/stop": "true"}
"""Annotations with which an object runs nothing; None: whatever the value is."""
_QUEUE = "kueue.x-k8s.io/queue-name"
"""The label of objects that are suspended only until Kueue lets them run."""
_ENDS = (*ENDED, "Complete", "Completed")
"""Conditions of Jobs, of whatever kind, that have ended."""
EACH_NODE = "DaemonSet"


def running(subject: Subject) -> tuple[int, str]:
    """How many pods like that of *subject* run at once, and a remark; the number is 1 where nobody knows it."""
    if subject.controller == EACH_NODE:
        return 0, "it runs on each node, and is not counted: take its slices off every node"
    if subject.controller is None:
        return int(mapping(subject.pod, "status").get("phase") not in ENDED), ""
    source = subject.source if isinstance(subject.source, Mapping) else {}
    around = list(_around(subject))
    if any(_ended(each) for each, _ in around):
        return 0, ""
    if any(stopped(each) for each, _ in around) and not any(_QUEUE in _metadata(each, "labels") for each, _ in around):
        return 0, "it is suspended, so it is counted as 0"
    number, known = 1, False
    for each, key in around:
        for factor in _factors(each, key):
            if factor is None or factor < 0:
                return 1, "it is not known how many pods it runs at once: counted as 1"
            number, known = number * factor, True
    if subject.controller.endswith(_TEMPLATES):
        return number, f"it runs nothing until another object uses it: counted as {number}"
    kind = find(source.get("apiVersion"), subject.controller) or find(None, subject.controller)
    knative = kind is not None and kind.group == "serving.knative.dev"
    if not known and (kind is None or kind.name in _SCALED or knative):
        return 1, "it does not say how many pods it runs at once: counted as 1"
    return number, ""


def _ended(each: Mapping[str, Any]) -> bool:
    """Whether it is a Job, of whatever kind, that has ended."""
    conditions = mapping(each, "status").get("conditions")
    return str(each.get("kind")).endswith(("Job", "JobSet")) and any(
        mapping({"": condition}, "").get("type") in _ENDS and condition.get("status") == "True"
        for condition in (conditions if isinstance(conditions, list) else ())
    )


def stopped(each: Mapping[str, Any]) -> bool:
    """Whether a field or an annotation says that nothing of it runs."""
    annotations = _metadata(each, "annotations")
    return (
        each.get("suspend") is True
        or mapping(each, "runPolicy").get("suspend") is True
        or any(name in annotations and value in (None, annotations[name]) for name, value in _STOPPED.items())
    )


def _metadata(each: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    return mapping(mapping(each, "metadata"), field)


def _around(subject: Subject) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The mappings around the template of *subject*, the outermost first, each with the key that leads further."""
    value: Any = subject.source
    for step in _STEP.finditer(subject.template):
        key = step["bracket"] if step["bracket"] is not None else step["name"]
        if isinstance(value, Mapping):
            yield value, key
            value = value.get(key)
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return


def _factors(around: Mapping[str, Any], key: str) -> Iterator[int | None]:
    """By what *around* multiplies the pods of what stands at *key*; None for what is no number."""
    if key in ("leaderTemplate", "workerTemplate"):  # LeaderWorkerSet: one leader, and the others are workers
        size = number(around.get("size", 1))
        alone = key == "workerTemplate" and around.get("leaderTemplate") is not None
        yield 1 if key == "leaderTemplate" else size and size - alone
    elif "parallelism" in around or "completions" in around:
        parallel = number(around.get("parallelism"))
        completions = parallel if around.get("completions") is None else number(around["completions"])
        yield None if parallel is None or completions is None else min(parallel, completions)
    if "replicas" in around or "minReplicas" in around:
        yield number(around.get("replicas", around.get("minReplicas")))
    if "numOfHosts" in around:
        yield number(around["numOfHosts"])


def number(value: Any) -> int | None:
    """A number of pods; null is 1, as where it is absent."""
    if value is None:
        return 1
    if isinstance(value, float) and value.is_integer():  # a number of more than 64 bits is read as one
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
