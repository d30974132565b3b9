"""The images of the Dockerfile, built on packages of Debian 13, started, and asked for a patch over TLS.

No registry can be asked here, so the two bases are stood in for (`tests.image.debian`): all else is the Dockerfile's.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.image import debian
from tests.image.buildah import Store
from tests.packages import EMULATOR, Missing, needed, skip
from tests.running import Running
from tests.unit.test_locks import NOBODY, POD, locked
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

MOST = 60 << 20
"""Bytes of the webhook's image beside its base: a quarter of what it was when it had everything."""


@pytest.fixture(scope="module", name="store")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("images")
    try:
        store = Store(folder)
        store.base("builder", debian.BUILDER, "amd64")
        for architecture in ("amd64", "arm64"):
            store.base(f"base-{architecture}", debian.BASE, architecture)
    except Missing as missing:
        skip(f"no image can be built here: {missing}")
    yield store
    store("rm", "--all")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", name="serve")
def _serve(store: Store) -> str:
    return store.build("serve", "amd64")


@pytest.fixture(scope="module", name="tls_of_all")
def _tls_of_all(tls: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate, readable by another user, and the fleet."""
    folder = Path(shutil.copytree(tls, tmp_path_factory.mktemp("mounted") / "tls"))
    shutil.copy(Path(__file__).parents[2] / "manifests" / "webhook" / "fleet.yaml", folder)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    return folder


def answered(server: Running) -> str | None:
    """The patch, unless it came later than the 2 s that an API server waits: an emulator is slow."""
    try:
        return server.client.review(POD, "default").get("patch")
    except (OSError, http.client.HTTPException):
        server.client.close()
        return None


def command_of(image: dict[str, Any]) -> list[str]:
    """What is ``gpu-slice`` in an image."""
    return list(image["config"]["Entrypoint"])


def test_it_starts_as_another_user_and_gives_a_patch_over_tls(store: Store, serve: str, tls_of_all: Path) -> None:
    container = store.container(serve)
    program = store.started(container, tls_of_all, *command_of(store.image(serve)))
    server = Running(
        tls_of_all, f"--fleet={tls_of_all}/fleet.yaml", "--tls-name=webhook.gpu-slice.svc", "--preview",
        program=program, patience=300,
    )  # fmt: skip
    try:
        answer = server.client.review(POD, "default")
        assert answer["allowed"]
        assert answer["patch"]
        assert [server.get(path)[0] for path in ("/readyz", "/metrics", "/", "/catalogue")] == [200] * 4
        shown = json.loads(server.post("/preview", json.dumps(POD).encode())[1])
        assert [each["outcome"] for each in shown] == ["sliced"]
        users = {
            re.search(r"^Uid:\s+(\d+)", (path.parent / "status").read_text(), re.MULTILINE)[1]
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if (said := path.read_bytes().split(b"\0"))[0].endswith(b"python3")
            and f"--fleet={tls_of_all}/fleet.yaml".encode() in said
        }
        assert users == {"65532"}
    finally:
        server.stop()


def test_it_says_what_it_is(store: Store, serve: str) -> None:
    image = store.image(serve)
    labels = {key.rpartition(".")[2]: value for key, value in image["config"]["Labels"].items()}

    expected = {"title": "gpu-slice", "version": "1.2.3", "revision": "abc", "licenses": "Apache-2.0"}
    assert labels.items() >= expected.items()
    assert image["config"]["User"] == "65532:65532"


def test_it_holds_what_its_lock_has_and_nothing_else(store: Store, serve: str) -> None:
    app = Path(store("mount", store.container(serve)).strip()) / "app"
    found = {path.name.partition("-")[0].replace("_", "-").lower() for path in app.glob("*.dist-info")}

    assert found == locked("-serve").keys()
    assert not (app / "bin").exists()
    assert not (app / "certs").exists()
    assert sum(path.stat().st_size for path in app.rglob("*") if path.is_file()) < MOST
    sources = {path.relative_to(app) for path in (app / "webhook").rglob("*.py")}
    compiled = {path.relative_to(app) for path in (app / "webhook").rglob("*.pyc")}
    assert len(compiled) == len(sources)
    assert b"/serve/webhook" not in (app / "webhook" / "__pycache__" / "codes.cpython-313.pyc").read_bytes()


def test_building_again_makes_the_same_layers(store: Store, serve: str) -> None:
    again = store.build("serve", "amd64", tag="again")

    assert store.image(again)["rootfs"] == store.image(serve)["rootfs"]


def test_the_keepers_image_has_the_client_of_the_api_and_starts(store: Store, tmp_path: Path) -> None:
    image = store.build("keeper", "amd64")
    container = store.container(image)
    app = Path(store("mount", container).strip()) / "app"
    (tmp_path / "kubeconfig").write_text(NOBODY)
    for path in (tmp_path, tmp_path / "kubeconfig"):
        path.chmod(0o755)
    command = ["env", f"KUBECONFIG={tmp_path}/kubeconfig", *command_of(store.image(image))]
    program = [*store.started(container, tmp_path, *command[2:]), "certs", "keep", "--host=127.0.0.1", "--port=0"]
    program[program.index("run") + 1 : program.index("run") + 1] = ["--env", command[1]]

    found = {path.name.partition("-")[0].replace("_", "-").lower() for path in app.glob("*.dist-info")}
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as keeper:
        lines = []
        for line in keeper.stderr or ():
            lines.append(line)
            if '"level":"warning"' in line or '"level":"error"' in line:  # nobody answers there, and it goes on
                break
        keeper.terminate()

    assert found == locked("-keeper").keys()
    assert "keeping certificates" in lines[0]
    assert "127.0.0.1" in lines[-1]


def test_an_image_for_arm64_is_built_here_and_decides_the_same(store: Store, tls_of_all: Path) -> None:
    image = store.build("serve", "arm64")
    container = store.container(image)
    app = Path(store("mount", container).strip()) / "app"

    assert store.image(image)["architecture"] == "arm64"
    assert {path.suffixes[0] for path in app.rglob("*.so")} <= {".cpython-313-aarch64-linux-gnu", ".abi3"}
    program = store.started(
        container, tls_of_all, needed(EMULATOR), "/usr/bin/python3", *command_of(store.image(image))[1:]
    )
    server = Running(tls_of_all, f"--fleet={tls_of_all}/fleet.yaml", program=program, patience=900)
    try:
        assert wait_for("a patch", lambda: answered(server), seconds=600)
    finally:
        server.stop()
