"""`gpu-slice check`: a cluster held against its fleet, one line a check.

facts          what was read; `look` reads it
result         a check as data, and what becomes of it
comparison     an object as it is, and as it was rendered
checks     install · access · registration · guard · policy · karpenter · rendered · overlays · plugin · nodes · pods
"""

from __future__ import annotations

from webhook.cluster.check import (
    access,
    guard,
    install,
    karpenter,
    nodes,
    overlays,
    plugin,
    pods,
    policy,
    registration,
    rendered,
)
from webhook.cluster.check.facts import Facts, Leaf, Probe
from webhook.cluster.check.result import Check, Line, Problem, Status, run

__all__ = ["CATEGORIES", "CHECKS", "Check", "Facts", "Leaf", "Line", "Probe", "Problem", "Status", "run"]

CATEGORIES = ("Kubernetes", "Webhook", "Certificates", "Admission", "Karpenter", "Device plugin", "Nodes", "Pods")
"""In the order of the report: each relies on those before it."""

_ALL = tuple(
    check
    for subject in (install, access, registration, guard, policy, karpenter, rendered, overlays, plugin, nodes, pods)
    for check in subject.CHECKS
)
CHECKS: tuple[Check, ...] = tuple(sorted(_ALL, key=lambda check: CATEGORIES.index(check.category)))
"""All checks.  Ids never change their meaning; ``docs/checks.md`` has a section for each."""
