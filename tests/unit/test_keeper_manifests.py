"""The keeper's manifests: its rights, its pod, and that they name what the code touches."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from certs.cluster import Names

MANIFESTS = Path(__file__).parents[2] / "manifests"


def documents(folder: str, kind: str) -> list[dict[str, Any]]:
    found = [each for path in (MANIFESTS / folder).glob("*.yaml") for each in yaml.safe_load_all(path.read_text())]
    return [each for each in found if each.get("kind") == kind]


def the(folder: str, kind: str) -> dict[str, Any]:
    [found] = documents(folder, kind)
    return found


DEPLOYMENT = the("keeper", "Deployment")
POD = DEPLOYMENT["spec"]["template"]
[CONTAINER] = POD["spec"]["containers"]


def test_its_rights_are_four_named_objects_and_no_right_to_create_list_or_delete() -> None:
    """P36."""
    [role] = the("keeper", "Role")["rules"]
    rules = the("keeper", "ClusterRole")["rules"]

    assert (role["resources"], sorted(role["resourceNames"])) == (["secrets"], ["webhook-ca", "webhook-tls"])
    assert set(role["verbs"]) == {"get", "update"}
    assert [(rule["resources"], rule["resourceNames"]) for rule in rules] == [
        (["mutatingwebhookconfigurations"], [the("webhook", "MutatingWebhookConfiguration")["metadata"]["name"]]),
        (["validatingwebhookconfigurations"], [the("webhook", "ValidatingWebhookConfiguration")["metadata"]["name"]]),
    ]
    assert all(set(rule["verbs"]) == {"get", "patch"} for rule in rules)
    assert [rules[0]["resourceNames"], rules[1]["resourceNames"]] == [[Names().configuration], [Names().advice]]


@pytest.mark.parametrize(("binding", "role"), [("RoleBinding", "Role"), ("ClusterRoleBinding", "ClusterRole")])
def test_they_are_given_to_the_keeper_alone(binding: str, role: str) -> None:
    """P36."""
    found = the("keeper", binding)
    assert (found["roleRef"]["kind"], found["roleRef"]["name"]) == (role, the("keeper", role)["metadata"]["name"])
    [subject] = found["subjects"]
    account = the("keeper", "ServiceAccount")["metadata"]
    assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])
    assert POD["spec"]["serviceAccountName"] == account["name"]


def test_what_it_fills_is_shipped_without_data_so_that_applying_again_wipes_nothing() -> None:
    """P26."""
    secrets = documents("keeper", "Secret")
    assert {each["metadata"]["name"] for each in secrets} == {"webhook-ca", "webhook-tls"}
    assert all(not {"data", "stringData"} & set(each) for each in secrets)


def test_the_authoritys_key_is_mounted_by_nobody() -> None:
    for folder in ("webhook", "keeper"):
        volumes = the(folder, "Deployment")["spec"]["template"]["spec"].get("volumes", [])
        assert "webhook-ca" not in str(volumes)


def test_its_pod_passes_the_restricted_standard_as_the_webhooks_does() -> None:
    """P35."""
    webhook = the("webhook", "Deployment")["spec"]["template"]["spec"]
    assert CONTAINER["securityContext"] == webhook["containers"][0]["securityContext"]
    assert POD["spec"]["securityContext"] == {
        key: value for key, value in webhook["securityContext"].items() if key != "fsGroup"
    }
    assert CONTAINER["image"] == webhook["containers"][0]["image"].replace(":", "-keeper:")


def test_neither_the_service_nor_the_budget_of_the_webhook_finds_it() -> None:
    for kind, path in (("Service", "selector"), ("PodDisruptionBudget", "selector")):
        selector = the("webhook", kind)["spec"][path]
        labels = selector.get("matchLabels", selector)
        assert not labels.items() <= POD["metadata"]["labels"].items()
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == POD["metadata"]["labels"]
    assert the("keeper", "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == POD["metadata"]["labels"]


def test_two_of_it_do_not_run_at_once_by_plan() -> None:
    assert (DEPLOYMENT["spec"]["replicas"], DEPLOYMENT["spec"]["strategy"]) == (1, {"type": "Recreate"})


def test_it_compares_the_configuration_with_the_file_that_is_applied() -> None:
    kustomization = yaml.safe_load((MANIFESTS / "webhook" / "kustomization.yaml").read_text())
    [made] = [each for each in kustomization["configMapGenerator"] if each["name"] == "webhook-configuration"]
    [mount], [volume] = CONTAINER["volumeMounts"], POD["spec"]["volumes"]

    assert CONTAINER["args"] == [
        "certs", "keep", f"--namespace={DEPLOYMENT['metadata']['namespace']}",
        f"--configuration={mount['mountPath']}/{made['files'][0]}",
        f"--advice={mount['mountPath']}/{made['files'][1]}",
    ]  # fmt: skip
    assert made["files"] == ["webhook.yaml", "advice.yaml"]
    assert (volume["name"], volume["configMap"]["name"]) == (mount["name"], made["name"])
    assert (made["namespace"], made["options"]) == (
        DEPLOYMENT["metadata"]["namespace"],
        {"disableNameSuffixHash": True},
    )
    assert volume["configMap"]["optional"], "certificates are kept without it too"
    assert mount["readOnly"]
    assert "subPath" not in mount


def test_the_api_server_lets_its_account_change_ca_bundle_alone() -> None:
    """P36."""
    policy, binding = the("keeper", "ValidatingAdmissionPolicy"), the("keeper", "ValidatingAdmissionPolicyBinding")
    [condition], [rule] = policy["spec"]["matchConditions"], policy["spec"]["matchConstraints"]["resourceRules"]
    rights, account = the("keeper", "ClusterRole")["rules"], the("keeper", "ServiceAccount")["metadata"]

    assert all(rule["apiGroups"] == right["apiGroups"] for right in rights)
    assert rule["resources"] == [resource for right in rights for resource in right["resources"]]
    user = f"system:serviceaccount:{account['namespace']}:{account['name']}"
    assert condition["expression"] == f"request.userInfo.username == '{user}'"
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]
    assert "Deny" in binding["spec"]["validationActions"]


def test_cert_manager_fills_the_same_secret_for_the_same_names() -> None:
    leaf = next(each for each in documents("cert-manager", "Certificate") if not each["spec"].get("isCA"))
    mounted = the("webhook", "Deployment")["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"]
    assert leaf["spec"]["secretName"] == mounted
    assert leaf["spec"]["dnsNames"] == ["webhook.gpu-slice.svc", "webhook.gpu-slice.svc.cluster.local"]
    kustomization = yaml.safe_load((MANIFESTS / "cert-manager" / "kustomization.yaml").read_text())
    assert "../keeper" not in kustomization["resources"]
    [patch] = kustomization["patches"]
    assert f"inject-ca-from: gpu-slice/{leaf['metadata']['name']}" in patch["patch"]
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        assert re.fullmatch(patch["target"]["kind"], the("webhook", kind)["kind"])
