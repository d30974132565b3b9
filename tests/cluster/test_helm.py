"""The chart in a real cluster, by the real helm, 4 and 3: installed, upgraded, rolled back and taken away."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from kubernetes import config
from kubernetes.dynamic.exceptions import DynamicApiError

from certs.cluster import Cluster as Store
from certs.cluster import Names
from certs.keeper import Keeper
from certs.metrics import KeeperMetrics
from certs.shipped import Shipped
from tests.chart import CHART
from tests.cluster import programs
from tests.cluster.cluster import Cluster, Document, cluster
from tests.cluster.conftest import skip
from tests.cluster.helm import MAJORS, Helm, overlay, read
from tests.cluster.install import ADMISSION, ADVICE, CONFIGURATION, MANIFESTS, PROBE
from tests.cluster.nodes import nodes
from tests.waiting import wait_for
from webhook.fleet.fleet import Fleet

BINDING = "ValidatingAdmissionPolicyBinding"
OURS = "app.kubernetes.io/name=gpu-slice"


@pytest.fixture(scope="module", name="cluster")
def _cluster(tmp_path_factory: pytest.TempPathFactory, fleet: Fleet) -> Iterator[Cluster]:
    """A control plane of this module's own, with nothing of ours."""
    try:
        programs.control_plane()
    except programs.BuildError as error:
        skip(error)
    with cluster(tmp_path_factory.mktemp("helm-cluster")) as found:
        for node in nodes(fleet):
            found.add_node(node)
        yield found


@pytest.fixture(scope="module", name="helm", params=MAJORS, ids="helm-{}".format)
def _helm(request: pytest.FixtureRequest, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    try:
        program = programs.helm(request.param)
    except programs.BuildError as error:
        skip(error)
    return Helm(program, tmp_path_factory.mktemp("helm"), cluster.plane.kubeconfig)


_numbers = itertools.count(1)


class Release:
    """The chart in a namespace of the test's own."""

    def __init__(self, cluster: Cluster, helm: Helm) -> None:
        self.cluster, self.helm = cluster, helm
        self.namespace = f"gpus-{next(_numbers)}"

    def __call__(self, verb: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Install, upgrade … whatever it says."""
        chart = [str(CHART)] if verb in ("install", "upgrade") else []
        return self.helm(verb, "slicer", *chart, "-n", self.namespace, *options)

    def done(self, verb: str, *options: str) -> str:
        """What it says, without an error or a warning."""
        done = self(verb, *options)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return done.stdout

    def objects(self) -> dict[tuple[str, str], Document]:
        """What there is of ours, also of the whole cluster."""
        found = {}
        for kind in KINDS:
            got = self.cluster.kubectl("get", kind, "-n", self.namespace, "-l", OURS, "-o", "json")
            assert got.returncode == 0, got.stderr
            for each in json.loads(got.stdout)["items"]:
                if not each["metadata"].get("ownerReferences"):
                    found[each["kind"], each["metadata"]["name"]] = each
        return found

    def generations(self) -> dict[tuple[str, str], Any]:
        """What of each object changes with each write that changes something; controllers write status."""
        return {
            key: {**each, "metadata": {**each["metadata"], "managedFields": None, "resourceVersion": None}, "status": 0}
            for key, each in self.objects().items()
        }

    def keep(self, folder: Path) -> Keeper:
        """A keeper with the rights and the arguments of the one in the namespace."""
        return keeper(self.cluster, self.namespace, folder)

    def kept(self) -> list[Any]:
        """What the keeper wrote."""
        found = self.objects()
        secrets = [found["Secret", name].get("data") for name in ("webhook-ca", "webhook-tls")]
        entries = [*found[CONFIGURATION, "gpu-slice"]["webhooks"], *found[ADVICE, "gpu-slice-advice"]["webhooks"]]
        return [*secrets, *(each["clientConfig"].get("caBundle") for each in entries)]


def keeper(cluster: Cluster, namespace: str, folder: Path) -> Keeper:
    """A keeper with the rights and the arguments of the one in *namespace*."""
    for name, text in cluster.get("ConfigMap", "webhook-configuration", namespace)["data"].items():
        (folder / name).write_text(text)
    api = config.new_client_from_config(str(cluster.plane.kubeconfig))
    api.set_default_header("Impersonate-User", f"system:serviceaccount:{namespace}:keeper")
    shipped, advice = (Shipped(folder / name, namespace) for name in ("webhook.yaml", "advice.yaml"))
    return Keeper(Store(api, Names(namespace=namespace)), KeeperMetrics(), shipped=shipped, advice=advice)


KINDS = (
    "serviceaccounts", "resourcequotas", "services", "horizontalpodautoscalers", "poddisruptionbudgets",
    "networkpolicies", "configmaps", "secrets",
    "deployments", "roles", "rolebindings", "clusterroles", "clusterrolebindings", "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
)  # fmt: skip


@pytest.fixture(name="release")
def _release(cluster: Cluster, helm: Helm) -> Iterator[Release]:
    release = Release(cluster, helm)
    yield release
    release("uninstall", "--ignore-not-found")
    cluster.kubectl("delete", "namespace", release.namespace, "--ignore-not-found", "--wait=false")


def test_it_is_installed_upgraded_rolled_back_and_taken_away(cluster, release, tmp_path) -> None:
    """P26, P42."""
    cluster.create({**PROBE, "metadata": {"name": f"running-{release.namespace}", "namespace": "default"}})

    notes = release.done("install", "--create-namespace")
    assert f"kubectl -n {release.namespace} rollout status deployment/webhook" in notes
    assert "No image is published under the name" in notes
    rendered = read(release.helm("get", "manifest", "slicer", "-n", release.namespace).stdout)
    assert release.objects().keys() == rendered.keys()

    # The keeper of the chart does its work in this namespace, and finds what it expects.
    keep = release.keep(tmp_path)
    keep.turn()
    kept = release.kept()
    assert all(kept)
    assert len({*kept[2:]}) == 1
    assert f"webhook.{release.namespace}.svc" in keep.names
    for shipped, key in ((keep.shipped, (CONFIGURATION, "gpu-slice")), (keep.advice, (ADVICE, "gpu-slice-advice"))):
        assert shipped.differences(release.objects()[key]) == ()

    # Nothing changes without a change, as often as one likes.
    before = release.generations()
    for _ in range(2):
        release.done("upgrade")
        assert release.generations() == before

    release.done("upgrade", "--set", "replicas=4", "--set", "webhook.timeoutSeconds=5")
    after = release.generations()
    assert {key for key in after if after[key] != before[key]} == {
        ("Deployment", "webhook"), (CONFIGURATION, "gpu-slice"), ("ConfigMap", "webhook-configuration"),
    }  # fmt: skip
    assert release.kept() == kept
    release.done("rollback", "1")
    assert {key: bare(each) for key, each in release.generations().items()} == {
        key: bare(each) for key, each in before.items()
    }
    assert release.kept() == kept

    release.done("upgrade", "--set", "autoscaling.enabled=true")
    autoscaler = release.objects()["HorizontalPodAutoscaler", "webhook"]["spec"]
    assert (autoscaler["minReplicas"], autoscaler["maxReplicas"]) == (3, 6)

    release.done("uninstall")
    wait_for("nothing of ours is left", lambda: not release.objects())
    pod = cluster.get("Pod", f"running-{release.namespace}", "default")
    assert "deletionTimestamp" not in pod["metadata"]
    assert cluster.get("Namespace", release.namespace) is not None  # helm removes none
    cluster.delete("Pod", pod["metadata"]["name"], "default")


def bare(document: Document) -> Document:
    """Without what counts writes."""
    metadata = {key: value for key, value in document["metadata"].items() if key != "generation"}
    annotations = {key: value for key, value in metadata.get("annotations", {}).items() if "revision" not in key}
    return {**document, "metadata": {**metadata, "annotations": annotations}}


def test_a_second_release_in_the_cluster_is_refused_and_says_whose_the_first_is(cluster, helm, release) -> None:
    release.done("install", "--create-namespace")
    second = Release(cluster, helm)

    done = second("install", "--create-namespace")

    assert done.returncode == 1
    assert "invalid ownership metadata" in done.stderr
    assert f'current value is "{release.namespace}"' in done.stderr
    # It leaves nothing behind, and the first is whole.
    assert second("uninstall", "--ignore-not-found").returncode == 0
    assert cluster.list("Deployment", second.namespace, "apps/v1") == []
    assert release.cluster.get(CONFIGURATION, "gpu-slice", api_version=ADMISSION) is not None


def test_the_next_major_of_helm_takes_over_and_certificates_stay(cluster, release, tmp_path) -> None:
    release.done("install", "--create-namespace")
    release.keep(tmp_path).turn()
    kept, before = release.kept(), release.generations()
    try:
        release.helm = Helm(programs.helm(4), release.helm.home, cluster.plane.kubeconfig)
    except programs.BuildError as error:
        skip(error)

    release.done("upgrade", "--set", "replicas=4")

    assert release.kept() == kept
    after = release.generations()
    assert {key for key in after if after[key] != before[key]} == {("Deployment", "webhook")}


def test_with_certificates_by_hand_the_notes_say_all_that_has_to_be_done(cluster, release, tmp_path) -> None:
    notes = release.done("install", "--create-namespace", "--set", "certificates.mode=secret")
    about, _, _ = notes.partition("Wait until it answers")
    commands = "\n".join(line for line in about.partition("made by hand:")[2].splitlines())
    path = f"{cluster.plane.kubectl.parent}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "KUBECONFIG": str(cluster.plane.kubeconfig)}

    done = subprocess.run(
        ["bash", "-e", "-c", commands], cwd=tmp_path, env=environment, capture_output=True, text=True
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    secret = cluster.get("Secret", "webhook-tls", release.namespace)["data"]
    assert secret.keys() >= {"tls.crt", "tls.key"}
    bundle = base64.b64encode((tmp_path / "tls" / "ca.crt").read_bytes()).decode()
    for kind, name in ((CONFIGURATION, "gpu-slice"), (ADVICE, "gpu-slice-advice")):
        entries = cluster.get(kind, name, api_version=ADMISSION)["webhooks"]
        assert {each["clientConfig"]["caBundle"] for each in entries} == {bundle}
    certificate = x509.load_pem_x509_certificate(base64.b64decode(secret["tls.crt"]))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert f"webhook.{release.namespace}.svc" in names.get_values_for_type(x509.DNSName)
    # What was made by hand is not the release's to take away.
    release.done("upgrade", "--set", "certificates.mode=secret", "--set", "replicas=4")
    release.done("uninstall")
    assert cluster.get("Secret", "webhook-tls", release.namespace)["data"] == secret


def test_what_kustomize_installed_becomes_a_release_and_nothing_of_it_changes(cluster, helm) -> None:
    release = Release(cluster, helm)
    release.namespace = "gpu-slice"
    bundle = [{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "YQ=="}]

    def specs() -> dict[tuple[str, str], Document]:
        """All but metadata and status, of what kustomize makes."""
        got = cluster.kubectl("get", "-k", str(MANIFESTS), "-o", "json")
        assert got.returncode == 0, got.stderr
        found = {(each["kind"], each["metadata"]["name"]): each for each in json.loads(got.stdout)["items"]}
        # Here the comments are not in it.
        del found["ConfigMap", "webhook-configuration"]
        return {key: {**each, "metadata": None, "status": None} for key, each in found.items()}

    try:
        assert cluster.kubectl("apply", "-k", str(MANIFESTS)).returncode == 0
        patched = cluster.kubectl("patch", CONFIGURATION, "gpu-slice", "--type=json", "-p", json.dumps(bundle))
        assert patched.returncode == 0, patched.stderr
        before = specs()

        # Helm 4 applies on the server's side, and kubectl has owned the fields until now.
        release.done("install", "--take-ownership", *(["--force-conflicts"] if "helm-4" in str(helm.program) else []))

        assert specs() == before
        assert before[CONFIGURATION, "gpu-slice"]["webhooks"][0]["clientConfig"]["caBundle"] == "YQ=="
    finally:
        release("uninstall", "--ignore-not-found")
        cluster.kubectl("delete", "--ignore-not-found", "-k", str(MANIFESTS))


def test_a_binding_that_is_deleted_before_the_takeover_refuses_nothing_in_shadow(cluster, helm, tmp_path) -> None:
    """And one that was not is mended afterwards, by what docs/helm.md says."""
    release = Release(cluster, helm)
    release.namespace = "gpu-slice"
    delete = ["delete", "validatingadmissionpolicybinding", "gpu-slice"]
    assert f"kubectl {' '.join(delete)}\n" in (MANIFESTS.parent / "docs" / "helm.md").read_text()
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps({"fleet": {**yaml.safe_load((CHART / "fleet.yaml").read_text()), "mode": "shadow"}}))
    taken = ["--take-ownership", *(["--force-conflicts"] if "helm-4" in str(helm.program) else []), "-f", str(values)]

    def actions() -> list[str]:
        return cluster.get(BINDING, "gpu-slice", api_version=ADMISSION)["spec"]["validationActions"]

    try:
        assert cluster.kubectl("apply", "-k", str(MANIFESTS)).returncode == 0
        assert actions() == ["Deny"]
        assert cluster.kubectl(*delete).returncode == 0
        release.done("install", *taken)
        assert actions() == ["Audit"]

        assert cluster.kubectl(*delete).returncode == 0
        assert cluster.kubectl("apply", "-k", str(MANIFESTS)).returncode == 0
        assert actions() == ["Deny"]
        release.done("upgrade", *taken)  # which with Helm 4 leaves Deny beside Audit
        assert cluster.kubectl(*delete).returncode == 0
        release.done("upgrade", "-f", str(values))
        assert actions() == ["Audit"]
    finally:
        release("uninstall", "--ignore-not-found")
        cluster.kubectl("delete", "--ignore-not-found", "-k", str(MANIFESTS))


def test_another_name_and_namespace_guard_their_own_pods_alone(cluster, release) -> None:
    """P2: our own pods are created while nobody answers, and those of a namespace called gpu-slice are not ours."""
    release.done("install", "--create-namespace")
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gpu-slice-not-ours"}})

    def probe(namespace: str) -> str:
        metadata = {**PROBE["metadata"], "namespace": namespace}
        try:
            cluster.create({**PROBE, "metadata": metadata}, dry_run=True)
        except DynamicApiError as error:
            return json.loads(error.body)["message"]
        return "created"

    wait_for("the webhook is registered", lambda: "failed calling webhook" in probe("gpu-slice-not-ours"))
    assert probe(release.namespace) == "created"
    ready: Callable[[], bool] = lambda: (  # noqa: E731
        cluster.get("Deployment", "webhook", release.namespace, "apps/v1")["status"].get("readyReplicas") == 3
    )
    wait_for("three replicas are ready", ready)
    cluster.delete("Namespace", "gpu-slice-not-ours")


def test_a_gitops_tool_that_applies_what_is_rendered_leaves_the_keepers_fields_alone(
    cluster, release, tmp_path
) -> None:
    """As Argo CD does with ServerSideApply=true, and without it."""
    text = release.helm.template(namespace=release.namespace)
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": release.namespace}})
    try:
        for options in (["--server-side", "--field-manager=argocd-controller"], ["--server-side=false"]):
            apply = ["apply", "--validate=strict", *options, "-f", "-"]
            assert cluster.kubectl(*apply, stdin=text).returncode == 0
            release.keep(tmp_path).turn()
            kept = release.kept()

            for _ in range(2):
                again = cluster.kubectl(*apply, stdin=text)
                assert again.returncode == 0, again.stderr
                assert release.kept() == kept
            assert cluster.kubectl("delete", "-f", "-", stdin=text).returncode == 0
    finally:
        cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=text)


def test_an_overlay_of_kustomize_in_another_namespace_works_as_a_whole(cluster, tmp_path) -> None:
    """P2, P26."""
    folder = str(overlay(tmp_path, "overlaid"))
    try:
        applied = cluster.kubectl("apply", "--validate=strict", "-k", folder)
        assert (applied.returncode, applied.stderr) == (0, ""), applied.stderr
        keep = keeper(cluster, "overlaid", tmp_path)

        keep.turn()

        assert "webhook.overlaid.svc" in keep.names
        for kind, name, shipped in (
            (CONFIGURATION, "gpu-slice", keep.shipped), (ADVICE, "gpu-slice-advice", keep.advice)
        ):  # fmt: skip
            stored = cluster.get(kind, name, api_version=ADMISSION)
            assert all(each["clientConfig"]["caBundle"] for each in stored["webhooks"])
            assert {each["clientConfig"]["service"]["namespace"] for each in stored["webhooks"]} == {"overlaid"}
            assert shipped.differences(stored) == ()
        # The policy knows the account: it may change nothing else.
        change = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
        account = "--as=system:serviceaccount:overlaid:keeper"
        told = wait_for(
            "the policy is in force",
            lambda: (
                said := cluster.kubectl(
                    "patch", CONFIGURATION, "gpu-slice", "--type=json", "-p", json.dumps(change), account,
                    "--dry-run=server",
                )
            ).returncode
            and said.stderr,
        )  # fmt: skip
        assert "the account of the keeper may change caBundle and nothing else" in told
        assert cluster.kubectl("diff", "-k", folder).returncode == 0
    finally:
        cluster.kubectl("delete", "--ignore-not-found", "-k", folder)


@pytest.fixture(scope="module", name="schemas")
def _schemas(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The schemas of this API server, as kubeconform reads them: a file a kind, with all that it refers to."""
    folder = tmp_path_factory.mktemp("schemas")
    served = json.loads(cluster.kubectl("get", "--raw", "/openapi/v2").stdout)["definitions"]
    for rule in served.values():
        if "properties" in rule:
            rule["additionalProperties"] = False
        if rule.get("format") == "int-or-string":
            rule["type"] = ["integer", "string"]
    for name, rule in served.items():
        for kind in rule.get("x-kubernetes-group-version-kind", ()):
            group = kind["group"].partition(".")[0]
            parts = [kind["kind"], *([group] if group else []), kind["version"]]
            schema = {"$ref": f"#/definitions/{name}", "definitions": served}
            if kind["kind"] in WHOLE:
                (folder / f"{'-'.join(parts).lower()}.json").write_text(json.dumps(schema))
    return folder


WHOLE = {
    "ServiceAccount", "ResourceQuota", "Service", "PodDisruptionBudget", "NetworkPolicy", "ConfigMap", "Secret",
    "Deployment", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", CONFIGURATION, ADVICE,
    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
}  # fmt: skip


def conformed(schemas: Path, text: str) -> subprocess.CompletedProcess[str]:
    try:
        program = programs.kubeconform()
    except programs.BuildError as error:
        skip(error)
    command = [str(program), "-strict", "-summary", "-schema-location"]
    location = str(schemas) + "/{{.ResourceKind}}{{.KindSuffix}}.json"
    return subprocess.run([*command, location, "-"], input=text, capture_output=True, text=True, timeout=300)


def test_what_is_rendered_conforms_to_the_schemas_of_the_api_server(helm, schemas) -> None:
    text = helm.template("--set", "webhook.port=9443", "--set", "image.pullPolicy=Always")

    done = conformed(schemas, text)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Valid: 27, Invalid: 0, Errors: 0, Skipped: 0" in done.stdout
    assert conformed(schemas, text.replace("minReadySeconds: 5", "minReadySecond: 5")).returncode == 1
