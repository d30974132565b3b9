"""`check` notices a Secret of the certificates that is not there, as far as the user may look."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.check_facts import deployment, done, facts, printed, told
from webhook.cluster.check import Facts, Status
from webhook.cluster.objects import DEPLOYMENTS, SECRETS

CURE = "Apply this file alone: kubectl apply -f manifests/keeper/secrets.yaml"
THERE = {"metadata": {"name": "s"}}
REFUSED = "you may not get Secret webhook-ca in namespace gpu-slice"


def having(kept: bool = True, **secrets: Any) -> Facts:
    """A cluster in which the keeper runs, if it is *kept*, and of these Secrets that is known."""
    single: dict[Any, Any] = {(SECRETS.name, "gpu-slice", name): found for name, found in secrets.items()}
    if kept:
        single[DEPLOYMENTS.name, "gpu-slice", "keeper"] = deployment("keeper", "gpu-slice", 1)
    return facts(single=single)


@pytest.mark.parametrize("name", ["webhook-ca", "webhook-tls"])
def test_a_keeper_that_lost_a_secret_renews_nothing(name: str) -> None:
    line = done("keeper", having(**{"webhook-ca": THERE, "webhook-tls": THERE, name: None}))
    assert (line.status, told(line)) == (Status.FAILED, f"there is no Secret {name} in namespace gpu-slice")
    assert CURE in line.cure(line.problems[0])


def test_both_are_told_with_one_cure() -> None:
    line = done("keeper", having(**{"webhook-ca": None, "webhook-tls": None}))
    assert sum(CURE in text for text in printed(line)) == 1
    assert len(line.problems) == 2


def test_what_may_not_be_looked_at_is_said_and_fails_nothing() -> None:
    line = done("keeper", having(**{"webhook-ca": REFUSED, "webhook-tls": THERE}))
    assert (line.status, line.notes) == (Status.GOOD, (REFUSED,))


@pytest.mark.parametrize(("kept", "cure"), [(True, CURE), (False, "kubectl -n gpu-slice describe certificates")])
def test_without_its_secret_the_webhook_has_no_certificate(kept: bool, cure: str) -> None:
    line = done("leaf", having(kept, **{"webhook-tls": None}))
    assert line.status is Status.FAILED
    assert told(line).startswith("there is no Secret webhook-tls in namespace gpu-slice")
    assert cure in line.cure(line.problems[0])


def test_one_that_is_empty_has_no_certificate() -> None:
    line = done("leaf", having(**{"webhook-tls": THERE}))
    assert told(line) == "Secret webhook-tls has no certificate"


def test_without_a_keeper_nobody_misses_its_secret() -> None:
    assert "Secret" not in told(done("keeper", having(kept=False, **{"webhook-ca": None})))
