"""Answering a review asks nobody and opens nothing."""

from __future__ import annotations

import json
import subprocess
import sys

JAIL = """
import json, sys
from webhook.admission.review import answer
from webhook.cli import files
from webhook.admission.plan import plan

fleet = files.fleet_at(None)
def planner(pod, namespace):
    return plan(pod, fleet, namespace)
reviews = json.loads(sys.stdin.read())
answer(reviews[0], planner)  # whatever is imported late is imported now
seen = []
sys.addaudithook(lambda event, _: seen.append(event))
answers = [answer(review, planner).body for review in reviews]
print(json.dumps({"seen": sorted(set(seen)), "answers": answers}))
"""


def review(annotation: str, *, dry_run: bool) -> dict:
    pod = {"metadata": {"annotations": {"gpu-slice": annotation}}, "spec": {"containers": [{"name": "main"}]}}
    request = {
        "uid": "a-uid",
        "operation": "CREATE",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": "team-a",
        "object": pod,
        "dryRun": dry_run,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def test_deciding_opens_no_file_and_no_socket_and_starts_nothing_and_a_dry_run_is_no_different() -> None:
    """P9."""
    asked = ["1g.5gb", "1/7", "10Gi", "shared", "1g5gb", "1g.10gb@h100 | 2g.10gb", "../../etc/passwd", "${x}"]
    reviews = [review(each, dry_run=dry) for each in asked for dry in (False, True)]

    run = subprocess.run(
        [sys.executable, "-c", JAIL], input=json.dumps(reviews), capture_output=True, text=True, check=True
    )

    found = json.loads(run.stdout)
    harmless = {"builtins.id", "object.__getattr__", "object.__setattr__", "sys.addaudithook", "sys._getframe"}
    assert set(found["seen"]) <= harmless
    assert found["answers"][0::2] == found["answers"][1::2]
