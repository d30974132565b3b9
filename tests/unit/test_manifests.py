"""What is applied to a cluster, held to itself: names, ports and labels that must agree, and rights that must lack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from certs.authority import service_names
from webhook.server.settings import DRAIN, GRACE, KEEP_ALIVE

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
EXAMPLES = sorted((MANIFESTS / "examples").glob("*.yaml"))
KUSTOMIZATIONS = sorted(MANIFESTS.rglob("kustomization.yaml"))
MADE_FROM_CODE = {MANIFESTS / "webhook" / "fleet.yaml"}

Manifest = dict[str, Any]


def _documents(*paths: Path) -> Iterator[Manifest]:
    for path in paths:
        yield from filter(None, yaml.safe_load_all(path.read_text()))


def _the(kind: str) -> Manifest:
    paths = sorted((MANIFESTS / "webhook").glob("*.yaml"))
    [found] = [document for document in _documents(*paths) if document.get("kind") == kind]
    return found


def _pod_template(workload: Manifest) -> Manifest:
    if workload["kind"] == "Pod":
        return workload
    template: Manifest = workload["spec"]["template"]
    return template


NAMESPACE, ACCOUNT, DEPLOYMENT = _the("Namespace"), _the("ServiceAccount"), _the("Deployment")
SERVICE, BUDGET, POLICY = _the("Service"), _the("PodDisruptionBudget"), _the("NetworkPolicy")
CONFIGURATION = _the("MutatingWebhookConfiguration")
WEBHOOK, DEFAULTS = CONFIGURATION["webhooks"]
ADVICE = _the("ValidatingWebhookConfiguration")
POD = DEPLOYMENT["spec"]["template"]
[CONTAINER] = POD["spec"]["containers"]
PORTS = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
GENERATED = yaml.safe_load((MANIFESTS / "webhook" / "kustomization.yaml").read_text())["configMapGenerator"]


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_a_kustomization_names_every_file_beside_it_and_no_other(path: Path) -> None:
    kustomization = yaml.safe_load(path.read_text())
    named = {path.parent / resource for resource in kustomization.get("resources", [])}
    for generator in kustomization.get("configMapGenerator", []):
        named |= {path.parent / file.rpartition("=")[2] for file in generator["files"]}

    assert [name for name in named - MADE_FROM_CODE if not name.exists()] == []
    beside = set(path.parent.glob("*.yaml")) - {path}
    assert beside - named == set()


def test_applying_everything_installs_the_webhook_and_makes_no_nodes() -> None:
    assert yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"] == ["webhook", "guard", "keeper"]


def test_everything_lives_in_our_namespace() -> None:
    namespaced = [ACCOUNT, DEPLOYMENT, SERVICE, BUDGET, POLICY]

    assert {manifest["metadata"]["namespace"] for manifest in namespaced} == {NAMESPACE["metadata"]["name"]}
    assert {generator["namespace"] for generator in GENERATED} == {NAMESPACE["metadata"]["name"]}


@pytest.mark.parametrize(
    "selector",
    [
        pytest.param(DEPLOYMENT["spec"]["selector"]["matchLabels"], id="Deployment"),
        pytest.param(SERVICE["spec"]["selector"], id="Service"),
        pytest.param(BUDGET["spec"]["selector"]["matchLabels"], id="PodDisruptionBudget"),
        pytest.param(POLICY["spec"]["podSelector"]["matchLabels"], id="NetworkPolicy"),
        *(
            pytest.param(constraint["labelSelector"]["matchLabels"], id=constraint["topologyKey"])
            for constraint in POD["spec"]["topologySpreadConstraints"]
        ),
    ],
)
def test_every_selector_finds_the_webhook_pods_and_only_those(selector: dict[str, str]) -> None:
    assert selector == POD["metadata"]["labels"]


def test_the_api_server_is_sent_to_the_service_and_the_service_to_the_https_port() -> None:
    """P38."""
    client = WEBHOOK["clientConfig"]["service"]
    [port] = SERVICE["spec"]["ports"]

    assert client["namespace"] == SERVICE["metadata"]["namespace"]
    assert client["name"] == SERVICE["metadata"]["name"]
    assert client["port"] == port["port"]
    assert client["path"] == "/mutate"
    assert PORTS[port["targetPort"]] == 10250


def test_health_and_metrics_are_not_behind_the_service() -> None:
    assert {port["targetPort"] for port in SERVICE["spec"]["ports"]} == {"https"}


def test_every_probe_asks_the_ops_port() -> None:
    probes = {name: CONTAINER[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}

    assert PORTS["ops"] == 8080
    assert probes == {
        "startup": {"path": "/healthz", "port": "ops"},
        "readiness": {"path": "/readyz", "port": "ops"},
        "liveness": {"path": "/healthz", "port": "ops"},
    }


def test_the_arguments_point_into_the_volumes_that_are_mounted() -> None:
    mounts = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in POD["spec"]["volumes"]}
    [fleet] = [generator for generator in GENERATED if generator["name"] == "fleet"]

    assert CONTAINER["args"] == [
        "serve", f"--tls-dir={mounts['tls']}", f"--tls-name={service_names('webhook', 'gpu-slice')[0]}",
        f"--fleet={mounts['fleet']}/{fleet['files'][0]}",
    ]  # fmt: skip
    assert volumes.keys() == mounts.keys()
    assert volumes["tls"]["secret"]["secretName"] == "webhook-tls"
    assert volumes["fleet"]["configMap"]["name"] == fleet["name"]
    assert fleet["options"] == {"disableNameSuffixHash": True}


def test_files_are_mounted_as_folders_so_that_the_kubelet_renews_them() -> None:
    assert all(mount["readOnly"] and "subPath" not in mount for mount in CONTAINER["volumeMounts"])


def test_the_key_is_readable_by_the_process_and_by_nobody_else() -> None:
    [secret] = [volume["secret"] for volume in POD["spec"]["volumes"] if "secret" in volume]

    assert secret["defaultMode"] == 0o440
    assert POD["spec"]["securityContext"]["fsGroup"] == POD["spec"]["securityContext"]["runAsGroup"]


def test_the_pods_pass_the_restricted_pod_security_standard_that_their_namespace_enforces() -> None:
    """P35."""
    assert NAMESPACE["metadata"]["labels"] == {
        f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")
    }
    spec = POD["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 65532
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec.keys().isdisjoint({"hostNetwork", "hostPID", "hostIPC", "initContainers"})
    assert all(volume.keys() & {"secret", "configMap"} for volume in spec["volumes"])
    assert all("hostPort" not in port for port in CONTAINER["ports"])


def test_the_pods_hold_no_credential() -> None:
    """P35."""
    assert ACCOUNT["automountServiceAccountToken"] is False
    assert POD["spec"]["automountServiceAccountToken"] is False
    assert POD["spec"]["serviceAccountName"] == ACCOUNT["metadata"]["name"]
    assert POD["spec"]["enableServiceLinks"] is False
    assert "env" not in CONTAINER


def test_memory_is_bounded_and_cpu_is_not() -> None:
    assert CONTAINER["resources"] == {
        "requests": {"cpu": "50m", "memory": "64Mi"},
        "limits": {"memory": "256Mi"},
    }


def test_a_roll_out_or_a_lost_node_leaves_somebody_to_answer() -> None:
    """P30."""
    spec = DEPLOYMENT["spec"]
    spread = {
        constraint["topologyKey"]: constraint["whenUnsatisfiable"]
        for constraint in POD["spec"]["topologySpreadConstraints"]
    }

    assert spec["replicas"] == 3
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert spec["minReadySeconds"] == 5
    assert BUDGET["spec"]["maxUnavailable"] == 1
    assert spread == {
        "topology.kubernetes.io/zone": "ScheduleAnyway",
        "kubernetes.io/hostname": "DoNotSchedule",
    }
    assert POD["spec"]["priorityClassName"] == "system-cluster-critical"
    assert POD["spec"]["tolerations"] == [{"key": "CriticalAddonsOnly", "operator": "Exists"}]  # and no GPU node


def test_a_pod_is_given_longer_to_end_than_the_api_server_keeps_idle_connections() -> None:
    """P29, P31."""
    idle = 90

    assert idle < KEEP_ALIVE
    assert idle < DRAIN
    assert WEBHOOK["timeoutSeconds"] < GRACE
    assert POD["spec"]["terminationGracePeriodSeconds"] == 120 > DRAIN + GRACE


def test_only_new_annotated_pods_are_shown_to_us_and_they_do_not_pass_without_an_answer() -> None:
    assert WEBHOOK["admissionReviewVersions"] == ["v1"]
    assert WEBHOOK["sideEffects"] == "None"
    assert WEBHOOK["timeoutSeconds"] == 2
    assert WEBHOOK["failurePolicy"] == "Fail"
    assert WEBHOOK["reinvocationPolicy"] == "IfNeeded"
    assert WEBHOOK["matchPolicy"] == "Equivalent"
    assert WEBHOOK["rules"] == [
        {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["CREATE"],
            "resources": ["pods"],
            "scope": "Namespaced",
        }
    ]
    asks, mirror, decided = WEBHOOK["matchConditions"]
    assert asks["expression"] == ("has(object.metadata.annotations) && 'gpu-slice' in object.metadata.annotations")
    assert mirror["expression"] == (
        "!has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)"
    )
    assert decided["expression"] == (
        "!has(object.metadata.annotations) || !('gpu-slice/decided-by' in object.metadata.annotations) "
        "|| !('gpu-slice' in object.metadata.annotations)"
    )


def test_the_entry_for_defaults_differs_only_in_which_pods_it_is_for() -> None:
    """A namespace must have asked for it by a label, so that no other pays a call."""
    for entry in (WEBHOOK, DEFAULTS):
        assert {"name", "matchConditions", "namespaceSelector"} <= entry.keys()
    alike = WEBHOOK.keys() - {"name", "matchConditions", "namespaceSelector"}
    assert {key: DEFAULTS[key] for key in alike} == {key: WEBHOOK[key] for key in alike}
    labelled, *excluded = DEFAULTS["namespaceSelector"]["matchExpressions"]
    assert labelled == {"key": "gpu-slice/default", "operator": "Exists"}
    assert excluded == WEBHOOK["namespaceSelector"]["matchExpressions"]
    assert DEFAULTS["matchConditions"][1:] == WEBHOOK["matchConditions"][1:]


def test_the_guard_looks_at_the_pods_that_the_webhook_is_shown() -> None:
    [policy] = _documents(MANIFESTS / "guard" / "policy.yaml")
    [binding] = _documents(MANIFESTS / "guard" / "binding.yaml")
    spec = policy["spec"]

    assert spec["matchConstraints"]["resourceRules"] == WEBHOOK["rules"]
    assert spec["matchConstraints"]["namespaceSelector"] == WEBHOOK["namespaceSelector"]
    assert spec["matchConditions"] == WEBHOOK["matchConditions"][:2]  # also those that a policy has decided
    assert spec["failurePolicy"] == "Fail"
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


def test_a_change_of_a_pod_that_exists_is_never_refused() -> None:
    policy, binding = _documents(MANIFESTS / "guard" / "running.yaml")
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]

    assert rule == WEBHOOK["rules"][0] | {"operations": ["UPDATE"]}
    assert policy["spec"]["matchConstraints"]["namespaceSelector"] == WEBHOOK["namespaceSelector"]
    assert policy["spec"]["failurePolicy"] == "Ignore"
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Warn"]}


def test_a_dead_webhook_stops_neither_itself_nor_the_cluster() -> None:
    """P2."""
    assert WEBHOOK["namespaceSelector"]["matchExpressions"] == [
        {
            "key": "kubernetes.io/metadata.name",
            "operator": "NotIn",
            "values": [NAMESPACE["metadata"]["name"], "kube-system"],
        },
        {"key": "gpu-slice/opt-out", "operator": "DoesNotExist"},
    ]


def test_advice_stops_nothing_and_is_asked_of_the_same_service_about_the_same_namespaces() -> None:
    for advice in ADVICE["webhooks"]:
        assert advice["failurePolicy"] == "Ignore"
        assert advice["sideEffects"] == "None"
        assert advice["timeoutSeconds"] == 1
        assert advice["clientConfig"]["service"] == {**WEBHOOK["clientConfig"]["service"], "path": "/advise"}
        assert advice["namespaceSelector"] == WEBHOOK["namespaceSelector"]
        assert {operation for rule in advice["rules"] for operation in rule["operations"]} == {"CREATE", "UPDATE"}
        assert all("/" not in resource for rule in advice["rules"] for resource in rule["resources"])
        assert "caBundle" not in advice["clientConfig"]


def test_advice_can_be_left_out_by_one_line() -> None:
    text = (MANIFESTS / "webhook" / "kustomization.yaml").read_text()
    [line] = [line for line in text.splitlines() if line.startswith("  - advice.yaml")]

    assert "may be left out" in line
    others = [path for path in MANIFESTS.rglob("*.yaml") if path.parent.name != "webhook"]
    assert [path for path in others if "../webhook/advice.yaml" in path.read_text()] == []


def test_the_configuration_is_called_before_the_sidecar_injectors() -> None:
    injectors = ["istio-sidecar-injector", "linkerd-proxy-injector-webhook-config", "vault-agent-injector-cfg"]

    assert CONFIGURATION["metadata"]["name"] == "gpu-slice"
    assert all(CONFIGURATION["metadata"]["name"] < injector for injector in injectors)


def test_applying_again_does_not_wipe_the_ca_bundle() -> None:
    """P26."""
    assert "caBundle" not in WEBHOOK["clientConfig"]
    assert "caBundle" not in DEFAULTS["clientConfig"]


def test_the_network_lets_calls_and_metrics_in_and_nothing_out() -> None:
    """P35, P37."""
    spec = POLICY["spec"]
    calls, metrics = spec["ingress"]

    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in spec
    assert calls == {"ports": [{"port": PORTS["https"], "protocol": "TCP"}]}
    assert metrics["ports"] == [{"port": PORTS["ops"], "protocol": "TCP"}]
    assert metrics["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]


def test_no_secret_is_committed() -> None:
    texts = {path: path.read_text() for path in MANIFESTS.rglob("*.yaml")}

    assert [path for path, text in texts.items() if "PRIVATE KEY" in text or "caBundle:" in text] == []
    whole = [
        path for path in texts if "templates" not in path.parts
    ]  # of the chart, tests.cluster.test_helm renders them
    secrets = [each for path in whole for each in _documents(path) if each.get("kind") == "Secret"]
    assert [each for each in secrets if "data" in each or "stringData" in each] == []


def test_there_are_examples_and_each_has_a_name_of_its_own() -> None:
    names = [document["metadata"]["name"] for document in _documents(*EXAMPLES)]

    assert len(EXAMPLES) >= 10
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_can_be_copied_as_it_stands(path: Path) -> None:
    [workload] = _documents(path)
    template = _pod_template(workload)

    assert path.read_text().startswith("# "), "says what it is for"
    assert isinstance(template["metadata"]["annotations"]["gpu-slice"], str)
    assert "gpu-slice" not in (workload["metadata"].get("annotations") or {}) or workload["kind"] == "Pod"
    assert "namespace" not in workload["metadata"]
    for container in template["spec"]["containers"]:
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert re.fullmatch(r"[a-z0-9/.-]+:[a-zA-Z0-9_.-]+", container["image"])
        assert not container["image"].endswith(":latest")
