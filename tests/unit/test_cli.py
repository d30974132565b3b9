"""The command line: results on stdout, remarks on stderr, and the meaning in the exit code."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.stories import FLEETS
from webhook import documents
from webhook.cli.main import main

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: notebook, annotations: {gpu-slice: 1g.5gb}}
spec: {containers: [{name: main, image: example/notebook:1}]}
"""
BAD = POD.replace("1g.5gb", "1g5gb").replace("notebook,", "wrong,")
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"


def run(*arguments: str, text: str | bytes | None = None) -> Result:
    """The command line with these arguments and this standard input."""
    return CliRunner().invoke(main, [*arguments], input=text)


def test_a_diff_goes_to_stdout_and_who_gets_what_to_stderr() -> None:
    result = run("preview", "-", text=POD)

    assert result.exit_code == 0
    assert result.stdout.startswith("--- Pod notebook\n+++ Pod notebook, as admitted\n")
    assert '+        nvidia.com/mig-1g.5gb: "1"\n' in result.stdout
    assert "\x1b" not in result.output, "no colour where there is no terminal"
    assert result.stderr == "Pod notebook: sliced: main gets 1 nvidia.com/mig-1g.5gb (pools a100-1g-5gb, a100-mixed)\n"


def test_a_denial_says_why_with_a_caret_and_exits_with_1() -> None:
    result = run("preview", "-", text=BAD)

    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0].startswith("Pod wrong: denied: metadata.annotations[gpu-slice]: '1g5gb' is not a MIG profile")
    assert lines[1:] == ["  gpu-slice: 1g5gb", "               ^"]
    assert lines[1][lines[2].index("^")] == "5"


def test_one_denied_pod_among_others_is_exit_1_and_the_others_are_shown() -> None:
    result = run("preview", "-", text=f"{BAD}---\n{POD}")
    assert result.exit_code == 1
    assert "+++ Pod notebook" in result.stdout


@pytest.mark.parametrize("as_json", [False, True], ids=["YAML", "JSON"])
def test_the_pod_as_it_becomes_can_be_piped_on(as_json: bool) -> None:
    (pod,) = documents.read(POD)
    result = run("preview", "-", "-o", "yaml", text=json.dumps(pod.value) if as_json else POD)

    (after,) = documents.read(result.stdout)
    assert after.value["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/mig-1g.5gb": "1"}
    assert after.value["kind"] == "Pod"


def test_yaml_of_several_pods_is_several_documents() -> None:
    result = run("preview", "-", "-o", "yaml", text=f"{SERVICE}---\n{POD}---\n{POD}")
    assert [each.value["kind"] for each in documents.read(result.stdout)] == ["Pod", "Pod"]
    assert "Service web: makes no pods" in result.stderr


def test_json_tells_programs_everything_and_people_nothing() -> None:
    result = run("preview", "-", "-o", "json", text=f"{POD}---\n{BAD}---\n{SERVICE}")

    first, second, third = json.loads(result.stdout)
    assert result.stderr == ""
    assert (first["outcome"], second["outcome"], third["outcome"]) == ("sliced", "denied", "untouched")
    assert first["patch"][0]["op"] == "add"
    assert second["denial"]["reason"] == "grammar"
    assert third["why"] == "it makes no pods"


@pytest.mark.parametrize(
    ("workload", "place"),
    [
        pytest.param("kind: Deployment\nspec: {template: TEMPLATE}", "spec.template", id="Deployment"),
        pytest.param("kind: StatefulSet\nspec: {template: TEMPLATE}", "spec.template", id="StatefulSet"),
        pytest.param("kind: DaemonSet\nspec: {template: TEMPLATE}", "spec.template", id="DaemonSet"),
        pytest.param("kind: ReplicaSet\nspec: {template: TEMPLATE}", "spec.template", id="ReplicaSet"),
        pytest.param("kind: Job\nspec: {template: TEMPLATE}", "spec.template", id="Job"),
        pytest.param(
            "kind: CronJob\nspec: {jobTemplate: {spec: {template: TEMPLATE}}}",
            "spec.jobTemplate.spec.template",
            id="CronJob",
        ),
        pytest.param("kind: Rollout\nspec: {template: TEMPLATE}", "spec.template", id="a kind that nobody knows"),
    ],
)
def test_a_workload_is_previewed_as_the_pod_that_it_makes(workload: str, place: str) -> None:
    template = "{metadata: {annotations: {gpu-slice: 1g.5gb}}, spec: {containers: [{name: main}]}}"
    text = f"metadata: {{name: web, namespace: team-a}}\n{workload.replace('TEMPLATE', template)}\n"

    (found,) = json.loads(run("preview", "-", "-o", "json", text=text).stdout)

    assert (found["outcome"], found["template"], found["namespace"]) == ("sliced", place, "team-a")
    assert found["pod"]["metadata"]["generateName"] == "web-"


def test_a_daemon_set_is_told_what_its_template_lacks() -> None:
    text = """
kind: DaemonSet
metadata: {name: agent}
spec: {template: {metadata: {annotations: {gpu-slice: shared}}, spec: {containers: [{name: main}]}}}
"""
    result = run("preview", "-", text=text)
    assert "add the toleration nvidia.com/gpu-shared" in result.stderr
    assert "add the nodeSelector nvidia.com/gpu: a10g" in result.stderr


def test_an_annotation_on_the_workload_itself_is_pointed_out() -> None:
    text = """
kind: Deployment
metadata: {name: web, annotations: {gpu-slice: 1g.5gb}}
spec: {template: {spec: {containers: [{name: main}]}}}
"""
    result = run("preview", "-", text=text)
    assert result.exit_code == 0
    assert "it has no effect: move it to spec.template.metadata.annotations" in result.stderr


@pytest.mark.parametrize("output", ["diff", "json", "sarif"])
def test_what_is_misplaced_is_a_no_if_asked_to_be_strict(output: str) -> None:
    misspelt = POD.replace("gpu-slice:", "gpu_slice:")
    codes = [run("preview", "-", *flag, "-o", output, text=misspelt).exit_code for flag in ([], ["--strict"])]
    assert codes == [0, 1]
    assert run("preview", "-", "--strict", "-o", output, text=POD).exit_code == 0


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("singleuser: {extraAnnotations: {gpu-slice: 1g.5gb}}", id="values of a chart"),
        pytest.param("kind: X\nspec: {values: {podAnnotations: {gpu-slice: 1g.5gb}}}", id="a kind that nobody knows"),
        pytest.param("- {op: add, path: /metadata/annotations/gpu-slice, value: 1g.5gb}", id="a patch"),
        pytest.param(
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec: {values: {a: {gpu-slice: 1g.5gb}}}",
            id="values in an object",
        ),
    ],
)
def test_where_a_preview_does_not_know_being_strict_is_no_reason_to_refuse(text: str) -> None:
    result = run("preview", "-", "--strict", "-o", "json", text=text)
    (found,) = json.loads(result.stdout)
    assert [each["code"] for each in found["advice"]] == ["not-previewed"]
    assert result.exit_code == 0


def test_a_label_in_the_place_of_the_annotation_is_pointed_out() -> None:
    result = run("preview", "-", text=POD.replace("annotations", "labels"))
    assert "'gpu-slice' is a label, which has no effect" in result.stderr


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            POD.replace(", annotations: {gpu-slice: 1g.5gb}}", "}\nannotations: {gpu-slice: 1g.5gb}"), id="top"
        ),
        pytest.param(POD.replace("annotations: {gpu-slice: 1g.5gb}", "gpu-slice: 1g.5gb"), id="in the metadata"),
    ],
)
def test_an_annotation_one_level_too_high_is_pointed_out(text: str) -> None:
    assert text != POD
    assert "is one level too high" in run("preview", "-", text=text).stderr


@pytest.mark.parametrize("output", ["diff", "patch", "yaml", "json"])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("a: [", "stdin:1: not YAML", id="bad YAML"),
        pytest.param("a: 1\na: 2\n", "stdin:2: duplicate key", id="a key twice"),
        pytest.param(b"\xff\xfea\x00", "the text is UTF-16", id="not UTF-8"),
        pytest.param("x" * (3 << 20), "the object has 3,145,730 bytes", id="too large"),
        pytest.param("name: {{ .Release.Name }}", "it is a template, and no manifest yet", id="a template"),
        pytest.param("- {kind: Pod, metadata: {annotations: {gpu-slice: x}}}", "is a list", id="objects in no List"),
        pytest.param("kind Pod gpu-slice", "is a string", id="a colon forgotten"),
        pytest.param("{kind: List, items: [7]}", "7 is a number", id="an item that is no object"),
        pytest.param(POD.replace("1g.5gb", "'{{ .Values.slice }}'"), "is not filled in yet", id="not filled in"),
    ],
)
def test_what_cannot_be_read_is_exit_3_and_the_others_are_shown(text: str | bytes, says: str, output: str) -> None:
    raw = text if isinstance(text, bytes) else text.encode()
    result = run("preview", "-", "-o", output, text=raw + f"\n---\n{BAD}---\n{POD}".encode())
    assert result.exit_code == 3
    assert says in (result.stdout if output == "json" else result.stderr)
    assert "Usage:" not in result.stderr
    assert "mig-1g.5gb" in result.stdout
    if output == "json":
        assert [each["outcome"] for each in json.loads(result.stdout)] == ["unread", "denied", "sliced"]


def test_json_says_where_each_document_begins(tmp_path: Path) -> None:
    path = tmp_path / "pods.yaml"
    path.write_text(f"{POD}---\n{BAD}")
    results = json.loads(run("preview", str(path), "-o", "json").stdout)
    assert [(each["file"], each["line"]) for each in results] == [(str(path), 1), (str(path), 6)]


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n---\n", "null\n"])
@pytest.mark.parametrize("output", ["diff", "json", "sarif", "github"])
def test_an_empty_file_is_no_mistake(tmp_path: Path, text: str, output: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    result = run("preview", str(tmp_path), "-o", output)
    assert (result.exit_code, result.stderr) == (0, f"{tmp_path}: contains no objects\n")
    assert output != "json" or json.loads(result.stdout) == []


@pytest.mark.parametrize(
    "text", ["- {op: replace, path: /spec/replicas, value: 2}", "[]", "- {kind: Role}", "7", "text"]
)
def test_what_is_no_object_and_does_not_mention_the_annotation_is_none_of_our_business(text: str) -> None:
    result = run("preview", "-", "--strict", text=text)
    assert (result.exit_code, result.stderr) == (0, "a document that is no object: there is no pod in it\n")


def test_an_empty_list_is_no_mistake() -> None:
    result = run("preview", "-", "-o", "json", text="kind: List\nitems: []\n")
    assert (result.exit_code, json.loads(result.stdout), result.stderr) == (0, [], "")


def test_a_whole_gpu_that_json_writes_as_1_0_is_one() -> None:
    pod = documents.read(POD)[0].value
    pod["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "N"}}
    result = run("preview", "-", text=json.dumps(pod).replace('"N"', "1.0"))
    assert result.exit_code == 0
    assert "-        nvidia.com/gpu: 1\n" in result.stdout


def test_the_folders_of_a_folder_are_read_but_not_the_hidden_ones(tmp_path: Path) -> None:
    for name in ("a/b/pod.yaml", "c.yml", ".git/pod.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(POD)
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    results = json.loads(run("preview", str(tmp_path), "-o", "json").stdout)
    assert [each["file"] for each in results] == [str(tmp_path / "c.yml"), str(tmp_path / "a/b/pod.yaml")]


def test_a_path_that_is_wrong_is_told_before_anything_is_previewed(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POD)
    result = run("preview", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "b.yaml: No such file or directory" in result.stderr


def test_a_list_is_its_items() -> None:
    pods = [documents.read(text)[0].value for text in (POD, BAD)]
    result = run("preview", "-", "-o", "json", text=json.dumps({"kind": "PodList", "items": pods}))
    assert [each["name"] for each in json.loads(result.stdout)] == ["notebook", "wrong"]


def test_a_folder_is_its_yaml_and_json_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POD)
    (tmp_path / "b.json").write_text(json.dumps(documents.read(POD)[0].value))
    (tmp_path / "c.txt").write_text("not looked at")
    assert len(json.loads(run("preview", str(tmp_path), "-o", "json").stdout)) == 2


def test_a_folder_may_hold_what_is_not_a_file(tmp_path: Path) -> None:
    """A pipe that nobody writes to would be read for ever."""
    (tmp_path / "a.yaml").write_text(POD)
    (tmp_path / "linked.yaml").symlink_to("a.yaml")
    os.mkfifo(tmp_path / "b.yaml")
    (tmp_path / "c.json").mkdir()
    assert len(json.loads(run("preview", str(tmp_path), "-o", "json").stdout)) == 2

    (tmp_path / "d.yaml").symlink_to("b.yaml")
    assert f"{tmp_path / 'd.yaml'}: is not a regular file." in run("preview", str(tmp_path)).stderr


@pytest.mark.parametrize("output", ["diff", "json"])
def test_a_link_out_of_a_folder_is_passed_over_unless_it_is_named(tmp_path: Path, output: str) -> None:
    (tmp_path / "folder" / "in").mkdir(parents=True)
    (tmp_path / "folder-of-another").mkdir()
    (tmp_path / "link").symlink_to("folder")
    for name in ("outside.yaml", "folder-of-another/pod.yaml"):
        (tmp_path / name).write_text(BAD)
    for name, target in (
        ("a.yaml", tmp_path / "outside.yaml"),
        ("in/b.yaml", "../../outside.yaml"),
        ("c.yaml", "a.yaml"),
        ("d.yaml", "../folder-of-another/pod.yaml"),
        ("e.yaml", "/proc/self/environ"),
        ("f.yaml", "in/../../nowhere.yaml"),
        ("all.yaml", ".."),
    ):
        (tmp_path / "folder" / name).symlink_to(target)
    (tmp_path / "folder" / "g.yaml").write_text(POD)
    (tmp_path / "folder" / "in" / "h.yaml").symlink_to("../g.yaml")

    for folder in (tmp_path / "folder", tmp_path / "link"):
        result = run("preview", str(folder), "-o", output)
        assert result.exit_code == 0
        assert "wrong" not in result.output
        remarks = [line for line in result.stderr.splitlines() if "passed over, because it is a link out of" in line]
        assert [line.partition(": ")[0].removeprefix(f"{folder}/") for line in remarks] == [
            "a.yaml", "c.yaml", "d.yaml", "e.yaml", "f.yaml", "in/b.yaml",
        ]  # fmt: skip
    assert "notebook" in run("preview", str(tmp_path / "link"), "-o", output).output
    assert run("preview", str(tmp_path / "folder" / "a.yaml")).exit_code == 1


def test_a_link_to_itself_is_a_problem_among_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("a.yaml")
    (tmp_path / "b.yaml").write_text(POD)
    result = run("preview", str(tmp_path))
    assert (result.exit_code, "notebook" in result.stdout) == (3, True)


@pytest.mark.parametrize("command", [["preview"], ["preview", "-", "--fleet"], ["fleet", "check"], ["demo"]])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_device_is_refused_by_name(tmp_path: Path, kind: str, command: list[str]) -> None:
    path = tmp_path / "a.yaml" if kind == "pipe" else Path("/dev/zero")
    if kind == "pipe":
        os.mkfifo(path)
    result = run(*command, str(path), text=POD)
    assert result.exit_code == 2
    assert f"{path}: is not a regular file. To read from a pipe, use - instead" in result.stderr
    assert result.stdout == ""


def test_the_namespace_option_is_for_pods_that_name_none() -> None:
    result = run("preview", "-", "-n", "kube-system", text=POD)
    assert "nothing changes: pods of namespace 'kube-system' are never changed" in result.stderr
    named = run(
        "preview", "-", "-n", "kube-system", text=POD.replace("name: notebook", "name: notebook, namespace: team-a")
    )
    assert "sliced" in named.stderr


@pytest.mark.parametrize(
    ("arguments", "text", "says"),
    [
        pytest.param(["preview"], None, "Missing argument 'FILE...'", id="no file"),
        pytest.param(["preview", "no-such-file"], None, "no-such-file: No such file or directory", id="no such file"),
        pytest.param(["preview", "-"], "", "-: contains no objects", id="nothing on stdin"),
        pytest.param(["preview", "-", "-o", "xml"], POD, "'xml' is not one of", id="no such output"),
        pytest.param(["preview", "-", "--fleet", "no-such"], POD, "no-such: No such file", id="no such fleet"),
        pytest.param(["previev"], None, "No such command 'previev'", id="no such command"),
        pytest.param(["serve"], None, "Missing option '--tls-dir'", id="no certificates"),
        pytest.param(["certs", "init"], None, "Missing option '--dir'", id="no folder"),
    ],
)
def test_being_called_wrongly_is_exit_2_and_a_line_that_says_how(arguments: list[str], text: str, says: str) -> None:
    result = run(*arguments, text=text)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.output


def test_a_bad_fleet_is_exit_2_with_every_problem(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(
        "apiVersion: gpu-slice/v1\npools: [{nam: x, gpu: a10g, partition: {mig: {1g.5gb: 7}}, instanceTypes: []}]\n"
    )
    result = run("preview", "-", "--fleet", str(path), text=POD)
    assert result.exit_code == 2
    assert f"{path}: pools[0].nam: is not a known field. Write 'name'.\n" in result.stderr


def test_fleet_check_says_everything_that_is_wrong_and_exits_with_1(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(run("fleet", "default").stdout)
    good = run("fleet", "check", str(path))
    assert (good.exit_code, good.stdout) == (0, "")
    assert "warning" not in good.stderr
    path.write_text(path.read_text().replace("gpu: a10g\n", "gpu: a10h\n").replace("1g.5gb: 7", "1g.5gb: 8"))
    bad = run("fleet", "check", str(path))
    assert bad.exit_code == 1
    assert len(bad.stdout.splitlines()) == 2


EQUAL = """
apiVersion: gpu-slice/v1
cluster: west
defaults: {terminationGracePeriod: 2h}
pools:
- {name: mixed, gpu: a100-40gb, partition: {mig: {2g.10gb: 1, 1g.5gb: 5}}, instanceTypes: [p4d.24xlarge]}
- {name: all, gpu: a100-40gb, partition: {mig: {1g.5gb: 7}}, instanceTypes: [p4d.24xlarge]}
"""


def test_fleet_check_warns_where_two_pools_serve_one_slice_with_equal_weight(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(EQUAL)

    result = run("fleet", "check", str(path))

    assert (result.exit_code, result.stdout) == (0, "")
    assert (
        "warning: pools[1].weight: 'mixed' and 'all' serve 1g.5gb with equal weight, so Karpenter launches 'mixed', "
        "the last by name. Give the pool that you want to be launched first a larger weight.\n"
    ) in result.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("[p4d.24xlarge]}\n-", "[p4d.24xlarge], weight: 20}\n-", id="one weighs more"),
        pytest.param("[p4d.24xlarge]}\n-", "[p4d.24xlarge], nodes: existing}\n-", id="Karpenter launches only one"),
        pytest.param("1g.5gb: 7", "3g.20gb: 2", id="no slice in common"),
        pytest.param("7}}", "7}}, strategy: single", id="one calls its slices by another resource"),
    ],
)
def test_fleet_check_does_not_warn_of_pools_between_which_karpenter_need_not_choose(
    old: str, new: str, tmp_path: Path
) -> None:
    path = tmp_path / "fleet.yaml"
    assert old in EQUAL
    path.write_text(EQUAL.replace(old, new))

    assert "warning" not in run("fleet", "check", str(path)).stderr


@pytest.mark.parametrize(
    ("left_out", "warning"),
    [
        (
            "cluster: west\n",
            "cluster: is missing, so the nodes are those of 'my-cluster'. Add it, or render with --cluster.",
        ),
        (
            "defaults: {terminationGracePeriod: 2h}\n",
            "terminationGracePeriod: is missing in pools mixed, all, whose nodes expire: a pod that forbids its "
            "eviction holds such a node for ever. Add it, or 'expireAfter: Never'.",
        ),
    ],
)
def test_fleet_check_warns_of_what_karpenter_will_do_unasked(left_out: str, warning: str, tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(EQUAL.replace("1g.5gb: 7", "3g.20gb: 2").replace(left_out, ""))
    result = run("fleet", "check", str(path))
    assert result.exit_code == 0
    assert f"warning: {warning}\n" in result.stderr
    assert result.stderr.count("warning") == 1


@pytest.mark.parametrize(
    ("node_class", "warned"),
    [
        pytest.param("{kubelet: {maxPods: 30}}", True, id="fewer than it has slices"),
        pytest.param("{kubelet: {maxPods: 50}}", True, id="as few as those of every node leave none"),
        pytest.param("{kubelet: {maxPods: 51}}", False, id="just enough"),
        pytest.param("{kubelet: {systemReserved: {memory: 1Gi}}}", False, id="not said"),
        pytest.param("{kubelet: {maxPods: many}}", False, id="an expression"),
    ],
)
def test_fleet_check_warns_of_a_kubelet_that_holds_fewer_pods_than_its_node_has_slices(
    node_class: str, warned: bool, tmp_path: Path
) -> None:
    path = tmp_path / "fleet.yaml"
    pools = EQUAL.replace("1g.5gb: 7", "3g.20gb: 2")  # 6 slices of each of its 8 GPUs in the pool `mixed`
    path.write_text(
        pools.replace("{terminationGracePeriod: 2h}", f"{{terminationGracePeriod: 2h, nodeClass: {node_class}}}")
    )
    result = run("fleet", "check", str(path))
    assert (result.exit_code, result.stdout) == (0, "")
    assert ("warning: pools[0].nodeClass.kubelet.maxPods" in result.stderr) == warned


def test_the_warning_names_the_largest_node_and_how_many_pods_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    pool = "{name: a, gpu: a10g, partition: {timeSlicing: {replicas: 10}}, instanceTypes: [g5.xlarge, g5.48xlarge], "
    path.write_text(
        f"apiVersion: gpu-slice/v1\ncluster: west\npools:\n- {pool}expireAfter: Never, "
        "nodeClass: {kubelet: {maxPods: 29}}}\n"
    )
    assert (
        "warning: pools[0].nodeClass.kubelet.maxPods: 29 pods, of which EKS' own and the device plugin are 3, are too "
        "few for the 80 slices of a 'g5.48xlarge'. Write at least 83, and one more for each DaemonSet of yours.\n"
    ) in run("fleet", "check", str(path)).stderr


@pytest.mark.parametrize(
    ("image", "warning"),
    [
        pytest.param(
            "al2023@v20200101",
            "'al2023@v20200101' of pools mixed, all is older than 'al2023@v20260724': no Kubernetes that came after "
            "it has this image, and nothing is launched. Write a newer date before you upgrade the control plane.",
            id="old",
        ),
        pytest.param(
            "al2023@latest",
            "'al2023@latest' of pools mixed, all replaces the nodes, and evicts their pods, with each image that AWS "
            "publishes. Write 'al2023@v20260724'.",
            id="any",
        ),
        *(
            pytest.param(
                f"al2023@{version}",
                f"'al2023@{version}' of pools mixed, all is no image's: their versions are dates, with a v. "
                "Write 'al2023@v20260724'.",
                id=version,
            )
            for version in ("20260724", "v20261340", "v2026", "v2026-07-24")
        ),
        pytest.param("al2023@v20260724", None, id="that of this release"),
        pytest.param("al2023@v20270101", None, id="newer"),
        pytest.param("bottlerocket@1.57.0", None, id="Bottlerocket, whose versions are no dates"),
        pytest.param("[{id: ami-0123456789abcdef0}]", None, id="of one's own"),
    ],
)
def test_fleet_check_warns_of_images_that_karpenter_may_not_find(
    image: str, warning: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "fleet.yaml"
    pools = EQUAL.replace("1g.5gb: 7", "3g.20gb: 2")
    if "bottlerocket" in image:  # which cuts each GPU into one profile
        pools = pools.replace("2g.10gb: 1, 1g.5gb: 5", "1g.5gb: 7").replace("]}\n", "], strategy: single}\n")
    path.write_text(pools.replace("{terminationGracePeriod: 2h}", f"{{terminationGracePeriod: 2h, ami: {image}}}"))
    result = run("fleet", "check", str(path))
    assert (result.exit_code, result.stdout) == (0, "")
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning")]
    assert warnings == ([f"warning: ami: {warning}"] if warning else [])


@pytest.mark.parametrize(
    ("partition", "daemons"),
    [
        pytest.param("{mig: {1g.5gb: 7}}", "gpu-slice-device-plugin-mixed", id="MIG"),
        pytest.param("{mps: {replicas: 3}}", "gpu-slice-device-plugin-mps-3-daemon", id="MPS"),
        pytest.param("{timeSlicing: {replicas: 3}}", None, id="time-slicing"),
        pytest.param("{timeSlicing: {replicas: 3}}, nodes: existing", None, id="by others"),
    ],
)
def test_fleet_check_names_what_is_privileged_and_where(partition: str, daemons: str | None, tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    pool = f"{{name: a, gpu: a100-40gb, instanceTypes: [p4d.24xlarge], partition: {partition}}}"
    path.write_text(f"apiVersion: gpu-slice/v1\npools: [{pool}]\n")
    told = [line for line in run("fleet", "check", str(path)).stderr.splitlines() if line.startswith("note")]
    expected = f"note: privileged in kube-system once it is rendered: {daemons}. SECURITY.md says why"
    assert told == ([expected] if daemons else [])


def test_the_schema_is_one_for_editors() -> None:
    found = json.loads(run("fleet", "schema").stdout)
    assert found["$schema"].startswith("https://json-schema.org/")
    assert "pools" in found["required"]
    assert found["additionalProperties"] is False


def test_profiles_lists_what_is_offered_and_the_whole_catalogue() -> None:
    assert "56        p4d.24xlarge                 a100-1g-5gb" in run("profiles").stdout
    rows = json.loads(run("profiles", "-o", "json").stdout)
    assert {"slice": "shared", "resource": "nvidia.com/gpu.shared"}.items() <= rows[-1].items()
    known = json.loads(run("profiles", "--all", "-o", "json").stdout)
    assert any(row["gpu"] == "a10g" and row["profile"] is None for row in known)
    assert all(row["source"] for row in known)
    assert "no MIG" in run("profiles", "--all").stdout


def test_profiles_of_a_namespace_are_what_its_pods_may_use() -> None:
    def slices(*arguments: str) -> list[str]:
        fleet = f"--fleet={FLEETS['teams']}"
        return [row["slice"] for row in json.loads(run("profiles", "-o", "json", fleet, *arguments).stdout)]

    assert slices() == ["1g.5gb", "3g.20gb", "2g.10gb", "1g.5gb", "shared"]
    assert slices("-n", "notebooks") == ["shared"]
    assert slices("-n", "nobody") == []


def test_certs_init_writes_a_pair_once_and_again_only_when_forced(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    assert run("certs", "init", "--dir", str(folder)).exit_code == 0
    first = (folder / "tls.crt").read_bytes()
    assert stat.S_IMODE((folder / "tls.key").stat().st_mode) == 0o600
    assert {"ca.crt", "tls.crt", "tls.key"} <= {path.name for path in folder.iterdir()}
    assert not list(folder.rglob("ca.key"))

    again = run("certs", "init", "--dir", str(folder))
    assert again.exit_code == 2
    assert "--force" in again.stderr
    assert (folder / "tls.crt").read_bytes() == first

    assert run("certs", "init", "--dir", str(folder), "--force").exit_code == 0
    assert (folder / "tls.crt").read_bytes() != first


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: me}}]
clusters: [{name: here, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: me, user: {}}]
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(None, "No configuration found", id="no such file"),
        pytest.param("", "is empty", id="empty"),
        pytest.param("a: [", "expected the node content", id="bad YAML"),
        pytest.param(KUBECONFIG, "127.0.0.1", id="nobody answers there"),
    ],
)
@pytest.mark.parametrize("command", ["status", "rotate"])
def test_without_a_cluster_one_line_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, text: str | None, says: str
) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'another'}:{path}")
    result = run("certs", command)
    assert result.exit_code == 3
    assert says in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.output


def test_outside_of_a_cluster_without_a_kubeconfig_both_cures_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    result = run("certs", "status")
    assert result.exit_code == 3
    assert "Set KUBECONFIG, or run this in a pod" in result.stderr
    assert result.stdout == ""


def test_an_option_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_SLICE_PREVIEW_OUTPUT", "json")
    assert json.loads(run("preview", "-", text=POD).stdout)[0]["outcome"] == "sliced"


def test_the_demo_tells_what_every_example_became() -> None:
    examples = Path(__file__).parents[2] / "manifests" / "examples"
    result = run("demo", str(examples))
    assert result.exit_code == 0
    for path in examples.iterdir():
        assert path.name in result.stdout
    assert "9 sliced, 1 denied." in result.stdout


def test_a_shell_can_complete_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_GPU_SLICE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "gpu-slice pre")
    monkeypatch.setenv("COMP_CWORD", "1")
    result = CliRunner().invoke(main, [], prog_name="gpu-slice")
    assert result.output.split() == ["plain,preview"]
