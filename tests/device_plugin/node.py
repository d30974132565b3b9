"""A node without GPUs that believes it has some, and the device plugin's container on it.

The container is a folder that the plugin takes for its root.  No mounts are needed: what the DaemonSet mounts is laid
into the folder, where it is mounted.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Thread

from tests.device_plugin.kubelet import Kubelet
from webhook.fleet.pool import MIB_PER_GIB, Pool
from webhook.slices.catalogue import Gpu, GpuProfile
from webhook.slices.profile import MigProfile

HERE = Path(__file__).parent
DRIVER = "driver"
"""The folder of the container in which the library of the driver is."""
SECONDS = 20
"""How long the plugin may take to start, and to end.  It takes less than one."""

NUMBERS = {
    (1, ""): 0,
    (2, ""): 1,
    (3, ""): 2,
    (4, ""): 3,
    (7, ""): 4,
    (1, "+me"): 7,
    (2, "+me"): 8,
    (1, "+gfx"): 10,
    (2, "+gfx"): 11,
    (4, "+gfx"): 12,
    (1, "-me"): 13,
    (2, "-me"): 14,
    (1, "+me.all"): 15,
    (2, "+me.all"): 16,
}
"""NVML's numbers of profiles (``NVML_GPU_INSTANCE_PROFILE_…``), by compute slices and attribute."""
DOUBLE_MEMORY = 9
"""The number of the one-slice profile with twice the memory."""


class Missing(RuntimeError):
    """What is needed cannot be had here, and why."""


@dataclass(frozen=True, slots=True)
class Container:
    """The plugin's container, as a fleet's companions describe it."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    files: Mapping[str, Mapping[str, str]]
    """What the ConfigMaps that are mounted hold, by the folder where they are mounted."""
    folders: Mapping[str, str]
    """Where folders of the node are mounted, by their path on the node."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What the plugin did between its start and its end."""

    registered: Mapping[str, int]
    """Healthy devices by resource."""
    code: int
    log: str


def node_of(pool: Pool, gpus: int) -> str:
    """A node of *pool* with so many GPUs, for ``fake_nvml.c``."""
    mig = pool.entry.partition.mig or {}
    layout = {pool.gpu.profile(MigProfile.parse(name)): number for name, number in mig.items()}
    return node(pool.gpu, gpus, layout)


def node(gpu: Gpu, gpus: int, layout: Mapping[GpuProfile, int]) -> str:
    """A node with so many GPUs, each cut as *layout* says or not at all, for ``fake_nvml.c``."""
    profiles = [
        f"{_number(each)} {each.compute_slices} {_memory(gpu, each)} {layout.get(each, 0)}"
        for each in (gpu.profiles if layout else ())
    ]
    return "; ".join([f"{gpus} {_total(gpu)}", *profiles])


def _total(gpu: Gpu) -> int:
    """MiB of the whole GPU.  Real ones have a little less; the plugin rounds up to GiB."""
    return int(gpu.memory.removesuffix("GB")) * MIB_PER_GIB


def _memory(gpu: Gpu, profile: GpuProfile) -> int:
    """MiB of an instance: nominal where nobody has seen one."""
    return profile.memory_mib or _total(gpu) * profile.size // gpu.memory_slices


def _number(profile: GpuProfile) -> int:
    name = profile.profile
    if (name.compute_slices, name.attribute) == (1, "") and profile.size == 2:
        return DOUBLE_MEMORY
    return NUMBERS[name.compute_slices, name.attribute]


class Machine:
    """A place where plugins can be run: their image, laid out in *folder* once.

    The path of *folder* must be short: that of a socket may have 107 characters.  Raises `Missing`.
    """

    def __init__(self, folder: Path, plugin: Callable[[], Path]) -> None:
        self.folder = folder
        self.chroot = _chroot()
        self.image = folder / "image"
        self.numbers = count(1)
        _compile(HERE / "fake_nvml.c", self.image / DRIVER / "libnvidia-ml.so.1", "-shared", "-fPIC")
        _compile(HERE / "fake_mps.c", self.image / "usr/bin/nvidia-cuda-mps-control")
        program = plugin()
        shutil.copy(program, self.image / "usr/bin/nvidia-device-plugin")
        for library in _libraries(program):
            target = self.image / library.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)
        (self.image / "dev").mkdir()
        (self.image / "dev/null").touch()  # a plain file will do

    def run(self, container: Container, gpus: str) -> Ended:
        """Run the plugin on a node with *gpus* until it has registered all that it wants to, and end it."""
        root = self.folder / str(next(self.numbers))
        shutil.copytree(self.image, root, copy_function=os.link)
        for path, files in container.files.items():
            for name, text in files.items():
                _write(root / path.lstrip("/") / name, text)
        for path in container.folders.values():
            (root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        _write(root / "proc/driver/nvidia-caps/mig-minors", _mig_minors())
        # The NVIDIA runtime brings the driver's library in; the variable is how ours is found, and told what to play.
        environment = {
            **container.environment,
            "PATH": "/usr/bin",
            "LD_LIBRARY_PATH": f"/{DRIVER}",
            "FAKE_GPUS": gpus,
        }
        plugins = root / container.folders["/var/lib/kubelet/device-plugins"].lstrip("/")
        with Kubelet(plugins) as kubelet:
            code, log = _until_registered([*self.chroot, f"--root={root}", *container.command], environment, kubelet)
        found = {
            resource: sum(health == "Healthy" for health in devices.values())
            for resource, devices in kubelet.devices.items()
        }
        return Ended(found, code, log)


def _until_registered(command: list[str], environment: dict[str, str], kubelet: Kubelet) -> tuple[int, str]:
    """The exit code and the log of the plugin.

    It hears a signal only when it has registered all its resources: who ends it after the first one, gets them all.
    """
    lines: list[str] = []
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:

        def read() -> None:
            lines.extend(run.stdout or ())
            kubelet.asked.set()  # it has ended

        reader = Thread(target=read)
        reader.start()
        try:
            registered = kubelet.asked.wait(SECONDS)
            run.send_signal(signal.SIGTERM)
            code = run.wait(SECONDS)
        finally:
            run.kill()
            reader.join()
    assert registered, f"nothing was registered within {SECONDS} s:\n{''.join(lines)}"
    return code, "".join(lines)


def _mig_minors() -> str:
    """The kernel's list of MIG devices: it names all that there could be."""
    names = [f"gpu{gpu}/gi{instance}" for gpu in range(16) for instance in range(15)]
    lines = [f"{name}{part}/access" for name in names for part in ("", "/ci0")]
    return "".join(f"{line} {number}\n" for number, line in enumerate(lines, 3))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _chroot() -> list[str]:
    """The command that runs another with a new root: --root= is to be added.  Raises `Missing`."""
    program = shutil.which("unshare")
    if program is None:
        raise Missing("there is no unshare, which util-linux has")
    command = [program, *(["--map-root-user"] if os.geteuid() else [])]
    tried = subprocess.run([*command, "--root=/", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise Missing(f"no program can be given another root here: {tried.stderr.strip()}")
    return command


def _compile(source: Path, target: Path, *flags: str) -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        raise Missing("there is no gcc")
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([compiler, "-Wall", "-Werror", *flags, "-o", str(target), str(source)], check=True)


def _libraries(program: Path) -> list[Path]:
    """What *program* needs to start."""
    told = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    return [Path(word) for word in told.split() if word.startswith("/")]
