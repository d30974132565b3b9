"""The Dockerfile, read stage by stage: what it copies is there, and what it starts is what the Deployments start."""

from __future__ import annotations

import fnmatch
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.image.debian import BASE, RELEASE

ROOT = Path(__file__).parents[2]
NAMES = "FROM|ARG|WORKDIR|COPY|RUN|LABEL|ENV|USER|ENTRYPOINT|EXPOSE|CMD"
INSTRUCTION = re.compile(rf"^({NAMES}) ((?:[^\n]*\\\n)*[^\n]*)\n", re.MULTILINE)
TEXT = "".join(line for line in (ROOT / "Dockerfile").read_text().splitlines(keepends=True) if line[0] != "#")
PARTS: dict[str, list[tuple[str, str]]] = {"": []}
"""The instructions of each stage, with those before the first under an empty name."""
for name, value in INSTRUCTION.findall(TEXT):
    if name == "FROM":
        PARTS[value.rpartition(" AS ")[2]] = []
    list(PARTS.values())[-1].append((name, value))


def of(stage: str, instruction: str) -> list[str]:
    """The values of *instruction* in *stage*, and in those that it is made from."""
    base = next((value.split()[0] for name, value in PARTS[stage] if name == "FROM"), "")
    return [*(of(base, instruction) if base in PARTS else ()), *(v for n, v in PARTS[stage] if n == instruction)]


def container(folder: str) -> dict[str, Any]:
    """The only container of the Deployment in a folder of ``manifests``."""
    template = yaml.safe_load((ROOT / "manifests" / folder / "deployment.yaml").read_text())["spec"]["template"]
    [found] = template["spec"]["containers"]
    return {"pod": template["spec"]["securityContext"], **found}


def test_nothing_in_it_is_overlooked() -> None:
    assert INSTRUCTION.sub("", TEXT).strip() == ""
    assert list(PARTS) == ["", "build", "base", "keeper", "serve"]  # the last is what `docker build .` makes


def test_what_it_copies_is_there_and_reaches_the_builder() -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    sent = {line[1:] for line in ignored if line[0] == "!"}
    assert ignored[0] == "*"
    copied = set()
    for stage in PARTS:
        for value in (value for name, value in PARTS[stage] if name == "COPY"):
            *sources, _ = shlex.split(value)
            if sources[0].startswith("--from="):
                assert sources[0].removeprefix("--from=") in PARTS
            else:
                copied |= set(sources)
    assert copied == sent
    assert all((ROOT / each).exists() for each in copied)


def test_nothing_that_lies_about_reaches_the_builder() -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("**/")]

    for path in ("webhook/__pycache__", "webhook/a.pyc", "webhook/server/api/page/editor/node_modules"):
        assert any(fnmatch.fnmatch(path, each) for each in ignored), path


@pytest.mark.parametrize("image", ["serve", "keeper"])
def test_each_image_has_its_own_lock_by_hash_and_only_from_wheels(image: str) -> None:
    [install, _] = of("build", "RUN")
    assert "for image in serve keeper" in install
    for option in ("--require-hashes", "--only-binary :all:", "--target /$image", "-r requirements-$image.lock"):
        assert option in install
    assert (ROOT / f"requirements-{image}.lock").exists()
    assert of(image, "COPY") == [f"--from=build /{image} /app"]


@pytest.mark.parametrize(("image", "packages"), [("serve", {"webhook"}), ("keeper", {"webhook", "certs"})])
def test_each_image_has_the_packages_that_it_runs(image: str, packages: set[str]) -> None:
    ends = (f" /{image}/webhook", f" /{image}/certs")
    copied = {value.split()[0] for value in of("build", "COPY") if value.endswith(ends)}

    assert copied == packages


@pytest.mark.parametrize(("image", "folder"), [("serve", "webhook"), ("keeper", "keeper")])
def test_an_image_starts_what_its_deployment_starts(image: str, folder: str) -> None:
    deployed = container(folder)
    [command], [ports], [user] = of(image, "CMD"), of(image, "EXPOSE"), of(image, "USER")

    assert yaml.safe_load(command) == deployed["args"]
    assert [int(port) for port in ports.split()] == [each["containerPort"] for each in deployed["ports"]]
    assert user == f"{deployed['pod']['runAsUser']}:{deployed['pod']['runAsGroup']}"
    assert of(image, "ENTRYPOINT") == ['["python3", "-m", "webhook"]']
    assert of(image, "WORKDIR")[-1] == "/app"


def test_the_two_bases_have_the_same_debian_and_the_python_of_the_tests_of_the_image() -> None:
    builder, base = (value.partition("=")[2] for name, value in PARTS[""] if name == "ARG")

    assert builder == f"python:3.13-slim-{RELEASE}"
    assert base == "gcr.io/distroless/python3-debian13:nonroot"
    assert "python3.13-minimal" in BASE


def test_an_image_says_what_it_is() -> None:
    for image, title in (("serve", "gpu-slice"), ("keeper", "gpu-slice-keeper")):
        labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', " ".join(of(image, "LABEL"))))
        assert labels.keys() == {"licenses", "version", "revision", "source", "title", "description"}
        assert labels["title"] == title
