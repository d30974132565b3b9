"""The chart as the real helm renders it, 4 and 3.  No cluster is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chart import values
from tests.cluster import programs
from tests.cluster.cluster import Document
from tests.cluster.conftest import skip
from tests.cluster.helm import CHART, HELM_LABELS, MAJORS, Helm, comparable, overlay, read
from tests.cluster.install import MANIFESTS
from tests.stories import FLEETS
from webhook import __version__ as VERSION
from webhook import documents
from webhook.cli import files

Objects = dict[tuple[str, str], Document]


@pytest.fixture(scope="module", name="helm", params=MAJORS, ids="helm-{}".format)
def _helm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    try:
        return Helm(programs.helm(request.param), tmp_path_factory.mktemp("helm"))
    except programs.BuildError as error:
        skip(error)


def kustomize(folder: Path, home: Path) -> str:
    """What ``kubectl kustomize`` prints."""
    try:
        kubectl = programs.control_plane() / "kubectl"
    except programs.BuildError as error:
        skip(error)
    done = Helm(kubectl, home)("kustomize", str(folder))
    assert done.returncode == 0, done.stderr
    return done.stdout


def kustomized(folder: str, tmp_path: Path) -> Objects:
    """What kustomize makes of a folder of ``manifests``."""
    return read(kustomize(MANIFESTS / folder, tmp_path))


def nested(path: str, value: Any) -> Document:
    """*value* under a path with dots."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def merged(*all_values: Document) -> Document:
    """As helm merges files of values."""
    found: Document = {}
    for each in all_values:
        for key, value in each.items():
            both = isinstance(value, dict) and isinstance(found.get(key), dict)
            found[key] = merged(found[key], value) if both else value
    return found


CERT_MANAGER = nested("certificates.mode", "cert-manager")
KEEPERS = {("ConfigMap", "webhook-configuration")}
"""What only the keeper reads: kustomize cannot leave it out."""


@pytest.mark.parametrize(
    ("folder", "given", "without"),
    [
        pytest.param(".", {}, set(), id="the default"),
        pytest.param("cert-manager", CERT_MANAGER, KEEPERS, id="with cert-manager"),
    ],
)
def test_it_renders_object_by_object_what_kustomize_makes(helm, tmp_path, folder, given, without) -> None:
    ours, theirs = read(helm.template(values=given)), kustomized(folder, tmp_path)

    # Helm makes the namespace itself, with --create-namespace.
    assert ours.keys() == theirs.keys() - {("Namespace", "gpu-slice")} - without
    for key, document in ours.items():
        assert comparable(document) == comparable(theirs[key]), key
        labels = document["metadata"]["labels"]
        assert (theirs[key]["metadata"].get("labels") or {}).items() <= labels.items()
        assert labels.keys() >= HELM_LABELS


@pytest.mark.parametrize(
    ("folder", "given"),
    [pytest.param(".", {}, id="the default"), pytest.param("cert-manager", CERT_MANAGER, id="cert-m")],
)
def test_an_overlay_of_kustomize_in_another_namespace_is_the_chart_in_that_namespace(
    helm, tmp_path, folder, given
) -> None:
    ours = read(helm.template(values=given, namespace="gpus"))

    theirs = read(kustomize(overlay(tmp_path, "gpus", folder), tmp_path))

    assert theirs["Namespace", "gpus"]["metadata"]["name"] == "gpus"
    for key in ours.keys() - KEEPERS:  # its text stays as it was, and the keeper knows its namespace
        assert comparable(ours[key]) == comparable(theirs[key]), key


def test_the_monitors_are_those_of_kustomize(helm, tmp_path) -> None:
    ours, theirs = read(helm.template(values=nested("podMonitor.enabled", True))), kustomized("monitoring", tmp_path)

    for name in ("webhook", "keeper"):
        assert comparable(ours["PodMonitor", name]) == comparable(theirs["PodMonitor", name])


def test_the_fleet_of_the_default_is_the_built_in_one_to_the_letter(helm) -> None:
    data = read(helm.template())["ConfigMap", "fleet"]["data"]

    assert data == {"fleet.yaml": (MANIFESTS / "webhook" / "fleet.yaml").read_text()}


def test_another_namespace_and_name_leave_no_trace_of_the_usual_ones(helm) -> None:
    def at(namespace: str, release: str) -> str:
        done = helm.render(namespace=namespace, release=release)
        assert done.returncode == 0, done.stderr
        return done.stdout

    ours, usual = read(at("gpus", "slicer")), read(at("gpu-slice", "gpu-slice"))

    assert ours.keys() == usual.keys()
    assert {each["metadata"].get("namespace", "gpus") for each in ours.values()} == {"gpus"}
    for key, document in ours.items():
        # What differs is exactly what names the namespace or the release.
        text = json.dumps(comparable(document))
        for there, here in NAMESPACED:
            text = text.replace(there, here)
        assert json.loads(text) == comparable(usual[key]), key
    assert "gpu-slice" not in {each["metadata"]["labels"]["app.kubernetes.io/instance"] for each in ours.values()}


NAMESPACED = (
    ('"namespace": "gpus"', '"namespace": "gpu-slice"'),
    ('"values": ["gpus", "kube-system"]', '"values": ["gpu-slice", "kube-system"]'),
    ("system:serviceaccount:gpus:keeper", "system:serviceaccount:gpu-slice:keeper"),
    ("--namespace=gpus", "--namespace=gpu-slice"),
    ("--tls-name=webhook.gpus.svc", "--tls-name=webhook.gpu-slice.svc"),
)


def test_cert_manager_is_told_the_namespace(helm) -> None:
    found = read(helm.template(values=CERT_MANAGER, namespace="gpus"))

    assert found["Certificate", "webhook"]["spec"]["dnsNames"] == ["webhook.gpus.svc", "webhook.gpus.svc.cluster.local"]
    for kind, name in (("Mutating", "gpu-slice"), ("Validating", "gpu-slice-advice")):
        annotations = found[f"{kind}WebhookConfiguration", name]["metadata"]["annotations"]
        assert annotations == {"cert-manager.io/inject-ca-from": "gpus/webhook"}


def test_in_kube_system_no_quota_limits_the_pods_of_others(helm) -> None:
    found = read(helm.template(namespace="kube-system"))

    assert [kind for kind, _ in found if kind == "ResourceQuota"] == []
    selector = found["MutatingWebhookConfiguration", "gpu-slice"]["webhooks"][0]["namespaceSelector"]
    assert selector["matchExpressions"][0]["values"] == ["kube-system"]


def test_nobody_renders_a_certificate_or_a_ca(helm) -> None:
    for mode in ("keeper", "cert-manager", "secret"):
        text = helm.template(values=nested("certificates.mode", mode))
        assert "caBundle:" not in text
        assert [each for each in read(text).values() if each["kind"] == "Secret" and "data" in each] == []


def test_what_stands_in_the_cluster_is_what_the_keeper_holds_it_against(helm) -> None:
    given = merged(nested("webhook.timeoutSeconds", 5), nested("webhook.annotations", {"a": "b"}))
    found = read(helm.template(values=given, namespace="gpus"))
    data = found["ConfigMap", "webhook-configuration"]["data"]

    for name, key in (("webhook.yaml", ("MutatingWebhookConfiguration", "gpu-slice")),
                      ("advice.yaml", ("ValidatingWebhookConfiguration", "gpu-slice-advice"))):  # fmt: skip
        (shipped,) = documents.read(data[name], name=name)
        assert shipped.value == found[key]


def pod_spec(found: Objects, name: str = "webhook") -> Document:
    return found["Deployment", name]["spec"]["template"]["spec"]


def main(found: Objects, name: str = "webhook") -> Document:
    (container,) = pod_spec(found, name)["containers"]
    return container


def both(found: Objects, of: Callable[[Document], Any]) -> Any:
    """What both pods have."""
    webhook, keeper = (of(pod_spec(found, name)) for name in ("webhook", "keeper"))
    assert webhook == keeper
    return webhook


def images(found: Objects) -> list[str]:
    """Those of the webhook and of the keeper."""
    return [main(found, name)["image"] for name in ("webhook", "keeper")]


def webhooks(found: Objects, key: str) -> set[Any]:
    return {each[key] for each in found["MutatingWebhookConfiguration", "gpu-slice"]["webhooks"]}


def scaled(found: Objects) -> Document:
    """The autoscaler of the webhook's Deployment."""
    spec = found["HorizontalPodAutoscaler", "webhook"]["spec"]
    assert found["Deployment", spec["scaleTargetRef"]["name"]]["apiVersion"] == spec["scaleTargetRef"]["apiVersion"]
    return spec


def policy(found: Objects, name: str = "webhook") -> Document:
    return found["NetworkPolicy", name]["spec"]


def sources(found: Objects, name: str) -> list[str]:
    """The namespaces that may scrape."""
    rule = policy(found, name)["ingress"][-1]
    return [each["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for each in rule["from"]]


DIGEST = "sha256:" + "0123456789abcdef" * 4
FLEET = documents.read(FLEETS["teams"].read_bytes(), name="teams")[0].value
AFFINITY = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
SPREAD = [{"topologyKey": "zone", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"}]
CPU = {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}

RENDERED: list[tuple[str, Any, Document, Callable[[Objects], Any], Any]] = [
    ("image.repository", "a.b:5000/c", {}, images, [f"a.b:5000/c:{VERSION}", f"a.b:5000/c-keeper:{VERSION}"]),
    ("image.tag", "1.2.3", {}, images, ["gpu-slice:1.2.3", "gpu-slice-keeper:1.2.3"]),
    ("image.digest", DIGEST, {}, images, [f"gpu-slice@{DIGEST}", f"gpu-slice-keeper:{VERSION}"]),
    ("image.digest", DIGEST, nested("image.tag", "1"), images, [f"gpu-slice:1@{DIGEST}", "gpu-slice-keeper:1"]),
    ("keeper.image.repository", "a.b:5000/k", {}, images, [f"gpu-slice:{VERSION}", f"a.b:5000/k:{VERSION}"]),
    ("keeper.image.tag", "2", nested("image.tag", "1"), images, ["gpu-slice:1", "gpu-slice-keeper:2"]),
    ("keeper.image.digest", DIGEST, {}, images, [f"gpu-slice:{VERSION}", f"gpu-slice-keeper@{DIGEST}"]),
    ("image.pullPolicy", "Always", {}, lambda it: both(it, lambda pod: pod["containers"][0]["imagePullPolicy"]),
     "Always"),
    ("imagePullSecrets", [{"name": "a"}], {}, lambda it: both(it, lambda pod: pod["imagePullSecrets"]),
     [{"name": "a"}]),
    ("fleet", FLEET, {}, lambda it: documents.read(it["ConfigMap", "fleet"]["data"]["fleet.yaml"])[0].value, FLEET),
    ("fleetReader", False, {}, lambda it: [name for _, name in it if name == "fleet-reader"], []),
    ("replicas", 5, {}, lambda it: it["Deployment", "webhook"]["spec"]["replicas"], 5),
    ("autoscaling.enabled", True, {}, lambda it: "replicas" in it["Deployment", "webhook"]["spec"], False),
    ("autoscaling.enabled", False, {}, lambda it: ("HorizontalPodAutoscaler", "webhook") in it, False),
    ("autoscaling.minReplicas", 4, nested("autoscaling.enabled", True), lambda it: scaled(it)["minReplicas"], 4),
    ("autoscaling.maxReplicas", 9, nested("autoscaling.enabled", True), lambda it: scaled(it)["maxReplicas"], 9),
    ("autoscaling.maxReplicas", 20, nested("autoscaling.enabled", True),
     lambda it: it["ResourceQuota", "critical-pods"]["spec"]["hard"], {"pods": "80"}),
    ("autoscaling.cpu", "250m", nested("autoscaling.enabled", True),
     lambda it: scaled(it)["metrics"][0]["resource"]["target"]["averageValue"], "250m"),
    ("replicas", 20, {}, lambda it: it["ResourceQuota", "critical-pods"]["spec"]["hard"], {"pods": "80"}),
    ("resources", CPU, {}, lambda it: main(it)["resources"]["requests"], {"cpu": "1", "memory": "64Mi"}),
    ("nodeSelector", {"a": "b"}, {}, lambda it: both(it, lambda pod: pod["nodeSelector"]), {"a": "b"}),
    ("tolerations", [{"key": "a"}], {}, lambda it: both(it, lambda pod: pod["tolerations"]), [{"key": "a"}]),
    ("tolerations", [], {}, lambda it: both(it, lambda pod: pod.get("tolerations")), None),
    ("affinity", AFFINITY, {}, lambda it: both(it, lambda pod: pod["affinity"]), AFFINITY),
    ("topologySpreadConstraints", SPREAD, {}, lambda it: pod_spec(it)["topologySpreadConstraints"],
     [SPREAD[0] | {"matchLabelKeys": ["pod-template-hash"], "labelSelector": {"matchLabels": {
         "app.kubernetes.io/name": "gpu-slice", "app.kubernetes.io/component": "webhook"}}}]),
    ("topologySpreadConstraints", [SPREAD[0] | {"labelSelector": {}, "matchLabelKeys": ["a"]}], {},
     lambda it: pod_spec(it)["topologySpreadConstraints"][0]["matchLabelKeys"], ["a"]),
    ("priorityClassName", "mine", {}, lambda it: both(it, lambda pod: pod["priorityClassName"]), "mine"),
    ("priorityClassName", "mine", {}, lambda it: ("ResourceQuota", "critical-pods") in it, False),
    ("priorityClassName", "", {}, lambda it: both(it, lambda pod: "priorityClassName" in pod), False),
    ("resourceQuota", False, {}, lambda it: ("ResourceQuota", "critical-pods") in it, False),
    ("additionalLabels", {"a": "b"}, {}, lambda it: {each["metadata"]["labels"]["a"] for each in it.values()}, {"b"}),
    ("podLabels", {"a": "b"}, {}, lambda it: it["Deployment", "keeper"]["spec"]["template"]["metadata"]["labels"]["a"],
     "b"),
    ("podAnnotations", {"a": "b"}, {},
     lambda it: it["Deployment", "webhook"]["spec"]["template"]["metadata"]["annotations"], {"a": "b"}),
    ("logLevel", "debug", {}, lambda it: main(it)["args"][-1], "--log-level=debug"),
    ("podDisruptionBudget.enabled", False, {}, lambda it: ("PodDisruptionBudget", "webhook") in it, False),
    ("podDisruptionBudget.maxUnavailable", "40%", {},
     lambda it: it["PodDisruptionBudget", "webhook"]["spec"]["maxUnavailable"], "40%"),
    ("podDisruptionBudget.minAvailable", 2, nested("podDisruptionBudget.maxUnavailable", None),
     lambda it: it["PodDisruptionBudget", "webhook"]["spec"].get("maxUnavailable", "none"), "none"),
    ("podDisruptionBudget.minAvailable", 0, nested("podDisruptionBudget.maxUnavailable", None),
     lambda it: it["PodDisruptionBudget", "webhook"]["spec"]["minAvailable"], 0),
    ("networkPolicy.enabled", False, {}, lambda it: [name for kind, name in it if kind == "NetworkPolicy"], []),
    ("networkPolicy.scrapers", ["a", "b"], {}, lambda it: (sources(it, "webhook"), sources(it, "keeper")),
     (["a", "b"], ["a", "b"])),
    ("networkPolicy.scrapers", [], {}, lambda it: ("ingress" in policy(it, "keeper"), len(policy(it)["ingress"])),
     (False, 1)),
    ("networkPolicy.apiServers", ["10.0.0.0/24", "fd00::/8"], {}, lambda it: policy(it)["ingress"][0]["from"],
     [{"ipBlock": {"cidr": "10.0.0.0/24"}}, {"ipBlock": {"cidr": "fd00::/8"}}]),
    ("networkPolicy.apiServerPorts", [8443], {}, lambda it: policy(it, "keeper")["egress"][0]["ports"],
     [{"port": 8443, "protocol": "TCP"}]),
    ("webhook.timeoutSeconds", 5, {}, lambda it: webhooks(it, "timeoutSeconds"), {5}),
    ("webhook.failurePolicy", "Ignore", nested("guard.enabled", False), lambda it: webhooks(it, "failurePolicy"),
     {"Ignore"}),
    ("webhook.port", 9443, {},
     lambda it: (main(it)["args"][-1], main(it)["ports"][0]["containerPort"], policy(it)["ingress"][0]["ports"]),
     ("--port=9443", 9443, [{"port": 9443, "protocol": "TCP"}])),
    ("webhook.annotations", {"a": "b"}, CERT_MANAGER,
     lambda it: it["ValidatingWebhookConfiguration", "gpu-slice-advice"]["metadata"]["annotations"],
     {"a": "b", "cert-manager.io/inject-ca-from": "gpu-slice/webhook"}),
    ("advice.enabled", False, {},
     lambda it: (("ValidatingWebhookConfiguration", "gpu-slice-advice") in it, main(it, "keeper")["args"][-1]),
     (False, "--configuration=/etc/gpu-slice/configuration/webhook.yaml")),
    ("guard.enabled", False, {},
     lambda it: sorted(name for kind, name in it if kind == "ValidatingAdmissionPolicy"), ["gpu-slice-keeper"]),
    ("guard.validationActions", ["Warn", "Audit"], {},
     lambda it: it["ValidatingAdmissionPolicyBinding", "gpu-slice"]["spec"]["validationActions"], ["Warn", "Audit"]),
    ("certificates.mode", "secret", {}, lambda it: [key for key in it if "keeper" in key[1] or key[0] == "Secret"], []),
    ("certificates.secretName", "mine", nested("certificates.mode", "secret"),
     lambda it: pod_spec(it)["volumes"][0]["secret"]["secretName"], "mine"),
    ("certificates.issuerRef", {"kind": "ClusterIssuer", "name": "a"}, CERT_MANAGER,
     lambda it: {name: each["spec"].get("issuerRef") for (kind, name), each in it.items() if each["apiVersion"]
                 == "cert-manager.io/v1"}, {"webhook": {"kind": "ClusterIssuer", "name": "a"}}),
    ("keeper.resources", CPU, {}, lambda it: main(it, "keeper")["resources"]["limits"], {"memory": "1Gi"}),
    ("podMonitor.enabled", True, CERT_MANAGER, lambda it: [name for kind, name in it if kind == "PodMonitor"],
     ["webhook"]),
    ("podMonitor.interval", "1m", nested("podMonitor.enabled", True),
     lambda it: it["PodMonitor", "keeper"]["spec"]["podMetricsEndpoints"][0]["interval"], "1m"),
    ("podMonitor.labels", {"release": "a"}, nested("podMonitor.enabled", True),
     lambda it: it["PodMonitor", "webhook"]["metadata"]["labels"]["release"], "a"),
    ("serviceMonitor.enabled", True, {},
     lambda it: [it["Service", f"{name}-metrics"]["metadata"]["labels"].items()
                 >= it["ServiceMonitor", name]["spec"]["selector"]["matchLabels"].items()
                 for name in ("webhook", "keeper")], [True, True]),
    ("serviceMonitor.enabled", True, {},
     lambda it: it["ServiceMonitor", "webhook"]["spec"]["selector"]["matchLabels"].items()
     <= it["Service", "webhook"]["metadata"]["labels"].items(), False),
    ("serviceMonitor.interval", "1m", nested("serviceMonitor.enabled", True),
     lambda it: it["ServiceMonitor", "keeper"]["spec"]["endpoints"][0]["interval"], "1m"),
    ("serviceMonitor.labels", {"release": "a"}, nested("serviceMonitor.enabled", True),
     lambda it: it["ServiceMonitor", "webhook"]["metadata"]["labels"]["release"], "a"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "beside", "found", "expected"),
    [pytest.param(*each, id=f"{each[0]} {json.dumps(each[1])[:30]}") for each in RENDERED],
)
def test_a_value_is_rendered(helm, path, value, beside, found, expected) -> None:
    assert found(read(helm.template(values=merged(beside, nested(path, value))))) == expected


def test_every_documented_value_is_tried() -> None:
    assert {path for path, *_ in RENDERED} == {".".join(value.path) for value in values()}


CONTRADICTIONS = [
    ({"image": {"repository": "a.b:5000/c:1"}}, "image.repository: 'a.b:5000/c:1' has a tag or a digest. Write it as"),
    (nested("keeper.image.repository", "a/k:1"), "keeper.image.repository: 'a/k:1' has a tag or a digest."),
    ({"image": {"repository": f"c@{DIGEST}"}}, "has a tag or a digest. Write it as image.tag or image.digest."),
    (nested("webhook.port", 8080), "webhook.port: 8080 is the port of health and metrics. Write another one"),
    (nested("certificates.secretName", "a"), "certificates.secretName: 'a' is for certificates.mode secret, and the"),
    (nested("certificates.issuerRef.name", "a"), "certificates.issuerRef: it is for certificates.mode cert-manager"),
    (merged(CERT_MANAGER, nested("certificates.issuerRef.kind", "Issuer")), "certificates.issuerRef: it has no name."),
    (nested("webhook.failurePolicy", "Ignore"), "webhook.failurePolicy: Ignore has no effect beside the guard"),
    (nested("guard.validationActions", ["Warn", "Deny"]), "the API server takes Deny or Warn, not both."),
    (nested("podDisruptionBudget.minAvailable", 2), "maxUnavailable is 1 and minAvailable is 2, and Kubernetes takes"),
    (nested("podDisruptionBudget.maxUnavailable", None), "neither maxUnavailable nor minAvailable is set."),
    (nested("podDisruptionBudget.maxUnavailable", 0), "with 0, no node of the webhook can be drained."),
    (nested("podDisruptionBudget.maxUnavailable", "0%"), "with 0%, no node of the webhook can be drained."),
    (nested("podDisruptionBudget", {"maxUnavailable": None, "minAvailable": 3}),
     "podDisruptionBudget.minAvailable: with 3 of 3 replicas, no node of the webhook can be drained."),
    (nested("podDisruptionBudget", {"maxUnavailable": None, "minAvailable": "100%"}), "with 100% of 3 replicas"),
    (merged(nested("autoscaling", {"enabled": True, "minReplicas": 4}),
            nested("podDisruptionBudget", {"maxUnavailable": None, "minAvailable": 4})),
     "with 4 of 4 replicas, no node of the webhook can be drained. Write less than autoscaling.minReplicas."),
    (nested("autoscaling", {"enabled": True, "minReplicas": 2}), "autoscaling.minReplicas: 2 is less than replicas, 3"),
    (nested("autoscaling", {"enabled": True, "maxReplicas": 2}),
     "autoscaling.maxReplicas: 2 is less than minReplicas, 3. Write at least as many."),
    ({"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}, "each pod would be scraped twice."),
    ({"podMonitor": {"enabled": True}, "networkPolicy": {"scrapers": []}}, "networkPolicy.scrapers: it is empty, so"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "sentence"), CONTRADICTIONS, ids=[each[1][:50] for each in CONTRADICTIONS])
def test_values_that_contradict_each_other_are_refused_with_a_sentence(helm, given, sentence) -> None:
    done = helm.render(values=given)

    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stdout == ""


POOL = FLEET["pools"][0]

WRONG = [
    pytest.param({"replica": 3}, "replica", id="a misspelt value"),
    pytest.param({"replicas": 0}, "replicas", id="no replicas"),
    pytest.param({"replicas": "3"}, "replicas", id="a string for a number"),
    pytest.param(nested("autoscaling.cpu", "80%"), "cpu", id="a share of what is asked for"),
    pytest.param(nested("autoscaling.cpu", "2"), "cpu", id="more than a replica can use"),
    pytest.param({"image": "a/b:1"}, "image", id="a string for a group"),
    pytest.param(nested("image.digest", "0123"), "digest", id="no digest"),
    pytest.param(nested("webhook.timeoutSeconds", 30), "timeoutSeconds", id="longer than a server waits for itself"),
    pytest.param(nested("webhook.port", 0), "port", id="no port"),
    pytest.param(nested("certificates.mode", "Keeper"), "mode", id="a mode that there is not"),
    pytest.param(nested("networkPolicy.apiServers", ["10.0.0.1"]), "apiServers", id="an address without its length"),
    pytest.param(nested("podLabels", {"app.kubernetes.io/name": "a"}), "app.kubernetes.io/name", id="a label of ours"),
    pytest.param(nested("keeper.replicas", 2), "replicas", id="a value that there is not, in a group"),
    pytest.param({"fleet": {"pools": [POOL]}}, "apiVersion", id="a fleet without apiVersion"),
    pytest.param({"fleet": {**FLEET, "pool": []}}, "pool", id="a fleet with a misspelt field"),
    pytest.param({"fleet": {**FLEET, "pools": [{**POOL, "instanceTypes": "p5.48xlarge"}]}}, "instanceTypes",
                 id="a fleet with a string for a list"),
    pytest.param({"fleet": {**FLEET, "pools": [{**POOL, "partitions": {}}]}}, "partitions",
                 id="a pool with a misspelt field"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "named"), WRONG)
def test_the_schema_refuses_a_wrong_value_and_names_it(helm, given, named) -> None:
    done = helm.render(values=given)

    assert done.returncode == 1
    assert "values don't meet the specifications of the schema" in done.stderr
    assert named in done.stderr


@pytest.mark.parametrize("name", [name for name, path in FLEETS.items() if path])
def test_every_fleet_of_the_tests_is_rendered_as_the_same_fleet(helm, name, tmp_path) -> None:
    (given,) = documents.read(FLEETS[name].read_bytes(), name=name)
    text = read(helm.template(values={"fleet": given.value}))["ConfigMap", "fleet"]["data"]["fleet.yaml"]
    path = tmp_path / "fleet.yaml"
    path.write_text(text)

    assert documents.read(text)[0].value == given.value
    assert files.fleet_at(path).pools  # it is a good one, too


def test_a_chart_above_this_one_may_set_what_helm_gives_to_all(helm) -> None:
    assert helm.template(values={"global": {"a": 1}, "enabled": True}) == helm.template()


@pytest.mark.parametrize(
    "given",
    [
        {},
        CERT_MANAGER,
        nested("certificates.mode", "secret"),
        nested("serviceMonitor.enabled", True),
        nested("autoscaling.enabled", True),
    ],
    ids=str,
)
def test_helm_finds_nothing_to_complain_of(helm, tmp_path, given) -> None:
    path = tmp_path / "values.json"
    path.write_text(json.dumps(given))
    done = helm("lint", "--strict", f"--kube-version={programs.kubernetes()}", "-f", str(path), str(CHART))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout
    assert "[ERROR]" not in done.stdout


def test_a_package_of_it_renders_the_same(helm, tmp_path) -> None:
    done = helm("package", str(CHART), "-d", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (package,) = tmp_path.glob("*.tgz")

    rendered = helm("template", "gpu-slice", str(package), "-n", "gpu-slice", f"--kube-version={programs.kubernetes()}")

    assert package.name == f"gpu-slice-{VERSION}.tgz"
    assert rendered.stdout == helm.template()


def test_an_older_kubernetes_is_refused(helm) -> None:
    done = helm("template", "gpu-slice", str(CHART), "--kube-version=1.29")

    assert done.returncode == 1
    assert "chart requires kubeVersion: >=1.30.0-0" in done.stderr
