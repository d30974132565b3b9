"""What a node does when it boots: the script that cuts its GPUs, against GPUs that are played, and its userData."""

from __future__ import annotations

import email
import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass, replace
from email import policy
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

import webhook.render
from tests.packages import needed
from tests.stories import FLEETS
from webhook.cli import files
from webhook.fleet.fleet import Fleet
from webhook.fleet.pool import Pool
from webhook.render.boot import BootFiles, layout, user_data

pytestmark = pytest.mark.slow  # each test runs the script in a shell of its own

HERE = Path(__file__).parent
SHIPPED = Path(webhook.render.__file__).parent
SCRIPT, UNIT = SHIPPED / "cut-gpus.sh", SHIPPED / "cut-gpus.service"
BOOT = BootFiles(SCRIPT.read_text(), UNIT.read_text())

OFF = {"current": "Disabled", "pending": "Disabled", "instances": []}
ON = {"current": "Enabled", "pending": "Enabled", "instances": []}
WITHOUT_MIG = {"current": "[N/A]", "pending": "[N/A]", "instances": []}
LEFT = {"profile": "3g.20gb", "compute": True}
WITHOUT_COMPUTE = {"profile": "3g.20gb", "compute": False}

# A script that waits for ever is ended at the second minute, so that it is seen to say it again.
SLEEP = """\
#!/bin/sh
echo "sleep $1" >>"$NODE/calls"
[ "$1" = 1 ] && exit
[ "$1" = 60 ] && [ "$(grep -c '^sleep 60$' "$NODE/calls")" -lt 2 ] && exit
kill -KILL $PPID
"""
SYSTEMCTL = """\
#!/bin/sh
echo "systemctl $*" >>"$NODE/calls"
[ ! -e "$NODE/systemctl-refuses" ]
"""


@dataclass(frozen=True)
class Boot:
    """One boot: how the script ended, what it said, and every program that it called."""

    status: int
    said: list[str]
    calls: list[str]

    @property
    def held(self) -> str:
        """Why the script waits for ever; it is an error if it does not."""
        assert self.status == -SIGKILL, f"ended by itself with {self.status}: {self.said}"
        assert self.calls.count("sleep 60") == 2
        *_, first, second = self.said
        assert first == second
        start = "gpu-slice-cut: this node will not join: "
        assert second.startswith(start)
        return second.removeprefix(start)


class Node:
    """A machine with GPUs, its disk, and programs that play theirs."""

    def __init__(self, folder: Path, gpus: list[dict[str, Any]], **state: Any) -> None:
        self.folder = folder
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.write("systemctl", SYSTEMCTL)
        self.write("sleep", SLEEP)
        self.write("nvidia-smi", f'#!/bin/sh\nexec {sys.executable} -SE {HERE / "fake_nvidia_smi.py"} "$@"\n')
        self.state = {"gpus": gpus, **state}

    def write(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    @property
    def state(self) -> dict[str, Any]:
        return json.loads((self.folder / "gpus.json").read_text())

    @state.setter
    def state(self, value: dict[str, Any]) -> None:
        (self.folder / "gpus.json").write_text(json.dumps(value))

    @property
    def slices(self) -> list[list[str]]:
        return [[each["profile"] for each in gpu["instances"] if each["compute"]] for gpu in self.state["gpus"]]

    @property
    def stamp(self) -> Path:
        return self.folder / "state" / "rebooted"

    def boot(self, layout: str = "3g.20gb,1g.5gb,1g.5gb", **environment: str) -> Boot:
        console, calls = self.folder / "console", self.folder / "calls"
        calls.write_text("")
        console.write_text("")
        variables = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "NODE": str(self.folder),
            "LAYOUT": layout,
            "STATE_DIRECTORY": str(self.stamp.parent),
            "CONSOLE": str(console),
        } | environment
        ended = subprocess.run(
            ["bash", str(SCRIPT)], env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )
        assert ended.stdout == ""
        said = [line for line in ended.stderr.splitlines() if line.startswith("gpu-slice-cut: ")]
        assert variables["CONSOLE"] != str(console) or console.read_text().splitlines() == said
        return Boot(ended.returncode, ended.stderr.splitlines(), calls.read_text().splitlines())

    def reboot(self) -> None:
        """Slices do not outlive it, and a pending mode becomes the mode."""
        state = self.state
        for gpu in state["gpus"]:
            gpu["instances"] = []
            if state.get("switches") == "by a reboot":
                gpu["current"] = gpu["pending"]
        self.state = state


class TestCut:
    """The script, boot by boot."""

    @pytest.mark.parametrize(
        ("gpus", "switched_on"),
        [
            pytest.param([OFF, OFF], True, id="the first boot"),
            pytest.param([ON, ON], False, id="MIG mode is on already"),
            pytest.param([OFF, ON], True, id="on one GPU it is"),
            pytest.param([OFF], True, id="a single GPU"),
        ],
    )
    def test_it_cuts_every_gpu(self, tmp_path: Path, gpus: list[dict[str, Any]], switched_on: bool) -> None:
        node = Node(tmp_path, gpus)

        boot = node.boot()

        assert boot.status == 0
        assert boot.said == [f"gpu-slice-cut: cut {len(gpus)} GPUs into 3g.20gb,1g.5gb,1g.5gb each"]
        assert node.slices == [["3g.20gb", "1g.5gb", "1g.5gb"] for _ in gpus]
        assert ("nvidia-smi -mig 1" in boot.calls) is switched_on
        assert not [call for call in boot.calls if call.startswith(("systemctl", "sleep"))]
        assert not node.stamp.exists()

    def test_it_cuts_again_after_a_reboot(self, tmp_path: Path) -> None:
        node = Node(tmp_path, [OFF])
        node.boot()
        node.reboot()
        assert node.slices == [[]]
        assert node.boot().status == 0
        assert node.slices == [["3g.20gb", "1g.5gb", "1g.5gb"]]

    def test_media_engines_are_counted_by_their_name(self, tmp_path: Path) -> None:
        node = Node(tmp_path, [ON, ON])
        assert node.boot("1g.5gb+me,1g.5gb,1g.5gb").status == 0
        assert node.slices == [["1g.5gb+me", "1g.5gb", "1g.5gb"]] * 2

    @pytest.mark.parametrize(
        "left",
        [
            pytest.param([LEFT], id="as they were"),
            pytest.param([WITHOUT_COMPUTE], id="half removed"),
            pytest.param([LEFT, WITHOUT_COMPUTE], id="both"),
        ],
    )
    def test_what_is_left_over_is_removed_first(self, tmp_path: Path, left: list[dict[str, Any]]) -> None:
        node = Node(tmp_path, [ON | {"instances": left}, ON])
        assert node.boot().status == 0
        assert node.slices == [["3g.20gb", "1g.5gb", "1g.5gb"]] * 2

    def test_it_waits_for_a_driver_that_comes_late(self, tmp_path: Path) -> None:
        node = Node(tmp_path, [OFF], driver_after=3)
        boot = node.boot()
        assert boot.status == 0
        assert boot.calls.count("sleep 1") == 3

    def test_a_console_that_cannot_be_written_changes_nothing(self, tmp_path: Path) -> None:
        node = Node(tmp_path, [OFF])
        boot = node.boot(CONSOLE=str(tmp_path))
        assert boot.status == 0
        assert len(boot.said) == 1


class TestReboot:
    """An A100 in a virtual machine changes its MIG mode by a reboot."""

    def test_it_is_asked_for_once_and_then_the_gpus_are_cut(self, tmp_path: Path) -> None:
        node = Node(tmp_path, [OFF, OFF], switches="by a reboot")

        first = node.boot()
        assert first.status == -SIGKILL, "it does not return, so that the kubelet does not start before the reboot"
        assert first.calls[-2:] == ["systemctl reboot", "sleep infinity"]
        assert first.said == ["gpu-slice-cut: MIG mode needs a reboot"]
        assert node.stamp.exists()
        assert node.slices == [[], []]

        node.reboot()
        second = node.boot()
        assert second.status == 0
        assert "systemctl reboot" not in second.calls
        assert node.slices == [["3g.20gb", "1g.5gb", "1g.5gb"]] * 2
        assert not node.stamp.exists(), "the next time that a reboot is needed, it is asked for again"

    def test_it_is_not_asked_for_again_where_it_did_not_help(self, tmp_path: Path) -> None:
        node = Node(tmp_path, [OFF], switches="by nothing")
        assert "systemctl reboot" in node.boot().calls
        node.reboot()

        boot = node.boot()

        assert boot.held.startswith("MIG mode is Disabled even after a reboot: Warning: MIG mode is in pending enable")
        assert "systemctl reboot" not in boot.calls

    def test_it_is_not_asked_for_where_that_could_not_be_remembered(self, tmp_path: Path) -> None:
        node = Node(tmp_path, [OFF], switches="by a reboot")
        (tmp_path / "state").write_text("a file where a folder should be")
        boot = node.boot()
        assert boot.held == f"{node.stamp} cannot be written, and without it this node would reboot for ever"
        assert "systemctl reboot" not in boot.calls

    def test_a_refused_one_is_told(self, tmp_path: Path) -> None:
        node = Node(tmp_path, [OFF], switches="by a reboot")
        (tmp_path / "systemctl-refuses").touch()
        assert node.boot().held == "MIG mode needs a reboot, and systemctl refused it"


HELD = [
    # GPUs, what else is the case, what it says
    pytest.param(
        [WITHOUT_MIG],
        {"switches": "never"},
        r"MIG mode is \[N/A\]: Unable to enable MIG mode for GPU 00000000:00:1C\.0: Not Supported .*",
        id="a GPU without MIG",
    ),
    pytest.param(
        [ON, WITHOUT_MIG],
        {"switches": "never"},
        r"MIG mode is Enabled \[N/A\]: .*",
        id="a GPU without MIG among others",
    ),
    pytest.param(
        [ON | {"instances": [LEFT]}, ON],
        {"in_use": True},
        "1 slices from before cannot be removed: Unable to destroy compute instance .*: In use by another client",
        id="slices that are in use",
    ),
    pytest.param(
        [ON | {"instances": [WITHOUT_COMPUTE, WITHOUT_COMPUTE]}],
        {"in_use": True},
        "2 slices from before cannot be removed: No compute instances found.*In use by another client",
        id="slices in use, of which nothing but -lgi tells",
    ),
    pytest.param(
        [OFF],
        {"refused": "1g.5gb"},
        "3g.20gb,1g.5gb,1g.5gb cannot be made: .* using profile 1g.5gb: Invalid Argument Failed to create .*",
        id="a profile that the driver refuses",
    ),
    pytest.param(
        [ON, ON], {"made_instead": {"1g.5gb": None}}, "made 2 3g.20gb, wanted 4 1g.5gb,2 3g.20gb", id="too few slices"
    ),
    pytest.param(
        [ON, ON],
        {"made_instead": {"1g.5gb": "1g.6gb"}},
        "made 4 1g.6gb,2 3g.20gb, wanted 4 1g.5gb,2 3g.20gb",
        id="slices of another name",
    ),
    pytest.param(
        [ON],
        {"made_instead": {"1g.5gb": None, "3g.20gb": None}},
        "made nothing, wanted 2 1g.5gb,1 3g.20gb",
        id="no slices, and no error",
    ),
    pytest.param(
        [OFF],
        {"driver_after": 100},
        "nvidia-smi does not show the GPUs after 2 s: NVIDIA-SMI has failed because it couldn't communicate .*",
        id="a driver that never comes",
    ),
    pytest.param([], {}, "nvidia-smi does not show the GPUs after 2 s: ", id="no GPU"),
    pytest.param(
        [OFF],
        {"lost": True},
        r"nvidia-smi does not show the GPUs after 2 s: GPU 0: NVIDIA A100.*: GPU is lost\.",
        id="a GPU that has fallen off the bus",
    ),
]


@pytest.mark.parametrize(("gpus", "state", "says"), HELD)
def test_a_node_without_its_slices_never_joins(
    tmp_path: Path, gpus: list[dict[str, Any]], state: dict[str, Any], says: str
) -> None:
    boot = Node(tmp_path, gpus, **state).boot(DRIVER_SECONDS="2")
    assert re.fullmatch(says, boot.held)
    assert not [call for call in boot.calls if call.startswith("systemctl")]


def test_without_nvidia_smi_it_says_so(tmp_path: Path) -> None:
    node = Node(tmp_path, [OFF])
    (node.programs / "nvidia-smi").write_text("#!/nowhere\n")
    assert "nvidia-smi: " in node.boot(DRIVER_SECONDS="0").held


def test_without_a_layout_it_does_nothing(tmp_path: Path) -> None:
    boot = Node(tmp_path, [OFF]).boot(layout="")
    assert boot.status not in (0, -SIGKILL)
    assert boot.calls == []


# What is read by others.


def shell(text: str, *command: str) -> str:
    """What *command* finds wrong with a script."""
    ended = subprocess.run(command, input=text, capture_output=True, text=True)
    return ended.stdout + ended.stderr


def part(userdata: str) -> str:
    """The shell part of a MIME userData."""
    message = email.message_from_string(userdata, policy=policy.default)
    assert not message.defects
    assert message.get_content_type() == "multipart/mixed"
    (only,) = message.iter_parts()
    assert only.get_content_type() == "text/x-shellscript"
    assert only.get_content_charset() == "us-ascii"
    return only.get_content()


def cut_pools(fleet: Fleet) -> list[Pool]:
    """Pools whose nodes run the script."""
    return [pool for pool in fleet.pools if pool.entry.partition.mig and not pool.entry.bottlerocket]


@pytest.fixture(name="any_fleet", params=FLEETS.values(), ids=FLEETS)
def _any_fleet(request: pytest.FixtureRequest) -> Fleet:
    return files.fleet_at(request.param)


def test_the_script_and_the_user_data_are_bash(fleet: Fleet) -> None:
    for text in (BOOT.script, part(user_data(cut_pools(fleet)[0], BOOT) or "")):
        assert shell(text, "bash", "-n") == ""


def test_shellcheck_has_nothing_to_say(fleet: Fleet) -> None:
    for text in (BOOT.script, part(user_data(cut_pools(fleet)[0], BOOT) or "")):
        assert shell(text, needed("shellcheck"), "--shell=bash", "-") == ""


def test_the_user_data_brings_the_script_the_unit_and_the_layout(any_fleet: Fleet) -> None:
    for pool in cut_pools(any_fleet):
        text = user_data(pool, BOOT)
        assert text is not None
        assert text.isascii()
        brought = part(text)
        assert brought.startswith("#!/bin/bash\n"), "cloud-init runs it by its first line"
        written = dict(re.findall(r"^cat >(\S+) <<'EOF'\n(.*?)^EOF\n", brought, re.MULTILINE | re.DOTALL))
        assert written == {
            "/etc/gpu-slice/cut.env": f"LAYOUT={','.join(layout(pool))}\n",
            "/usr/local/sbin/gpu-slice-cut": uncommented(BOOT.script),
            "/etc/systemd/system/gpu-slice-cut.service": uncommented(BOOT.unit),
        }


def uncommented(text: str) -> str:
    """A file of ours as it is sent."""
    lines = [line.partition("    #")[0] for line in text.splitlines() if not re.match(r" *#(?!!)", line)]
    return "".join(f"{line}\n" for line in lines)


def test_a_node_is_replaced_only_for_a_reason() -> None:
    """Karpenter replaces every node whose userData changes: a change of this file is for CHANGELOG.md."""
    text = (FLEET % ("a100-40gb", "{mig: {1g.5gb: 7}}", "mixed", "p4d.24xlarge")).replace(
        "bottlerocket@1.57.0", "al2023@latest"
    )
    (pool,) = files.load_fleet(text.encode()).pools
    assert user_data(pool, BOOT) == (HERE / "data" / "user-data.txt").read_text()


NODE_CONFIG = "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec: {kubelet: {config: {maxPods: 110}}}\n"


@pytest.mark.parametrize(
    ("added", "kind"),
    [
        pytest.param("#!/bin/sh\necho proxy\n", "text/x-shellscript", id="a script"),
        pytest.param(NODE_CONFIG, "application/node.eks.aws", id="settings of the kubelet"),
    ],
)
def test_what_the_fleet_adds_runs_before_the_gpus_are_cut(fleet: Fleet, added: str, kind: str) -> None:
    pool = cut_pools(fleet)[0]
    alone = part(user_data(pool, BOOT) or "")
    entry = pool.entry.model_copy(update={"node_class": {"userData": added}})
    message = email.message_from_string(user_data(replace(pool, entry=entry), BOOT) or "", policy=policy.default)
    first, second = message.iter_parts()
    assert (first.get_content_type(), first.get_payload(decode=True)) == (kind, added.encode())
    assert (second.get_content_type(), second.get_content()) == ("text/x-shellscript", alone)


def test_where_nothing_is_cut_what_the_fleet_adds_is_all(fleet: Fleet) -> None:
    (shared,) = [pool for pool in fleet.pools if pool.name == "a10g-shared"]
    entry = shared.entry.model_copy(update={"node_class": {"userData": NODE_CONFIG}})
    assert user_data(replace(shared, entry=entry), BOOT) == NODE_CONFIG


def test_the_user_data_leaves_room_for_what_karpenter_adds(any_fleet: Fleet) -> None:
    # EC2 takes 16 KiB before base64; Karpenter adds a NodeConfig with the cluster's CA, of some 3 KiB.
    assert all(len(user_data(pool, BOOT) or "") < 12 * 1024 for pool in any_fleet.pools)


def test_the_layout_is_one_gpus_and_its_largest_slice_comes_first(any_fleet: Fleet) -> None:
    for pool in cut_pools(any_fleet):
        names = layout(pool)
        assert len(names) == sum(offer.per_gpu for offer in pool.offers)
        compute = [int(name.partition("g.")[0]) for name in names]
        assert compute == sorted(compute, reverse=True)


def test_a_mixed_layout_is_asked_for_largest_first(tmp_path: Path, fleet: Fleet) -> None:
    (mixed,) = [pool for pool in fleet.pools if pool.name == "a100-mixed"]
    node = Node(tmp_path, [OFF, OFF])
    boot = node.boot(",".join(layout(mixed)))
    assert "nvidia-smi mig -cgi 3g.20gb,2g.10gb,1g.5gb,1g.5gb -C" in boot.calls
    assert boot.status == 0


def test_the_unit_stands_between_the_driver_and_the_kubelet() -> None:
    named = {key: re.findall(rf"^{key}=(.*)$", BOOT.unit, re.MULTILINE) for key in ("After", "Before", "RequiredBy")}
    after, before, required_by = (" ".join(lines).split() for lines in named.values())
    assert {"nvidia-kmod-load.service", "nvidia-persistenced.service", "set-nvidia-clocks.service"} <= set(after)
    assert "cloud-final.service" not in after, "which waits for it on the first boot, and would for ever"
    assert before == ["nodeadm-run.service", "kubelet.service"]
    assert required_by == ["nodeadm-run.service"]


# The units of AL2023's NVIDIA image that ours stands among: awslabs/amazon-eks-ami templates/al2023/runtime,
# cloud-init's systemd/cloud-final.service.tmpl and NVIDIA's packages.
NEIGHBOURS = {
    "nodeadm-config": "Before=cloud-init.service",
    "nodeadm-run": "After=nodeadm-config.service cloud-final.service\nRequires=nodeadm-config.service",
    "cloud-init": "Before=network-online.target",
    "cloud-final": "After=network-online.target time-sync.target\nWants=network-online.target",
    "nvidia-kmod-load": (
        "After=network-online.target\nWants=network-online.target\n"
        "Before=nvidia-fabricmanager.service nvidia-persistenced.service"
    ),
    "nvidia-fabricmanager": "After=network-online.target\nRequires=network-online.target",
    "nvidia-persistenced": "After=syslog.target",
    "set-nvidia-clocks": "After=nvidia-persistenced.service\nRequires=nvidia-persistenced.service",
    "kubelet": "",
}


def test_systemd_takes_the_unit_and_finds_no_cycle_among_its_neighbours(tmp_path: Path) -> None:
    for name, ordering in NEIGHBOURS.items():
        (tmp_path / f"{name}.service").write_text(
            f"[Unit]\n{ordering}\n[Service]\nType=oneshot\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
        )
    unit = tmp_path / "gpu-slice-cut.service"
    unit.write_text(
        BOOT.unit.replace("/usr/local/sbin/gpu-slice-cut", "/bin/true").replace("/etc/gpu-slice/", "-/etc/")
    )
    for name in (*NEIGHBOURS, "gpu-slice-cut"):  # what `systemctl enable` does
        wanted = tmp_path / "multi-user.target.wants"
        wanted.mkdir(exist_ok=True)
        (wanted / f"{name}.service").symlink_to(tmp_path / f"{name}.service")
    required = tmp_path / "nodeadm-run.service.requires"
    required.mkdir()
    (required / unit.name).symlink_to(unit)

    ended = subprocess.run(
        [needed("systemd-analyze"), "verify", "--man=no", "multi-user.target", "gpu-slice-cut.service"],
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
    )
    said = [line for line in ended.stderr.splitlines() if "gpu-slice" in line or "cycle" in line]
    assert said == []


FLEET = """
apiVersion: gpu-slice/v1
pools:
- {name: p, gpu: %s, partition: %s, strategy: %s, instanceTypes: [%s], ami: bottlerocket@1.57.0}
"""


@pytest.mark.parametrize(
    ("gpu", "partition", "strategy", "instance_type", "settings"),
    [
        pytest.param(
            "a100-40gb",
            "{mig: {1g.5gb: 7}}",
            "single",
            "p4d.24xlarge",
            {"device-partitioning-strategy": "mig", "mig": {"profile": {"a100.40gb": "1g.5gb"}}},
            id="mig",
        ),
        pytest.param(
            "h200",
            "{mig: {3g.71gb: 2}}",
            "single",
            "p5e.48xlarge",
            {"device-partitioning-strategy": "mig", "mig": {"profile": {"h200.141gb": "3g.71gb"}}},
            id="mig of an h200",
        ),
        pytest.param(
            "a10g",
            "{timeSlicing: {replicas: 4}}",
            "mixed",
            "g5.xlarge",
            {
                "device-sharing-strategy": "time-slicing",
                "time-slicing": {
                    "replicas": 4,
                    "rename-by-default": True,
                    "fail-requests-greater-than-one": True,
                },
            },
            id="time-slicing",
        ),
        pytest.param(
            "l4",
            "{mps: {replicas: 3}}",
            "mixed",
            "g6.xlarge",
            {
                "device-sharing-strategy": "mps",
                "mps": {"replicas": 3, "rename-by-default": True, "fail-requests-greater-than-one": True},
            },
            id="mps",
        ),
    ],
)
def test_bottlerocket_is_told_by_its_own_settings(
    gpu: str, partition: str, strategy: str, instance_type: str, settings: dict[str, Any]
) -> None:
    (pool,) = files.load_fleet((FLEET % (gpu, partition, strategy, instance_type)).encode()).pools
    text = user_data(pool, BOOT)
    assert tomllib.loads(text or "") == {"settings": {"kubelet-device-plugins": {"nvidia": settings}}}


def test_a_node_whose_gpus_stay_whole_needs_nothing(fleet: Fleet) -> None:
    (shared,) = [pool for pool in fleet.pools if pool.name == "a10g-shared"]
    assert user_data(shared, BOOT) is None
