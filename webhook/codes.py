"""The codes of everything that is said about a pod: a closed list.

A code never changes its meaning: dashboards, suppressions and links are kept by it.  ``docs/messages.md`` has a
paragraph for each.  A new message takes a code of this list, or adds one here and a paragraph there.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

Reason: TypeAlias = Literal[
    "architecture",
    "capacity",
    "conflict",
    "grammar",
    "malformed",
    "namespace",
    "no-mig",
    "no-such-container",
    "node-selector",
    "not-offered",
    "several-pools",
    "stale-assigned",
    "too-large",
    "unknown-gpu",
    "unknown-profile",
    "whole-gpu",
]
"""Why a pod is denied."""

WarningCode: TypeAlias = Literal[
    "costly-fraction",
    "daemon-set-template",
    "first-container",
    "impossible-alternative",
    "more-warnings",
    "namespace-default",
    "no-default",
    "node-name",
    "other-sharing",
    "privileged",
    "resource-claims",
    "several-slices",
    "unheard-of-label",
    "unknown-annotation",
    "visible-devices",
    "whole-gpu-replaced",
    "windows-options",
]
"""What the author of an admitted pod is warned of."""

NoteCode: TypeAlias = Literal["container-name", "misplaced-annotation", "namespace-label", "not-previewed", "unread"]
"""What is said about a document beside its pods, by previews and by advice on workloads."""

Code: TypeAlias = Reason | WarningCode | NoteCode

DENIALS: dict[Reason, str] = {
    "architecture": "The pod does not say that it runs on the architecture of the only nodes with this slice",
    "capacity": "The pod asks for more slices than any node has",
    "conflict": "The pod asks for two things that cannot both be had",
    "grammar": "The value of the annotation cannot be read",
    "malformed": "A field of the pod is not what Kubernetes expects",
    "namespace": "The namespace may not use this slice",
    "no-mig": "This GPU cannot be cut into slices",
    "no-such-container": "The annotation names a container that the pod does not have",
    "node-selector": "The pod excludes every node that has this slice",
    "not-offered": "This cluster does not offer this slice",
    "several-pools": "The slices of this pod are on different kinds of node",
    "stale-assigned": "The record of an earlier answer does not match the pod",
    "too-large": "The pod takes too long to decide",
    "unknown-gpu": "No GPU has this name",
    "unknown-profile": "No GPU has a slice of this name",
    "whole-gpu": "The pod asks for a whole GPU and for a slice",
}
"""Each reason in a sentence."""

WARNINGS: dict[WarningCode, str] = {
    "costly-fraction": "The slice takes more of the GPU than the fraction says",
    "daemon-set-template": "The template of a DaemonSet lacks what its pods need to reach GPU nodes",
    "first-container": "The slice goes to the first container, because none is named",
    "impossible-alternative": "An alternative can never be served",
    "more-warnings": "There are more warnings than are shown",
    "namespace-default": "The pod gets the slice that is the default of its namespace",
    "no-default": "The pod keeps its whole GPU, because it cannot have the default of its namespace",
    "node-name": "The pod names its node, so no scheduler looks for a free slice",
    "other-sharing": "The pod also asks for a part of a GPU in another product's way",
    "privileged": "A privileged container sees every GPU of its node",
    "resource-claims": "The pod also asks for devices by claims",
    "several-slices": "One process uses only one of several slices",
    "unheard-of-label": "The pod selects by a label that no new node has",
    "unknown-annotation": "An annotation looks like one of gpu-slice and is not read",
    "visible-devices": "A container chooses its GPUs by an environment variable",
    "whole-gpu-replaced": "A slice replaces the whole GPU that the container asks for",
    "windows-options": "The pod has options of Windows, and the nodes run Linux",
}
"""Each warning in a sentence."""

NOTES: dict[NoteCode, str] = {
    "container-name": "The API server will refuse the name of a container",
    "misplaced-annotation": "The annotation is in a place where nobody reads it, or is misspelt",
    "namespace-label": "The default of a namespace is given only where the namespace has a label",
    "not-previewed": "A preview does not know the pod that has this annotation",
    "unread": "The document cannot be read",
}
"""Each note in a sentence."""
