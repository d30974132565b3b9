"""The keeper on a real API server: its rights, its writes, and its races."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from kubernetes import config
from kubernetes.client import ApiClient

from certs.cluster import Cluster as Store
from certs.cluster import Conflict, Names, Unreachable
from certs.keeper import Keeper
from certs.metrics import KeeperMetrics
from certs.policy import RotationPolicy
from certs.shipped import Shipped
from certs.situation import Situation
from certs.stored import certificates
from tests.cluster.cluster import Cluster, Document
from tests.cluster.install import ADMISSION, ADVICE, CONFIGURATION, MANIFESTS, manifest
from tests.waiting import wait_for
from webhook import documents

ROBOT = "system:serviceaccount:gpu-slice:keeper"
NAMES = ("webhook.gpu-slice.svc", "webhook.gpu-slice.svc.cluster.local")
QUICK = RotationPolicy(
    wait=timedelta(seconds=2),
    urgent_wait=timedelta(seconds=1),
    handover=timedelta(seconds=3),
    leaf_lifetime=timedelta(seconds=40),
    leaf_renewal=timedelta(seconds=4),
    authority_lifetime=timedelta(seconds=80),
    authority_renewal=timedelta(seconds=10),
    margin=timedelta(seconds=5),
    grace=timedelta(seconds=5),
)
"""Everything that takes months, in seconds."""


class Time:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(name="configuration")
def _configuration(cluster: Cluster, ours: object) -> Iterator[str]:
    """Our webhook configurations under another name, beside those that the other tests use; they match nothing."""
    document, advice = manifest("webhook/webhook.yaml"), manifest("webhook/advice.yaml")
    for each in (document, advice):
        each["metadata"]["name"] = "kept"
        for webhook in each["webhooks"]:
            webhook["namespaceSelector"] = {"matchLabels": {"kept": "never"}}
    webhook, defaults = document["webhooks"]
    document["webhooks"] = [{**webhook, "name": "other.gpu-slice.io"}, webhook, defaults]
    cluster.create(document)
    cluster.create(advice)
    yield "kept"
    cluster.delete(CONFIGURATION, "kept", api_version=ADMISSION)
    cluster.delete(ADVICE, "kept", api_version=ADMISSION)


@pytest.fixture(scope="module", autouse=True)
def _home(cluster: Cluster) -> Iterator[None]:
    """The namespace gpu-slice, as long as these tests last."""
    there = cluster.get("Namespace", "gpu-slice") is not None
    if not there:
        cluster.create(manifest("webhook/namespace.yaml"))
    yield
    if not there:
        cluster.delete("Namespace", "gpu-slice")
        wait_for("the namespace is gone", lambda: cluster.get("Namespace", "gpu-slice") is None)


@pytest.fixture(name="installed")
def _installed(cluster: Cluster, configuration: str) -> Iterator[str]:
    """What manifests/keeper has, but for the Deployment; its rights are for the configuration of this test."""
    created: list[Document] = []
    for path in ("serviceaccount.yaml", "secrets.yaml", "rbac.yaml", "policy.yaml"):
        for each in documents.read((MANIFESTS / "keeper" / path).read_bytes(), name=path):
            if each.value["kind"] == "ClusterRole":
                for rule in each.value["rules"]:
                    rule["resourceNames"] = [configuration]
            created.append(cluster.create(each.value))
    wait_for("the policy is in force", lambda: ALONE in patched(cluster, {"metadata": {"labels": {"probe": "1"}}}))
    yield configuration
    for each in reversed(created):
        metadata = each["metadata"]
        cluster.delete(each["kind"], metadata["name"], metadata.get("namespace"), each["apiVersion"])


@pytest.fixture(name="api")
def _api(cluster: Cluster) -> Iterator[ApiClient]:
    """A client that acts as the keeper's ServiceAccount."""
    with config.new_client_from_config(str(cluster.plane.kubeconfig)) as api:
        api.set_default_header("Impersonate-User", ROBOT)
        yield api


@pytest.fixture(name="keep")
def _keep(api: ApiClient, installed: str) -> Callable[..., Keeper]:
    """A keeper with the rights of its manifests."""

    def keep(clock: Callable[[], datetime] | None = None, policy: RotationPolicy | None = None) -> Keeper:
        store = Store(api, Names(configuration=installed, advice=installed))
        return Keeper(store, KeeperMetrics(), policy=policy or RotationPolicy(), clock=clock or Time())

    return keep


ALONE = "the account of the keeper may change caBundle and nothing else"


def patched(cluster: Cluster, change: Document | list[Document], *options: str, kind: str = CONFIGURATION) -> str:
    """What the API server says to a patch by the keeper's account, a merge patch or JSON Patch; nothing is stored."""
    way = "json" if isinstance(change, list) else "merge"
    told = cluster.kubectl(
        "patch", kind, "kept", f"--type={way}", "-p", json.dumps(change), "--dry-run=server",
        *(options or [f"--as={ROBOT}"]),
    )  # fmt: skip
    return told.stdout + told.stderr


def entries(cluster: Cluster, kind: str = CONFIGURATION) -> list[Document]:
    return cluster.get(kind, "kept", api_version=ADMISSION)["webhooks"]


def versions(cluster: Cluster) -> list[str]:
    found = [cluster.get("Secret", name, "gpu-slice") for name in ("webhook-ca", "webhook-tls")]
    found += [cluster.get(kind, "kept", api_version=ADMISSION) for kind in (CONFIGURATION, ADVICE)]
    return [each["metadata"]["resourceVersion"] for each in found]


def test_from_nothing_to_a_leaf_that_the_api_server_is_told_to_trust(cluster, keep) -> None:
    """P26."""
    before = entries(cluster)
    keeper = keep()
    keeper.turn()

    found = keeper.store.read().stored
    at = Situation(found, keeper.clock(), RotationPolicy(), NAMES)
    assert at.flaw is None
    assert at.leaf_issuer.parsed() in certificates(found.bundle)
    # The CA's key is nowhere but in its own Secret, and nothing else of the configuration changed.
    assert b"PRIVATE KEY" not in found.leaf_bundle
    assert set(cluster.get("Secret", "webhook-tls", "gpu-slice")["data"]) == {"tls.crt", "tls.key", "ca.crt"}
    after = entries(cluster)
    assert after[0] == before[0]
    assert {each["clientConfig"].pop("caBundle") for each in after[1:]} == {base64.b64encode(found.bundle).decode()}
    assert after[1:] == before[1:]


def test_an_entry_that_lost_its_ca_or_came_later_gets_it_again(cluster, keep) -> None:
    """P26: as when an upgrade adds the entry for defaults."""
    keep().turn()
    change = [{"op": "remove", "path": "/webhooks/2/clientConfig/caBundle"}]
    assert cluster.kubectl("patch", CONFIGURATION, "kept", "--type=json", "-p", json.dumps(change)).returncode == 0
    keep().turn()
    _, *ours = entries(cluster)
    (bundle,) = {each["clientConfig"]["caBundle"] for each in ours}
    assert bundle


def test_a_turn_with_nothing_to_do_writes_nothing(cluster, keep) -> None:
    """P26."""
    keep().turn()
    before = versions(cluster)
    keep().turn()
    assert versions(cluster) == before


@pytest.mark.parametrize("way", [[], ["--server-side", "--force-conflicts"]], ids=["by the client", "by the server"])
def test_applying_the_manifests_again_neither_makes_a_new_ca_nor_wipes_anything(cluster, keep, way: list[str]) -> None:
    """P26."""
    secrets = str(MANIFESTS / "keeper" / "secrets.yaml")
    text = json.dumps(
        {**manifest("webhook/webhook.yaml"), "metadata": {"name": "kept"}, "webhooks": without_status(cluster)}
    )
    cluster.kubectl("apply", *way, "-f", "-", stdin=text)
    cluster.kubectl("apply", *way, "-f", secrets)
    keep().turn()
    before = keep().store.read().stored

    for arguments, stdin in ((["-f", secrets], None), (["-f", "-"], text)):
        applied = cluster.kubectl("apply", *way, *arguments, stdin=stdin)
        assert applied.returncode == 0, applied.stderr

    keeper = keep()
    assert keeper.store.read().stored == before
    keeper.turn()
    assert keeper.store.read().stored == before


def without_status(cluster: Cluster) -> list[Document]:
    """The webhooks as a manifest would have them: without caBundle."""
    found = entries(cluster)
    for each in found:
        each["clientConfig"].pop("caBundle", None)
    return found


@pytest.mark.parametrize(
    ("verb", "what", "allowed"),
    [
        pytest.param("get", "secrets/webhook-ca", "yes", id="its CA"),
        pytest.param("update", "secrets/webhook-tls", "yes", id="its leaf"),
        pytest.param("patch", "mutatingwebhookconfigurations/kept", "yes", id="its configuration"),
        pytest.param("patch", "validatingwebhookconfigurations/kept", "yes", id="its advice"),
        pytest.param("patch", "validatingwebhookconfigurations/other", "no", id="another validating configuration"),
        pytest.param("delete", "validatingwebhookconfigurations/kept", "no", id="to delete its advice"),
        pytest.param("list", "validatingwebhookconfigurations", "no", id="a list of validating configurations"),
        pytest.param("get", "secrets/other", "no", id="another Secret"),
        pytest.param("list", "secrets", "no", id="a list of Secrets"),
        pytest.param("watch", "secrets", "no", id="to watch Secrets"),
        pytest.param("create", "secrets", "no", id="a new Secret"),
        pytest.param("delete", "secrets/webhook-ca", "no", id="to delete its Secret"),
        pytest.param("patch", "mutatingwebhookconfigurations/other", "no", id="another configuration"),
        pytest.param("delete", "mutatingwebhookconfigurations/kept", "no", id="to delete its configuration"),
        pytest.param("create", "pods", "no", id="a pod"),
        pytest.param("get", "configmaps/fleet", "no", id="the fleet"),
    ],
)
def test_its_rights_are_those_that_it_needs_and_no_others(cluster, installed, verb, what, allowed) -> None:
    """P36."""
    asked = cluster.kubectl("auth", "can-i", verb, what, f"--as={ROBOT}", "-n", "gpu-slice")
    assert asked.stdout.strip() == allowed, asked.stderr


THIEF = {"url": "https://192.0.2.1/"}


@pytest.mark.parametrize("kind", [CONFIGURATION, ADVICE])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param([{"op": "add", "path": "/webhooks/1/clientConfig/service/name", "value": "thief"}], id="Service"),
        pytest.param([{"op": "add", "path": "/webhooks/1/clientConfig/service/path", "value": "/"}], id="path"),
        pytest.param([{"op": "remove", "path": "/webhooks/1/clientConfig/service/path"}], id="path removed"),
        pytest.param([{"op": "replace", "path": "/webhooks/1/clientConfig", "value": THIEF}], id="URL"),
        pytest.param([{"op": "replace", "path": "/webhooks/1/rules/0/resources", "value": ["*/*"]}], id="rules"),
        pytest.param([{"op": "replace", "path": "/webhooks/1/failurePolicy", "value": "Other"}], id="fails open"),
        pytest.param([{"op": "replace", "path": "/webhooks/1/namespaceSelector", "value": {}}], id="all namespaces"),
        pytest.param([{"op": "remove", "path": "/webhooks/1/matchConditions"}], id="all pods"),
        pytest.param([{"op": "remove", "path": "/webhooks/1"}], id="a webhook less"),
        pytest.param([{"op": "copy", "from": "/webhooks/1", "path": "/webhooks/0"},
                      {"op": "replace", "path": "/webhooks/0/name", "value": "third.gpu-slice.io"}], id="one more"),
        pytest.param([{"op": "replace", "path": "/webhooks/1/name", "value": "third.gpu-slice.io"}], id="name"),
        pytest.param([{"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": "YQ=="},
                      {"op": "replace", "path": "/webhooks/1/timeoutSeconds", "value": 30}], id="beside caBundle"),
        pytest.param({"metadata": {"annotations": {"a": "b"}}}, id="annotation"),
        pytest.param({"metadata": {"finalizers": ["gpu-slice.io/never"]}}, id="finalizer"),
        pytest.param({"metadata": {"ownerReferences": [
            {"apiVersion": "v1", "kind": "Namespace", "name": "gone", "uid": "0"}]}}, id="owner that is gone"),
    ],
)  # fmt: skip
def test_its_token_changes_nothing_but_ca_bundle(cluster, installed, change, kind) -> None:
    """P36."""
    other = "Ignore" if kind == CONFIGURATION else "Fail"
    change = json.loads(json.dumps(change).replace("Other", other))

    assert ALONE in patched(cluster, change, kind=kind)
    groups = ["--as=admin", "--as-group=system:masters"]
    assert patched(cluster, change, *groups, kind=kind).endswith("/kept patched\n")  # so nothing else refuses it


@pytest.mark.parametrize("kind", [CONFIGURATION, ADVICE])
def test_its_token_may_empty_ca_bundle_as_the_keeper_may_fill_it(cluster, keep, kind) -> None:
    """P36."""
    keep().turn()
    change = [{"op": "remove", "path": "/webhooks/1/clientConfig/caBundle"}]
    assert patched(cluster, change, kind=kind).endswith("/kept patched\n")


def test_the_advice_gets_the_same_ca_and_nothing_else_of_it_changes(cluster, keep) -> None:
    """P26."""
    before = entries(cluster, ADVICE)
    keep().turn()

    after, (_, webhook, _) = entries(cluster, ADVICE), entries(cluster)
    bundles = {each["clientConfig"].pop("caBundle") for each in after}
    assert bundles == {webhook["clientConfig"]["caBundle"]}
    assert after == before

    emptied = json.dumps([{"op": "remove", "path": f"/webhooks/{index}/clientConfig/caBundle"} for index in (0, 1)])
    assert cluster.kubectl("patch", ADVICE, "kept", "--type=json", "-p", emptied).returncode == 0
    keep().turn()
    assert {each["clientConfig"]["caBundle"] for each in entries(cluster, ADVICE)} == bundles


def test_the_advice_may_be_left_out(cluster, keep) -> None:
    cluster.delete(ADVICE, "kept", api_version=ADMISSION)
    keeper = keep()

    assert keeper.try_turn()
    assert keeper.store.read().stored.leaf is not None


def test_advice_that_it_may_not_look_at_keeps_no_certificate_from_being_made(cluster, api, installed) -> None:
    keeper = Keeper(Store(api, Names(configuration=installed, advice="other")), KeeperMetrics(), clock=Time())

    with pytest.raises(Unreachable, match=r"other: .* 403 .*Apply the folder again"):
        keeper.turn()
    assert keeper.store.read().stored.leaf is not None


def test_a_configuration_as_an_api_server_stores_it_is_as_shipped_until_it_is_changed(
    cluster, keep, tmp_path: Path
) -> None:
    text = json.dumps({**manifest("webhook/webhook.yaml"), "webhooks": without_status(cluster)})
    (tmp_path / "webhook.yaml").write_text(text)
    mine = Shipped(tmp_path / "webhook.yaml")
    keep().turn()  # which puts caBundle in

    assert mine.differences(keep().store.read().configuration) == ()

    cluster.patch(CONFIGURATION, "kept", {"metadata": {"labels": {"a": "b"}}}, api=ADMISSION)
    assert mine.differences(keep().store.read().configuration) == ()
    entry = entries(cluster)
    entry[1]["failurePolicy"] = "Ignore"
    cluster.patch(CONFIGURATION, "kept", {"webhooks": entry}, api=ADMISSION)
    assert mine.differences(keep().store.read().configuration) == ("webhooks[1].failurePolicy",)


def test_the_manifest_as_an_api_server_stores_it_is_as_shipped(cluster, ours) -> None:
    document = manifest("webhook/webhook.yaml")
    document["metadata"]["name"] = "stored"
    shipped = Shipped(MANIFESTS / "webhook" / "webhook.yaml")

    assert shipped.differences(cluster.create(document, dry_run=True)) == ()


HIJACKED = {
    "one more webhook": lambda webhooks: [*webhooks, {**webhooks[0], "name": "evil.gpu-slice.io"}],
    "never called": lambda webhooks: [{**webhooks[0], "objectSelector": {"matchLabels": {"no": "thing"}}}],
    "a condition": lambda webhooks: [
        {**webhooks[0], "matchConditions": [{"name": "never", "expression": "false"}, *webhooks[0]["matchConditions"]]}
    ],
    "another server": lambda webhooks: [{**webhooks[0], "clientConfig": {"url": "https://evil.example/m"}}],
}


@pytest.mark.parametrize("kind", [CONFIGURATION, ADVICE])
@pytest.mark.parametrize("hijacked", HIJACKED.values(), ids=HIJACKED)
def test_the_command_of_the_runbook_puts_everything_back(cluster, tmp_path, hijacked, kind) -> None:
    """`kubectl apply` alone merges, and leaves what was added."""
    path = {CONFIGURATION: "webhook/webhook.yaml", ADVICE: "webhook/advice.yaml"}[kind]
    document = manifest(path)
    cure = ["delete", kind.lower(), document["metadata"]["name"]]
    assert f"kubectl {' '.join(cure)}" in (MANIFESTS.parent / "docs" / "operations.md").read_text()
    document["metadata"]["name"] = "hijacked"
    document["webhooks"][0]["objectSelector"] = {"matchLabels": {"of": "nobody"}}  # it must not be called meanwhile
    file = tmp_path / "webhook.yaml"
    file.write_text(json.dumps(document))
    shipped = Shipped(file)
    try:
        assert cluster.kubectl("apply", "-f", str(file)).returncode == 0
        stored = cluster.get(kind, "hijacked", api_version=ADMISSION)
        stored["webhooks"] = hijacked(stored["webhooks"])
        cluster.replace(stored)
        changed = cluster.get(kind, "hijacked", api_version=ADMISSION)
        assert shipped.differences(changed) != ()

        for command in ([*cure[:2], "hijacked"], ["apply", "-f", str(file)]):
            done = cluster.kubectl(*command)
            assert done.returncode == 0, done.stderr
        assert shipped.differences(cluster.get(kind, "hijacked", api_version=ADMISSION)) == ()
    finally:
        cluster.delete(kind, "hijacked", api_version=ADMISSION)


def test_certificates_made_by_hand_are_taken_over_and_go_on_being_served(cluster, keep, tls) -> None:
    """P26."""
    cluster.delete("Secret", "webhook-tls", "gpu-slice")
    files = [f"--cert={tls / 'tls.crt'}", f"--key={tls / 'tls.key'}"]
    made = cluster.kubectl("create", "secret", "tls", "webhook-tls", "-n", "gpu-slice", *files)
    assert made.returncode == 0, made.stderr
    document = cluster.get(CONFIGURATION, "kept", api_version=ADMISSION)
    document["webhooks"][1]["clientConfig"]["caBundle"] = base64.b64encode((tls / "ca.crt").read_bytes()).decode()
    cluster.replace(document)

    applied = cluster.kubectl("apply", "-f", str(MANIFESTS / "keeper" / "secrets.yaml"))
    assert applied.returncode == 0, applied.stderr
    time = Time()
    keep(time).turn()

    found = keep().store.read().stored
    assert found.leaf.certificate == (tls / "tls.crt").read_bytes()
    assert set(certificates((tls / "ca.crt").read_bytes())) < set(certificates(found.bundle))
    time.now += RotationPolicy().wait + timedelta(minutes=1)
    keep(time).turn()
    found = keep().store.read().stored
    assert Situation(found, time(), RotationPolicy(), NAMES).leaf_issuer == found.authorities[-1]
    assert set(certificates((tls / "ca.crt").read_bytes())) < set(certificates(found.bundle))


def test_a_stale_write_is_refused_and_decided_anew(cluster, keep) -> None:
    """P25."""
    first, second = keep(), keep()
    stale = first.store.read()
    second.turn()
    with pytest.raises(Conflict):
        first.store.write(stale, second.store.read().stored)
    first.turn()
    assert len(second.store.read().stored.authorities) == 1


def test_two_keepers_that_meet_at_every_write_have_one_ca_and_lose_nothing(cluster, keep) -> None:
    """P25."""
    time = Time()
    keepers = [keep(time, QUICK), keep(time, QUICK)]
    seen: set[str] = set()
    for _ in range(30):  # two generations of CAs, and their retirement
        meet = threading.Barrier(2)
        for each in keepers:
            each.store.write = meeting(meet, type(each.store).write.__get__(each.store))
        threads = [threading.Thread(target=each.turn) for each in keepers]
        for each in threads:
            each.start()
        for each in threads:
            each.join(60)
        found = keepers[0].store.read().stored
        at = Situation(found, time(), QUICK, NAMES)
        assert at.flaw is None
        assert at.leaf_issuer.parsed() in certificates(found.bundle)
        assert (
            len([each for each in found.authorities if each.retire is None]) <= 2
        )  # the one that issues, and its successor
        seen |= {each.id for each in found.authorities}
        time.now += timedelta(seconds=1)
    assert 3 <= len(seen) <= 4  # one every ten seconds, and none twice
    conflicts = sum(each.metrics.conflicts._value.get() for each in keepers)
    assert conflicts > 0


def meeting(meet: threading.Barrier, write: Callable[..., None]) -> Callable[..., None]:
    """*write*, once both are about to."""

    def inner(*arguments: object) -> None:
        try:
            meet.wait(0.3)
        except threading.BrokenBarrierError:
            meet.reset()
        write(*arguments)

    return inner


def test_a_keeper_killed_after_any_write_is_followed_by_one_that_goes_on(cluster, keep) -> None:
    """P23."""
    time = Time()
    writes = 0
    for _ in range(25):
        while keep(time, QUICK).step():  # a new one for each step
            writes += 1
            found = keep().store.read().stored
            if found.leaf is not None:
                leaf_issuer = Situation(found, time(), QUICK, NAMES).leaf_issuer
                assert leaf_issuer.parsed() in certificates(found.bundle)
        time.now += timedelta(seconds=1)
    assert writes >= 15


def test_without_its_objects_it_says_what_to_do_and_goes_on_when_they_are_there(cluster, api, installed) -> None:
    keeper = Keeper(
        Store(api, Names(configuration=installed, advice=installed, leaf="missing")), KeeperMetrics(), clock=Time()
    )
    with pytest.raises(Unreachable, match="Apply the folder again"):
        keeper.turn()
    cluster.delete(CONFIGURATION, installed, api_version=ADMISSION)
    keeper = Keeper(Store(api, Names(configuration=installed, advice=installed)), KeeperMetrics(), clock=Time())
    assert not keeper.try_turn()
    document = {**manifest("webhook/webhook.yaml"), "metadata": {"name": "kept"}}
    document["webhooks"][0]["namespaceSelector"] = {"matchLabels": {"kept": "never"}}
    cluster.create(document)
    assert keeper.try_turn()
    assert keeper.store.read().stored.leaf is not None


def test_the_command_line_tells_how_things_are_and_rotates(cluster, keep, tmp_path) -> None:
    """P28."""

    def certs(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "webhook", "certs", *arguments],
            env=os.environ | {"KUBECONFIG": str(cluster.plane.kubeconfig)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    # The command's configuration is the one of the other tests, whose CA is not in our Secrets.
    before = certs("status")
    assert before.returncode == 1
    assert "leaf: there is none" in before.stdout

    keep().turn()
    status = json.loads(certs("status", "-o", "json").stdout)
    (authority,) = status["authorities"]
    assert status["leaf"]["issuer"] == authority["id"]

    rotated = certs("rotate", "--compromised")
    assert rotated.returncode == 0, rotated.stderr
    found = keep().store.read().stored.authorities
    assert [each.key is not None for each in found] == [False, True]
    assert f"CA {found[-1].id}: made." in rotated.stdout

    time = Time()
    for seconds in (0, 61):
        time.now = datetime.now(UTC) + timedelta(seconds=seconds)
        keep(time).turn()
    leaf = x509.load_pem_x509_certificate(
        base64.b64decode(cluster.get("Secret", "webhook-tls", "gpu-slice")["data"]["tls.crt"])
    )
    leaf.verify_directly_issued_by(found[-1].parsed())


def test_a_keeper_that_comes_to_a_running_webhook_interrupts_nobody(cluster, ours, installed) -> None:
    """P26, P28."""
    environment = os.environ | {"KUBECONFIG": str(cluster.plane.kubeconfig)}
    command = [sys.executable, "-m", "webhook", "certs"]
    options = ["--port", "0", "--host", "127.0.0.1"]
    try:
        with subprocess.Popen(
            [*command, "keep", *options], env=environment, stderr=subprocess.PIPE, text=True
        ) as process:
            said = []
            for line in process.stderr:
                said.append(json.loads(line)["message"])
                if said[-1] == "mark published":
                    break
            assert said == ["keeping certificates", "adopt", "new authority", "publish", "mark published"]
            assert ours.installation.probe() == "created"  # by the certificate that was there before

            status = subprocess.run([*command, "status"], env=environment, capture_output=True, text=True, timeout=60)
            resident = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            process.terminate()
            assert process.wait(10) == 0
    finally:
        ours.serve()
    assert status.returncode == 0, status.stdout
    there, made, leaf, following, keeper = status.stdout.splitlines()
    assert re.fullmatch(r"CA [0-9a-f]{16}: until 20\d\d-\d\d-\d\d, trusted, leaves 20\d\d-\d\d-\d\d", there)
    assert re.fullmatch(r"CA [0-9a-f]{16}: until 20\d\d-\d\d-\d\d, trusted, issues", made)
    assert leaf.startswith(f"leaf: by {made[3:19]}, issued ")
    assert re.match(r"next: issue leaf, 20\d\d-\d\d-\d\d \d\d:\d\d UTC", following)
    assert keeper.startswith("keeper: ")
    assert resident < 128 * 1024 * 1024  # what the Deployment asks for
