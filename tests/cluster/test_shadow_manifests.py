"""Shadow as helm and kustomize install it, held against what `gpu-slice check` wants.  No cluster is asked."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from tests.cluster import programs
from tests.cluster.cluster import Document
from tests.cluster.conftest import skip
from tests.cluster.helm import MAJORS, Helm, read
from tests.cluster.install import ADMISSION, CONFIGURATION, MANIFESTS, NAME
from tests.cluster.test_chart import kustomize
from tests.unit.check_facts import done, facts
from webhook.cli import files
from webhook.cluster.check import Status
from webhook.cluster.objects import BINDINGS, WEBHOOKS
from webhook.fleet.fleet import Fleet

BINDING = "ValidatingAdmissionPolicyBinding"
POOL = {"gpu": "a100-40gb", "partition": {"mig": {"1g.5gb": 7}}, "instanceTypes": ["p4d.24xlarge"]}


def fleet(pools: list[str | None] | None = None, **fields: object) -> Document:
    """A fleet file; of its *pools* with these modes."""
    entries = [
        {"name": f"p{number}", **POOL, **({"mode": mode} if mode else {})}
        for number, mode in enumerate(pools or [None])
    ]
    return {"apiVersion": "gpu-slice/v1", "pools": entries, **fields}


SHADOW, ENFORCE = {"mode": "shadow"}, {"mode": "enforce"}
CASES = [
    pytest.param(fleet(), "Fail", ["Deny"], None, id="nothing"),
    pytest.param(fleet(mode="enforce", namespaces={"a": ENFORCE, "b": {}}),
                 "Fail", ["Deny"], None, id="nothing, in words"),
    pytest.param(fleet(mode="shadow"), "Ignore", ["Audit"], None, id="all"),
    pytest.param(fleet(mode="shadow", namespaces={"a": {"slices": ["1g.5gb"]}}),
                 "Ignore", ["Audit"], None, id="all, also an entry"),
    pytest.param(fleet(mode="shadow", namespaces={"b": ENFORCE, "a": ENFORCE, "c": {}}),
                 "Ignore", ["Deny"], ("In", ["a", "b"]), id="all but two"),
    pytest.param(fleet(namespaces={"b": SHADOW, "a": SHADOW, "c": {}}),
                 "Ignore", ["Deny"], ("NotIn", ["a", "b"]), id="two"),
    pytest.param(fleet(namespaces={"*": SHADOW}), "Ignore", ["Audit"], None, id="the others, and there are none"),
    pytest.param(fleet(namespaces={"*": SHADOW, "a": {}}), "Ignore", ["Deny"], ("In", ["a"]), id="the others"),
    pytest.param(fleet(mode="shadow", namespaces={"*": ENFORCE, "a": {}}),
                 "Ignore", ["Deny"], ("NotIn", ["a"]), id="all but the others"),
    pytest.param(fleet(["shadow", None]), "Ignore", ["Audit"], None, id="a pool"),
    pytest.param(fleet([None, "enforce"], defaults=SHADOW), "Ignore", ["Audit"], None, id="pools by default"),
    pytest.param({**fleet(["shadow", None]), "pools": [{"name": "p0", **POOL, **SHADOW, "retired": True},
                                                      {"name": "p1", **POOL}]},
                 "Fail", ["Deny"], None, id="a retired pool"),
    pytest.param(fleet(["enforce"], defaults=SHADOW), "Fail", ["Deny"], None, id="a default that no pool has"),
    pytest.param(fleet(["shadow"], namespaces={"a": ENFORCE}),
                 "Ignore", ["Audit"], None, id="a pool beside a namespace that enforces"),
]  # fmt: skip


@pytest.fixture(scope="module", name="helm", params=MAJORS, ids="helm-{}".format)
def _helm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    try:
        return Helm(programs.helm(request.param), tmp_path_factory.mktemp("helm"))
    except programs.BuildError as error:
        skip(error)


def verdicts(found: dict[tuple[str, str], Document], served: Fleet) -> list[Status]:
    """What `gpu-slice check` says of the parts of the API server."""
    about = facts({BINDINGS: [found[BINDING, NAME]], WEBHOOKS: [found[CONFIGURATION, NAME]]}, served)
    return [done(name, about).status for name in ("guard-bound", "webhook-fails-closed")]


@pytest.mark.parametrize(("file", "policy", "actions", "selects"), CASES)
def test_the_chart_has_the_api_server_refuse_no_pod_that_is_in_shadow(
    helm: Helm, file: Document, policy: str, actions: list[str], selects: tuple[str, list[str]] | None
) -> None:
    found = read(helm.template(values={"fleet": file}))

    assert {each["failurePolicy"] for each in found[CONFIGURATION, NAME]["webhooks"]} == {policy}
    shipped = yaml.safe_load(found["ConfigMap", "webhook-configuration"]["data"]["webhook.yaml"])
    assert {each["failurePolicy"] for each in shipped["webhooks"]} == {policy}
    spec = found[BINDING, NAME]["spec"]
    assert spec["validationActions"] == actions
    expressions = spec.get("matchResources", {}).get("namespaceSelector", {}).get("matchExpressions", [])
    key = {"key": "kubernetes.io/metadata.name"}
    assert expressions == ([key | {"operator": selects[0], "values": selects[1]}] if selects else [])

    assert verdicts(found, files.load_fleet(json.dumps(file).encode())) == [Status.GOOD, Status.GOOD]


def test_the_guard_of_the_chart_may_wait_until_all_replicas_enforce(helm: Helm) -> None:
    found = read(helm.template(values={"fleet": fleet(), "guard": {"validationActions": ["Audit"]}}))
    assert found[BINDING, NAME]["spec"]["validationActions"] == ["Audit"]


def test_the_component_of_kustomize_has_the_api_server_refuse_no_pod(tmp_path: Path) -> None:
    manifests = Path(os.path.relpath(MANIFESTS, tmp_path.resolve()))
    kustomization = {"resources": [str(manifests)], "components": [str(manifests / "shadow")]}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(kustomization))
    found = read(kustomize(tmp_path, tmp_path))

    assert found[CONFIGURATION, NAME]["apiVersion"] == ADMISSION
    for case in CASES:
        file, policy, *_ = case.values
        served = files.load_fleet(json.dumps(file).encode())
        wanted = Status.GOOD if policy == "Ignore" else Status.FAILED
        assert verdicts(found, served) == [wanted, wanted], case.id
