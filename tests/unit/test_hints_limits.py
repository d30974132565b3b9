"""What a denial says to write, where pools are in shadow, namespaces are limited, and pods have alternatives."""

from __future__ import annotations

from itertools import product

import pytest

from tests.pods import fleet_of, plan, pod_of
from tests.unit.test_hints import no_less, proposed, refused
from webhook.errors import Denial
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import MigOffer
from webhook.slices.profile import MigProfile

ACME = """
pools:
- {name: train, gpu: a100-80gb, partition: {mig: {3g.40gb: 2}}, instanceTypes: [p4de.24xlarge]}
- {name: small, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge]}
- {name: h100, gpu: h100-80gb, partition: {mig: {1g.10gb: 3, 2g.20gb: 2}}, instanceTypes: [p5.48xlarge]}
- {name: blackwell, gpu: b200, partition: {mig: {1g.23gb: 7}}, instanceTypes: [p6-b200.48xlarge], mode: shadow}
- {name: huge, gpu: b200, partition: {mig: {7g.180gb: 1}}, instanceTypes: [p6-b200.48xlarge], mode: shadow}
- {name: shares, gpu: a10g, partition: {timeSlicing: {replicas: 4}}, instanceTypes: [g5.xlarge]}
- {name: old, gpu: h100-80gb, partition: {mig: {7g.80gb: 1}}, instanceTypes: [p5.48xlarge], retired: true}
namespaces:
  default: {}
  notebooks: {slices: [1g.5gb, shared], default: 1g.5gb}
  interns: {slices: [shared]}
  prod: {pools: [h100, train]}
  trial: {pools: [blackwell, small]}
  dark: {pools: [blackwell]}
  quiet: {mode: shadow}
  locked: {pools: []}
"""
NAMESPACES = ["default", "notebooks", "interns", "prod", "trial", "dark", "quiet", "locked"]
PROFILES = (
    "1g.4gb 1g.5gb 1g.6gb 1g.10gb 1g.12gb 1g.20gb 1g.23gb 1g.24gb 1g.35gb 1g.99gb 2g.10gb 2g.45gb 3g.90gb 4g.96gb"
)
WORDS = [*PROFILES.split(), "7g.80gb", "1/7", "1/8", "1/2", "9Gi", "21Gi", "170Gi", "11gb", "200gb", "shared"]
NOTHING = ("Nothing ", "It may use nothing ", "There are only ", "This namespace may use only ")


def attempt(value: str, fleet: Fleet, namespace: str) -> tuple[Denial | None, bool]:
    """The denial, and whether the pod is only admitted in shadow."""
    denial = refused(pod_of(value), fleet, namespace)
    return denial, denial is None and plan(pod_of(value), fleet, namespace).shadow


def large_enough(value: str, offer: MigOffer) -> bool:
    """Whether *offer* has at least the compute slices and the memory that one of the profiles of *value* names."""
    for word in value.split("|"):
        profile = MigProfile.parse(word.strip())
        if offer.name.compute_slices >= profile.compute_slices and offer.name.memory_gb >= profile.memory_gb:
            return True
    return False


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_what_is_said_to_be_written_is_enforced_if_anything_is(namespace: str) -> None:
    """Whatever alternatives a pod has, and it is no less than one of them."""
    fleet = fleet_of(ACME)
    hints = 0
    for parts in [*((word,) for word in WORDS), *product(WORDS, WORDS)]:
        value = "|".join(parts)
        denial = refused(pod_of(value), fleet, namespace)
        if denial is None or (instead := proposed(denial)) is None:
            continue
        hints += 1
        made = plan(pod_of(instead), fleet, namespace)  # raises a denial if it is not admitted
        assert any(no_less(part, made) for part in parts), f"{value}: {denial}"
        if namespace != "quiet":
            assert ("in shadow: the pod stays as it is" in denial.hint) is made.shadow, f"{value}: {denial}"
    assert hints or namespace in ("interns", "locked")


@pytest.mark.parametrize("namespace", [name for name in NAMESPACES if name != "quiet"])
def test_where_there_is_something_it_is_not_said_that_there_is_nothing(namespace: str) -> None:
    fleet = fleet_of(ACME)
    profiles = PROFILES.split()
    for parts in [*((word,) for word in profiles), *product(profiles, profiles)]:
        value = "|".join(parts)
        denial = refused(pod_of(value), fleet, namespace)
        if denial is None:
            continue
        usable = {
            str(offer): plan(pod_of(str(offer)), fleet, namespace).shadow
            for _, offer in fleet.offers
            if isinstance(offer, MigOffer)
            and large_enough(value, offer)
            and refused(pod_of(str(offer)), fleet, namespace) is None
        }
        instead = proposed(denial)
        assert (instead is None) is not usable, f"{value}: {denial}"
        if instead is not None:
            assert usable[instead] is all(usable.values()), f"{value}: {denial}"
        else:
            assert denial.hint.startswith((*NOTHING, "Ask the platform team")), f"{value}: {denial}"


@pytest.mark.parametrize(
    ("namespace", "asked", "hint"),
    [
        pytest.param("default", "1g.21gb", "Write '3g.40gb', the nearest that is offered (pool train, a100-80gb)",
                     id="a larger one that is enforced, rather than a nearer one in shadow"),
        pytest.param("default", "7g.150gb", "Write '7g.180gb', the nearest that is offered (pool huge, b200), which is"
                     " in shadow: the pod stays as it is", id="only in shadow"),
        pytest.param("trial", "1g.20gb", "Write '1g.23gb', the nearest that this namespace may use (pool blackwell, "
                     "b200), which is in shadow: the pod stays as it is", id="all others are not for the namespace"),
        pytest.param("default", "7g.150gb|3g.30gb", "Write '3g.40gb', the nearest that is offered (pool train, "
                     "a100-80gb)", id="an alternative that is enforced, rather than one in shadow"),
        pytest.param("default", "9g.999gb", "Nothing that is offered has as much: the largest is '3g.40gb' (pool train,"
                     " a100-80gb, 39.25Gi)", id="the largest that is enforced"),
        pytest.param("dark", "9g.99gb", "Nothing that this namespace may use has as much: the largest is '1g.23gb' "
                     "(pool blackwell, b200, 20.5Gi, in shadow)", id="there is only one in shadow"),
        pytest.param("prod", "4g.96gb | 1g.5gb", "Write '1g.10gb', the nearest that this namespace may use (pool h100,"
                     " h100-80gb)", id="the second alternative, in a limited namespace"),
        pytest.param("default", "1g.999gb | 1g.6gb", "Write '1g.10gb', the nearest that is offered (pool h100, "
                     "h100-80gb)", id="the second alternative"),
        pytest.param("prod", "4g.96gb | 4g.71gb", "Nothing that this namespace may use has as much as '4g.96gb': the "
                     "largest is '3g.40gb' (pool train, a100-80gb, 39.25Gi)", id="none of the alternatives"),
        pytest.param("notebooks", "1g.6gb", "Nothing that this namespace may use has as much: the largest is '1g.5gb' "
                     "(pool small, a100-40gb, 4.75Gi)", id="a limited namespace"),
        pytest.param("notebooks", "1g.10gb", "It may use nothing as large, only '1g.5gb' (pool small) and 'shared' "
                     "(pool shares)", id="which others may use"),
        pytest.param("interns", "1g.6gb", "This namespace may use only shares of GPUs, without a size of their own: "
                     "'shared@a10g'", id="only shares for the namespace"),
        pytest.param("prod", "1g.10gb+me", "No slice with media engines is offered to this namespace: if the pod needs "
                     "none, remove the '+me'", id="engines"),
        pytest.param("default", "100x1g.23gb", "Make several pods, of at most 56 each", id="too many of one in shadow"),
        pytest.param("default", "1g23gb", "Write '1g.23gb', though only a pool in shadow has it: the pod stays as it "
                     "is", id="misspelt, and in shadow"),
        pytest.param("quiet", "1g23gb", "Write '1g.23gb'", id="misspelt, where everything is in shadow"),
        pytest.param("default", "20.5Gi", "Write '21Gi' for real memory", id="a size that one in shadow has exactly"),
    ],
)  # fmt: skip
def test_what_the_hint_is(namespace: str, asked: str, hint: str) -> None:
    denial = refused(pod_of(asked), fleet_of(ACME), namespace)
    assert denial is not None
    assert denial.hint == hint


def test_pods_are_split_by_the_nodes_that_enforce() -> None:
    """A node in shadow has more, and a pod that is as large stays as it is."""
    pool = "gpu: a100-40gb, partition: {mig: {1g.5gb: %s}}, instanceTypes: [p4d.24xlarge]"
    fleet = fleet_of(f"pools: [{{name: a, {pool % 2}}}, {{name: b, {pool % 7}, mode: shadow}}]")
    denial = refused(pod_of("100x1g.5gb"), fleet)
    assert denial is not None
    assert denial.hint == "Make several pods, of at most 16 each"
