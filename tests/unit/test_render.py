"""What a fleet renders to: that ``docs/rendered/`` shows it, that it holds together, and what the command does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.rendering import documents_of
from tests.stories import FLEETS
from webhook import documents
from webhook.cli import files, render
from webhook.cli.main import main
from webhook.fleet.file import DevicePlugin
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import POOL_LABEL, WHOLE_GPU
from webhook.render import device_plugin

EXISTING = (
    "apiVersion: gpu-slice/v1\npools:\n- {name: a, gpu: a10g, partition: {timeSlicing: {replicas: 2}}, "
    "instanceTypes: [g5.xlarge], nodes: existing}\n"
)
RENDERED = Path(__file__).parents[2] / "docs" / "rendered"
EXAMPLE = (
    "# An example: what `gpu-slice render` prints for the built-in fleet, but that all names begin with example-.\n"
)


@pytest.fixture(name="any_fleet", params=FLEETS.values(), ids=FLEETS)
def _any_fleet(request: pytest.FixtureRequest) -> Fleet:
    return files.fleet_at(request.param)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["render", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_documents_show_what_the_built_in_fleet_renders_to(request: pytest.FixtureRequest) -> None:
    fleet = files.load_fleet(files.default_fleet_text().replace(b"  - name: ", b"  - name: example-"))
    rendered = {
        f"{subject.name}.yaml": EXAMPLE + text.replace("gpu-slice-device-plugin", "example-device-plugin")
        for subject, text in render.render(fleet, render.boot_files())
        if text
    }
    if request.config.getoption("--update-stories"):
        for name, text in rendered.items():
            (RENDERED / name).write_text(text)
    assert {path.name: path.read_text() for path in RENDERED.iterdir()} == rendered


def test_what_the_documents_show_overwrites_nothing_that_a_fleet_renders_to(any_fleet: Fleet) -> None:
    shown = {name_of(each.value) for path in RENDERED.iterdir() for each in documents.read(path.read_bytes())}
    rendered = {name_of(each.value) for each in documents.read(render.text(render.rendered(any_fleet, ())))}
    assert {kind for kind, _ in shown} >= {"DaemonSet", "ConfigMap", "NodePool", "EC2NodeClass", "NodeOverlay"}
    assert all(name.startswith("example-") for _, name in shown)
    assert shown & rendered == set()


def name_of(document: dict[str, Any]) -> tuple[str, str]:
    return document["kind"], document["metadata"]["name"]


def test_a_fleet_is_rendered_to_files_and_held_against_them(tmp_path: Path) -> None:
    options = ("--output-dir", str(tmp_path), "--cluster", "west")
    assert run(*options, "--check")[0] == 1
    assert run(*options) == (0, "", "")
    assert run(*options, "--check") == (0, "", "")
    assert "karpenter.sh/discovery: west" in (tmp_path / "karpenter" / "node-classes.yaml").read_text()

    (tmp_path / "karpenter" / "node-pools.yaml").write_text("changed")
    (tmp_path / "device-plugin" / "device-plugin.yaml").unlink()
    code, _, said = run(*options, "--check")
    assert code == 1
    assert said.splitlines() == [
        f"{tmp_path}/device-plugin/device-plugin.yaml: is missing",
        f"{tmp_path}/karpenter/node-pools.yaml: differs",
    ]


def test_what_a_fleet_does_not_need_any_more_is_taken_away(tmp_path: Path) -> None:
    existing = tmp_path / "fleet.yaml"
    existing.write_text(EXISTING)
    folder = str(tmp_path / "out")
    run("--output-dir", folder)
    code, _, said = run("--output-dir", folder, "--fleet", str(existing), "--check")
    assert code == 1
    assert said.count(": is not needed") == 6  # two tools

    run("--output-dir", folder, "--fleet", str(existing))

    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_a_fleet_of_existing_nodes_says_that_there_is_nothing_to_render(tmp_path: Path) -> None:
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(EXISTING)
    told = (
        "nothing to render for the nodes: all pools have 'nodes: existing'. Whoever makes the nodes cuts the GPUs, "
        "runs the device plugin, and labels them gpu-slice/pool with the name of their pool\n"
    )
    assert run("--fleet", str(fleet)) == (0, "", told)
    assert run("--fleet", str(fleet), "--only", "karpenter") == (0, "", told)
    assert run("--fleet", str(fleet), "--output-dir", str(tmp_path / "out")) == (0, "", told)
    assert run("--fleet", str(fleet), "--only=dra") == (0, "", "nothing to render: the fleet needs no dra\n")

    fleet.write_text(
        f"{EXISTING}- {{name: b, gpu: a10g, partition: {{mps: {{replicas: 2}}}}, instanceTypes: [g5.xlarge]}}\n"
    )
    code, text, said = run("--fleet", str(fleet))
    assert (code, said) == (0, "")
    assert "kind: NodePool" in text


def test_what_is_rendered_alone_stays_beside_what_was_rendered_earlier(tmp_path: Path) -> None:
    run("--output-dir", str(tmp_path))
    whole = (tmp_path / "karpenter" / "kustomization.yaml").read_text()
    for subject in ("node-pools", "node-overlays", "karpenter"):
        assert run("--output-dir", str(tmp_path), "--only", subject) == (0, "", "")
        assert (tmp_path / "karpenter" / "kustomization.yaml").read_text() == whole
        assert run("--output-dir", str(tmp_path), "--check", "--only", subject) == (0, "", "")
    assert run("--output-dir", str(tmp_path), "--check") == (0, "", "")


def test_what_is_rendered_alone_is_not_kustomized_with_what_does_not_exist(tmp_path: Path) -> None:
    run("--output-dir", str(tmp_path), "--only", "node-pools")
    (document,) = documents.read((tmp_path / "karpenter" / "kustomization.yaml").read_bytes())
    assert document.value["resources"] == ["node-pools.yaml"]
    run("--output-dir", str(tmp_path), "--only", "node-classes")
    (document,) = documents.read((tmp_path / "karpenter" / "kustomization.yaml").read_bytes())
    assert document.value["resources"] == ["node-pools.yaml", "node-classes.yaml"]


@pytest.mark.parametrize(
    ("only", "kinds"),
    [
        pytest.param(["node-pools"], {"NodePool"}, id="a subject"),
        pytest.param(["karpenter"], {"NodePool", "EC2NodeClass", "NodeOverlay"}, id="a tool"),
        pytest.param(["device-plugin", "node-overlays"], {"DaemonSet", "ConfigMap", "NodeOverlay"}, id="two"),
    ],
)
def test_one_subject_is_printed_alone(only: list[str], kinds: set[str]) -> None:
    code, text, _ = run(*(f"--only={each}" for each in only))
    assert code == 0
    assert {each.value["kind"] for each in documents.read(text)} == kinds


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--only", "node-pool"], "'node-pool' is not a subject. Use one of: device-plugin,", id="unknown"),
        pytest.param(["--check"], "--check needs --output-dir", id="nothing to check"),
        pytest.param(["--cluster", "a b"], "use letters, digits", id="no name of a cluster"),
    ],
)
def test_a_wrong_call_says_what_to_write(options: list[str], message: str) -> None:
    code, _, said = run(*options)
    assert code == 2
    assert message in said


def test_each_slice_that_the_webhook_gives_is_promised_by_an_overlay_with_the_same_count(any_fleet: Fleet) -> None:
    promised = {}
    for each in documents_of(any_fleet, "node-overlays"):
        (pool,), types = (requirement["values"] for requirement in each["spec"]["requirements"])
        for name in types:
            assert (pool, name) not in promised  # no two overlays select the same
            promised[pool, name] = {key: int(value) for key, value in each["spec"]["capacity"].items()}
    for pool in any_fleet.pools:
        for shape in pool.shapes:
            capacity = {WHOLE_GPU: 0} | dict(shape.capacity)
            assert promised.get((pool.name, shape.instance_type.name)) == (
                capacity if pool.entry.nodes == "karpenter" else None
            )


def test_no_two_overlays_have_one_weight(any_fleet: Fleet) -> None:
    weights = Counter(each["spec"]["weight"] for each in documents_of(any_fleet, "node-overlays"))
    assert set(weights.values()) <= {1}
    assert all(1 <= each <= 10_000 for each in weights)


def test_nodes_carry_the_labels_and_taints_that_the_webhook_counts_on(any_fleet: Fleet) -> None:
    made = {each["metadata"]["name"]: each["spec"] for each in documents_of(any_fleet, "node-pools")}
    assert set(made) == {pool.name for pool in any_fleet.pools if pool.entry.nodes == "karpenter"}
    for pool in any_fleet.pools:
        if pool.name not in made:
            continue
        template = made[pool.name]["template"]
        away = {"nvidia.com/gpu.deploy.operands": "false"}  # the GPU Operator's plugin
        assert template["metadata"]["labels"] == {POOL_LABEL: pool.name} | away | dict(pool.labels)
        taints = {(each["key"], each.get("value", ""), each["effect"]) for each in template["spec"].get("taints", ())}
        assert taints == {(each.key, each.value, each.effect) for each in pool.taints}
        required = {each["key"]: each["values"] for each in template["spec"]["requirements"]}
        for shape in pool.shapes:
            for key, values in required.items():
                assert shape.labels[key] in values


def test_zones_are_a_requirement_of_the_node_pool(tmp_path: Path) -> None:
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(
        "apiVersion: gpu-slice/v1\npools:\n"
        "- {name: a, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge],"
        " zones: [us-east-1a, us-east-1b]}\n"
    )
    code, text, _ = run("--only=node-pools", "--fleet", str(fleet))
    assert code == 0
    (pool,) = documents.read(text)
    zones = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-east-1a", "us-east-1b"]}
    assert zones in pool.value["spec"]["template"]["spec"]["requirements"]


def test_each_pool_has_one_device_plugin_which_tolerates_its_taints(any_fleet: Fleet) -> None:
    selected: Counter[str] = Counter()
    taints = {pool.name: pool.taints for pool in any_fleet.pools}
    for each in documents_of(any_fleet, "device-plugin"):
        if each["kind"] != "DaemonSet" or each["metadata"]["name"].endswith("-daemon"):
            continue
        spec = each["spec"]["template"]["spec"]
        affinity = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        ((expression,),) = [term["matchExpressions"] for term in affinity["nodeSelectorTerms"]]
        assert expression["key"] == POOL_LABEL
        tolerated = {(toleration["key"], toleration["effect"]) for toleration in spec["tolerations"]}
        for pool in expression["values"]:
            selected[pool] += 1
            assert {(taint.key, taint.effect) for taint in taints[pool]} <= tolerated
    assert selected == {pool.name: 1 for pool in any_fleet.pools if pool.entry.nodes == "karpenter"}


def test_a_plugin_older_than_v0_20_is_not_used() -> None:
    tag = DevicePlugin().image.rpartition(":v")[2]
    assert tuple(map(int, tag.split("."))) >= (0, 20, 0)


def plugins_of(text: str) -> dict[str, dict]:
    """The DaemonSets of the fleet in *text*, by name."""
    fleet = files.load_fleet(f"apiVersion: gpu-slice/v1\n{text}".encode())
    return {
        each.manifest["metadata"]["name"]: each.manifest["spec"]
        for each in device_plugin.device_plugins(fleet)
        if each.manifest["kind"] == "DaemonSet"
    }


A100 = "gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge]"
A10G = "gpu: a10g, partition: {timeSlicing: {replicas: 4}}, instanceTypes: [g5.xlarge]"
MPS = "gpu: a10g, partition: {mps: {replicas: 4}}, instanceTypes: [g5.xlarge]"


def test_only_what_reads_mig_devices_or_runs_mps_is_privileged() -> None:
    plugins = plugins_of(f"pools:\n- {{name: a, {A100}}}\n- {{name: b, {A10G}}}\n- {{name: c, {MPS}}}\n")
    privileged = {
        name: spec["template"]["spec"]["containers"][0]["securityContext"].get("privileged", False)
        for name, spec in plugins.items()
    }
    assert privileged == {
        "gpu-slice-device-plugin-mixed": True,
        "gpu-slice-device-plugin-time-slicing-4": False,
        "gpu-slice-device-plugin-mps-4": False,
        "gpu-slice-device-plugin-mps-4-daemon": True,
    }


def test_a_new_mps_daemon_ends_no_pod() -> None:
    plugins = plugins_of(f"pools:\n- {{name: c, {MPS}}}\n")
    updates = {name: spec["updateStrategy"]["type"] for name, spec in plugins.items()}
    assert updates == {
        "gpu-slice-device-plugin-mps-4": "RollingUpdate",
        "gpu-slice-device-plugin-mps-4-daemon": "OnDelete",
    }


def test_slices_are_packed_and_shares_distributed_unless_the_pool_says_otherwise() -> None:
    plugins = plugins_of(
        f"pools:\n- {{name: a, {A100}}}\n- {{name: b, {A100}, allocation: distributed}}\n- {{name: c, {A10G}}}\n"
        f"- {{name: d, {A10G}, allocation: packed}}\n- {{name: e, {A100}, allocation: packed}}\n"
    )
    found = {}
    for name, spec in plugins.items():
        pod = spec["template"]["spec"]
        environment = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
        terms = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        found[name] = environment["SHARED_DEVICES_ALLOCATION_POLICY"], terms[0]["matchExpressions"][0]["values"]
    assert found == {
        "gpu-slice-device-plugin-mixed": ("packed", ["a", "e"]),
        "gpu-slice-device-plugin-mixed-distributed": ("distributed", ["b"]),
        "gpu-slice-device-plugin-time-slicing-4": ("distributed", ["c"]),
        "gpu-slice-device-plugin-time-slicing-4-packed": ("packed", ["d"]),
    }


def test_the_plugin_comes_from_the_registry_that_the_fleet_names() -> None:
    image = f"registry.example:5000/nvidia/k8s-device-plugin:v0.20.1@sha256:{'0' * 64}"
    plugins = plugins_of(
        f"devicePlugin: {{image: '{image}', pullSecrets: [mirror]}}\n"
        f"pools:\n- {{name: a, {A100}}}\n- {{name: c, {MPS}}}\n"
    )
    assert len(plugins) == 3
    for spec in plugins.values():
        pod = spec["template"]["spec"]
        assert pod["imagePullSecrets"] == [{"name": "mirror"}]
        assert {each["image"] for part in ("containers", "initContainers") for each in pod.get(part, [])} == {image}


def test_a_limit_in_slices_is_shared_by_the_kinds_of_a_layout() -> None:
    text = """\
apiVersion: gpu-slice/v1
pools:
- name: a
  gpu: a100-40gb
  partition: {mig: {3g.20gb: 1, 1g.5gb: 3}}
  instanceTypes: [p4d.24xlarge]
  limit: {slices: 80}
"""
    (pool,) = documents_of(files.load_fleet(text.encode()), "node-pools")
    assert pool["spec"]["limits"] == {"nvidia.com/mig-3g.20gb": "20", "nvidia.com/mig-1g.5gb": "60"}


def test_reservations_and_names_of_roles_reach_the_node_class() -> None:
    text = """\
apiVersion: gpu-slice/v1
cluster: west
pools:
- name: a
  gpu: h100-80gb
  partition: {mig: {1g.10gb: 7}}
  instanceTypes: [p5.48xlarge]
  capacityTypes: [reserved, on-demand]
  capacityReservations: [{id: cr-0123456789abcdef0}, {tags: {team: research}, ownerID: "123456789012"}]
  disk: 1Ti
"""
    ((found,), (pool,)) = (
        documents_of(files.load_fleet(text.encode()), each) for each in ("node-classes", "node-pools")
    )
    spec = found["spec"]
    assert spec["role"] == "KarpenterNodeRole-west"
    assert spec["capacityReservationSelectorTerms"] == [
        {"id": "cr-0123456789abcdef0"},
        {"tags": {"team": "research"}, "ownerID": "123456789012"},
    ]
    assert spec["blockDeviceMappings"][0]["ebs"]["volumeSize"] == "1Ti"
    bought = pool["spec"]["template"]["spec"]["requirements"][-1]
    assert bought == {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["reserved", "on-demand"]}


def test_the_webhook_can_be_given_the_fleet_as_it_was_rendered(any_fleet: Fleet) -> None:
    (found,) = documents_of(any_fleet, "fleet")
    again = files.load_fleet(found["data"]["fleet.yaml"].encode())
    assert again.file == any_fleet.file
    assert (found["metadata"]["namespace"], found["metadata"]["name"]) == ("gpu-slice", "fleet")
