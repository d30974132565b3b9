"""Builds the Dockerfile with buildah: without a daemon, in a chroot, and without asking a registry."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.image import debian
from tests.packages import EMULATOR, Missing, get, run

ROOT = Path(__file__).parents[2]
CERTIFICATES = Path("/etc/ssl/certs")
EPOCH = "1700000000"


def buildah() -> str:
    """The program; on Debian, root installs it.  Raises `Missing`."""
    found = get("buildah")
    if os.geteuid() != 0:
        raise Missing("buildah's chroot needs root here")
    return found


class Store:
    """A folder with images, and what is made of them."""

    def __init__(self, folder: Path) -> None:
        self.options = [buildah(), "--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]
        self.folder = folder

    def __call__(self, *arguments: str, seconds: int = 1800) -> str:
        """What buildah says.  Raises `Missing`."""
        return run([*self.options, *arguments], seconds=seconds)

    def base(self, name: str, packages: tuple[str, ...], architecture: str) -> str:
        """An image of Debian's packages, which stands in for one of the Dockerfile's bases."""
        made = self("from", "scratch").strip()
        self("add", "-q", made, str(debian.tree(packages, architecture)), "/")
        # As pip is told here where to look and whom to trust.
        told = {key: value for key, value in os.environ.items() if key.startswith("PIP_") and key != "PIP_FIND_LINKS"}
        environment = [f"--env={key}={value}" for key, value in (told if name == "builder" else {}).items()]
        self("config", "--arch", architecture, "--env", "LANG=C.UTF-8", *environment, made)
        self("commit", "-q", "--rm", made, name)
        return f"localhost/{name}"

    def build(self, target: str, architecture: str, *, tag: str = "") -> str:
        """The image of a stage of the Dockerfile."""
        name = tag or f"{target}-{architecture}"
        native = run(["dpkg", "--print-architecture"]).strip()
        arguments = {
            "BUILDER": "localhost/builder",
            "BASE": f"localhost/base-{architecture}",
            "BUILDPLATFORM": f"linux/{native}",  # which buildah knows from 1.29 on
            "VERSION": "1.2.3",
            "REVISION": "abc",
        }
        self(
            "bud", "--isolation", "chroot", "--network", "host", "--pull-never",
            "--platform", f"linux/{architecture}", "--timestamp", EPOCH, "--target", target, "--tag", name,
            "--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro",
            *(f"--build-arg={key}={value}" for key, value in arguments.items()), str(ROOT),
        )  # fmt: skip
        return f"localhost/{name}"

    def image(self, name: str) -> dict[str, Any]:
        """What an image says of itself, as OCI has it."""
        found: dict[str, Any] = json.loads(self("inspect", "--type", "image", name))["OCIv1"]
        return found

    def container(self, image: str) -> str:
        """A container of *image*, to be run or looked into."""
        return self("from", "--pull-never", "--arch", self.image(image)["architecture"], image).strip()

    def started(self, container: str, folder: Path, *program: str) -> list[str]:
        """The command that runs *program* in *container*, which has *folder* at the same place as here."""
        mounts = ["--volume", f"{folder}:{folder}:ro"]
        if program[0] == EMULATOR:
            mounts += ["--volume", f"{EMULATOR}:{EMULATOR}:ro"]
        return [*self.options, "run", "--isolation", "chroot", *mounts, container, *program]
