"""Stands in for the two bases of the Dockerfile: the same packages of Debian 13, since no registry of images is asked.

The base is unpacked as distroless unpacks it: nothing of it is configured or run, so it may be of another architecture.
The builder is the same with pip and a shell.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.cluster.programs.toolchain import cache, locked
from tests.packages import Missing, run

RELEASE = "trixie"
BASE = (
    "base-files", "media-types", "netbase", "tzdata", "libc6", "libssl3t64", "libzstd1", "zlib1g", "libgcc-s1",
    "libgomp1", "libstdc++6", "libbz2-1.0", "libdb5.3t64", "libexpat1", "liblzma5", "libsqlite3-0", "libuuid1",
    "libncursesw6", "libtinfo6", "libcom-err2", "libcrypt1", "libgssapi-krb5-2", "libk5crypto3", "libkeyutils1",
    "libkrb5-3", "libkrb5support0", "libnsl2", "libreadline8t64", "libtirpc3t64", "libffi8", "libpython3.13-minimal",
    "libpython3.13-stdlib", "python3.13-minimal",
)  # fmt: skip
"""Source: GoogleContainerTools/distroless, ``config.bzl`` of ``python3``, ``cc``, ``base`` and ``static``."""
BUILDER = (
    *BASE, "dash", "coreutils", "libacl1", "libattr1", "libcap2", "libgmp10", "libpcre2-8-0", "libselinux1",
    "libsystemd0", "ca-certificates", "python3-pip", "python3-wheel", "python3-setuptools", "python3-packaging",
)  # fmt: skip


def tree(packages: tuple[str, ...], architecture: str) -> Path:
    """A folder with *packages* of `RELEASE` unpacked.  It is kept.  Raises `Missing`."""
    if missing := [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]:
        raise Missing(f"there is no {missing[0]}")
    digest = hashlib.sha256("\0".join((RELEASE, architecture, *packages)).encode()).hexdigest()[:16]
    made = cache() / f"debian-{architecture}-{digest}"
    with locked(made.with_name(f"{made.name}.lock")):
        if not made.is_dir():
            with tempfile.TemporaryDirectory(dir=made.parent, prefix=f"{made.name}.") as folder:
                _unpack(packages, architecture, Path(folder))
                (Path(folder) / "root").rename(made)
    return made


def _unpack(packages: tuple[str, ...], architecture: str, folder: Path) -> None:
    """Load the packages with apt, as it is set up here but for the release, and unpack them into ``root``."""
    site = run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Component: main"]).split()
    if not site:
        raise Missing("apt knows no archive")
    root = folder / "root"
    for name in ("lists/partial", "cache/archives/partial", "debs", "root/usr/bin", "root/etc"):
        (folder / name).mkdir(parents=True)
    sources = folder / "sources.list"
    sources.write_text(f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {site[0]} {RELEASE} main\n")
    (folder / "status").touch()
    (folder / "apt.conf").write_text(
        f'Dir::State::lists "{folder}/lists";\nDir::Cache "{folder}/cache";\nDir::State::status "{folder}/status";\n'
        f'Dir::Etc::sourcelist "{sources}";\nDir::Etc::sourceparts "-";\nAPT::Architecture "{architecture}";\n'
        f'APT::Architectures "{architecture}";\nAPT::Sandbox::User "root";\nAcquire::Languages "none";\n'
    )
    apt = ("env", f"APT_CONFIG={folder}/apt.conf", "apt-get", "-q")
    run([*apt, "update"])
    run([*apt, "download", *packages], cwd=folder / "debs")
    for name in ("bin", "lib", "sbin"):
        (root / "usr" / name).mkdir(exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    if architecture == "amd64":
        (root / "usr" / "lib64").mkdir()
        (root / "lib64").symlink_to("usr/lib64")
    for package in sorted((folder / "debs").glob("*.deb")):
        _unpacked(package, root)
    for name in ("python", "python3"):
        (root / "usr" / "bin" / name).unlink(missing_ok=True)
        (root / "usr" / "bin" / name).symlink_to("python3.13")


def _unpacked(package: Path, root: Path) -> None:
    """As ``dpkg-deb -x``, which would put folders where the links of a merged ``/usr`` are."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as tar:
        command = ["tar", "-x", "--keep-directory-symlink", "-C", str(root)]
        done = subprocess.run(command, stdin=tar.stdout, capture_output=True, text=True, check=False)
    if done.returncode or tar.returncode:
        raise Missing(f"{package.name} cannot be unpacked: {done.stderr.strip()[-300:]}")
