"""What a release is made of, and the workflow that makes it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from release import artefacts, chart, notes
from tests.cluster import programs
from tests.image.debian import RELEASE
from tests.packages import skip
from tests.unit.test_locks import locked
from webhook import __version__

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
JOBS: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())["jobs"]
STEPS = [(name, step) for name, job in JOBS.items() for step in job["steps"]]
REPOSITORY = "ghcr.io/somebody/gpu-slice"
DIGESTS = ["sha256:" + digit * 64 for digit in "12"]


def test_every_action_is_pinned_by_its_commit_and_says_its_release() -> None:
    used = re.findall(r"uses: (.*)$", WORKFLOW.read_text(), re.MULTILINE)

    assert len(used) == sum("uses" in step for _, step in STEPS) > 10
    for each in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each), each
    commits = {each.partition("@")[0]: set() for each in used}
    for each in used:
        commits[each.partition("@")[0]].add(each)
    assert [name for name, found in commits.items() if len(found) > 1] == []


def test_no_job_may_more_than_it_needs() -> None:
    assert yaml.safe_load(WORKFLOW.read_text())["permissions"] == {}
    assert {
        name: {key for key, value in job["permissions"].items() if value == "write"} for name, job in JOBS.items()
    } == {
        "test": set(),
        "build": set(),
        "images": {"packages", "id-token", "attestations"},
        "chart": {"packages", "id-token"},
        "pypi": {"id-token"},
        "release": {"contents", "id-token", "attestations"},
    }


def test_nothing_that_others_write_becomes_part_of_a_script() -> None:
    for name, step in STEPS:
        assert "${{" not in step.get("run", ""), name
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, name
    assert "secrets." not in WORKFLOW.read_text()


def test_nothing_is_published_before_all_is_tested_and_what_cannot_be_taken_back_comes_last() -> None:
    order = ["test", "build", "images", "chart", "pypi", "release"]

    assert list(JOBS) == order
    assert [JOBS[name].get("needs") for name in order] == [None, *order[:-1]]


def test_the_images_are_those_of_the_dockerfile() -> None:
    built = [step["with"] for name, step in STEPS if step.get("uses", "").startswith("docker/build-push-action@")]

    assert [each["target"] for each in built] == ["serve", "keeper"]
    stages = re.findall(r"^FROM .* AS (\w+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {each["target"] for each in built} <= set(stages)
    for each in built:
        assert each["platforms"] == "linux/amd64,linux/arm64"
        assert each["sbom"] is True
        assert each["provenance"] == "mode=max"
        given = re.findall(r"^(\w+)=", each["build-args"], re.MULTILINE)
        assert f"ARG {' '.join(given)}\n" in (ROOT / "Dockerfile").read_text()


@pytest.mark.slow
def test_actionlint_finds_nothing_in_the_workflow() -> None:
    try:
        program = programs.actionlint()
    except programs.BuildError as error:
        skip(error)
    done = subprocess.run([program, "-no-color", str(WORKFLOW)], capture_output=True, text=True)

    assert (done.stdout, done.returncode) == ("", 0)


def test_every_target_of_make_that_the_workflow_calls_is_there() -> None:
    called = {word for _, step in STEPS for word in re.findall(r"^make ([\w-]+)", step.get("run", ""), re.MULTILINE)}
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert called == {"test", "artefacts"}
    assert called <= targets


def test_a_release_is_tested_as_root_where_nothing_is_skipped_with_the_kubernetes_releases_that_are_promised() -> None:
    job = JOBS["test"]
    compatibility = (ROOT / "docs" / "compatibility.md").read_text()
    newest_of_eks = re.search(r"v(\d+\.\d+)\.\d+, the newest of EKS", compatibility)[1]

    assert job["strategy"]["matrix"]["k8s"] == [programs.NEWEST, newest_of_eks]
    assert job["container"]["image"].endswith(f"-{RELEASE}")
    assert "--privileged" in job["container"]["options"]
    [tested] = [step for step in job["steps"] if step.get("run", "").startswith("make test")]
    assert tested["env"] == {"K8S": "${{ matrix.k8s }}"}
    makefile = (ROOT / "Makefile").read_text()
    assert "python -m tests.packages" in makefile[makefile.index("\ntest:") : makefile.index("\ndocs:")]


def test_all_that_is_attached_is_in_the_checksums_and_attested(tmp_path: Path) -> None:
    *before, publish = JOBS["release"]["steps"]
    attached = publish["run"].split("--notes-file notes.md")[1].replace("\\", "").split()
    [attested] = [step["with"]["subject-path"].split() for step in before if "subject-path" in step.get("with", {})]
    assert attached == attested
    for path in ("artefacts/dist/wheel.whl", "chart/chart.tgz"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(path)
    sums = tmp_path / "artefacts" / "dist" / artefacts.SUMS
    sums.write_text(f"{hashlib.sha256(b'artefacts/dist/wheel.whl').hexdigest()}  wheel.whl\n")
    uses = [step.get("uses", "").partition("@")[0] for step in before]
    for step in before[: uses.index("actions/attest-build-provenance")]:  # the sums are attested, too
        if "run" in step:
            subprocess.run(["bash", "-e", "-c", step["run"]], cwd=tmp_path, check=True)
    downloaded = tmp_path / "downloaded"
    downloaded.mkdir()
    for path in (path for pattern in attached for path in tmp_path.glob(pattern)):
        (downloaded / path.name).write_bytes(path.read_bytes())

    done = subprocess.run(["sha256sum", "-c", sums.name], cwd=downloaded, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("wheel.whl: OK\nchart.tgz: OK\n", 0)


def test_a_tag_that_is_not_the_version_is_refused() -> None:
    assert "the tag is 'v9.9.9'" in notes.problems("v9.9.9")[0]
    assert [each for each in notes.problems(f"v{__version__}") if "the tag" in each] == []


def test_a_version_without_a_part_of_the_changelog_is_refused() -> None:
    text = "## [1.0.0] - 2026-12-01\n\n### Added\n\n- One.\n\n## [0.9.0]\n"

    assert notes.part(text, r"\[1\.0\.0\]") == "### Added\n\n- One."
    assert notes.part(text, r"\[0\.9\.0\]") == notes.part(text, r"\[2\.0\.0\]") == ""
    complaints = [each for each in notes.problems(f"v{__version__}") if "CHANGELOG.md" in each]
    assert bool(complaints) == (not notes.of_version())


def test_the_notes_for_an_upgrade_are_there() -> None:
    assert notes.upgrade()
    assert notes.problems() == []


@pytest.mark.parametrize("step", ["notes", "check"])
def test_what_the_workflow_runs_without_installing_anything_needs_nothing(step: str) -> None:
    done = subprocess.run([sys.executable, "-S", "-m", "release", step], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_the_chart_of_a_release_names_its_images() -> None:
    values = yaml.safe_load(chart.named((chart.CHART / "values.yaml").read_text(), REPOSITORY, *DIGESTS))

    assert values["image"] == {"repository": REPOSITORY, "tag": "", "digest": DIGESTS[0], "pullPolicy": ""}
    assert values["keeper"]["image"] == {"repository": "", "tag": "", "digest": DIGESTS[1]}


def test_the_chart_of_a_release_does_not_deny_its_images() -> None:
    values = chart.named((chart.CHART / "values.yaml").read_text(), REPOSITORY, *DIGESTS)

    for text in (values, (chart.CHART / "values.schema.json").read_text()):
        assert "No image is published" not in text
    notes_of_helm = (chart.CHART / "templates" / "NOTES.txt").read_text()
    assert notes_of_helm.index('(eq .Values.image.repository "gpu-slice")') < notes_of_helm.index(
        "No image is published"
    )


@pytest.mark.parametrize("digests", [("", DIGESTS[1]), (DIGESTS[0], ""), ("sha256:1", DIGESTS[1])])
def test_a_chart_without_the_digest_of_an_image_is_none(digests: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="is no digest of an image"):
        chart.named((chart.CHART / "values.yaml").read_text(), REPOSITORY, *digests)


@pytest.mark.parametrize(
    "arguments",
    [[], ["artefacts"], ["artefacts", "a", "b"], ["chart", "x"], ["notes", "x"], ["check", "a", "b"], ["what"]],
    ids=" ".join,
)
def test_a_step_without_what_it_needs_does_nothing_and_says_how_it_is_called(
    arguments: list[str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "release", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert done.returncode == 1
    assert done.stderr.startswith("Makes a release, step by step")
    assert list(tmp_path.iterdir()) == []


def test_the_notes_are_written_in_every_locale() -> None:
    environment = os.environ | {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "POSIX"}
    for step in ("notes", "check"):
        command = [sys.executable, "-m", "release", step]
        assert subprocess.run(command, cwd=ROOT, env=environment, capture_output=True).stderr == b"", step


def test_the_notes_of_a_version_end_at_a_heading_of_its_level_or_above() -> None:
    text = "## [1.0.0]\n\none\n\n### Added\n\ntwo\n\n# Another\n\nthree\n"

    assert notes.part(text, r"\[1\.0\.0\]") == "one\n\n### Added\n\ntwo"
    assert notes.part("### To 1\n\none\n\n## Tested\n\ntwo\n", "To 1", level=3) == "one"


def test_checksums_are_those_of_the_files_also_when_they_are_made_again(tmp_path: Path) -> None:
    (tmp_path / "wheel.whl").write_text("wheel")
    (tmp_path / "folder").mkdir()
    artefacts.sums(tmp_path)
    artefacts.sums(tmp_path)

    assert (tmp_path / artefacts.SUMS).read_text() == f"{hashlib.sha256(b'wheel').hexdigest()}  wheel.whl\n"


def test_a_chart_that_could_not_be_pushed_is_not_signed(tmp_path: Path) -> None:
    """By the shell that GitHub gives a script that names bash; without a name, it has no pipefail."""
    assert yaml.safe_load(WORKFLOW.read_text())["defaults"] == {"run": {"shell": "bash"}}
    [script] = [step["run"] for name, step in STEPS if name == "chart" and "run" in step]
    for name, text in (("helm", "echo denied >&2; exit 1"), ("python3", "exit 0"), ("cosign", "touch signed")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "REPOSITORY": REPOSITORY}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert done.returncode == 1
    assert "denied" in done.stdout
    assert not (tmp_path / "signed").exists()


@pytest.mark.slow
def test_helm_packages_the_chart_of_a_release(tmp_path: Path) -> None:
    try:
        helm = programs.helm()
    except programs.BuildError as error:
        skip(error)
    package = chart.package(tmp_path, REPOSITORY, *DIGESTS, helm=str(helm))
    rendered = subprocess.run(
        [helm, "template", "gpu-slice", str(package), "-n", "gpu-slice", "--kube-version=1.34"],
        env=os.environ | {"HOME": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert set(re.findall(r"image: (\S+)", rendered.stdout)) == {
        f"{REPOSITORY}@{DIGESTS[0]}",
        f"{REPOSITORY}-keeper@{DIGESTS[1]}",
    }


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    try:
        artefacts.make(folder)
    except RuntimeError as error:
        skip(error)
    return folder


@pytest.mark.slow
def test_the_checksums_are_those_of_all_files(made: Path) -> None:
    lines = [line.split("  ") for line in (made / artefacts.SUMS).read_text().splitlines()]

    assert {name for _, name in lines} == {path.name for path in made.iterdir()} - {artefacts.SUMS}
    assert all(hashlib.sha256((made / name).read_bytes()).hexdigest() == digest for digest, name in lines)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "lock"), [("", ""), ("-serve", "-serve"), ("-keeper", "-keeper")])
def test_a_bill_of_materials_has_what_the_lock_has(made: Path, name: str, lock: str) -> None:
    bill = json.loads((made / f"gpu-slice{name}-{__version__}.cdx.json").read_text())

    assert bill["bomFormat"] == "CycloneDX"
    described = bill["metadata"]["component"]
    assert (described["name"], described["version"]) == ("gpu-slice", __version__)
    found: dict[str, set[str]] = {}
    for each in bill["components"]:
        found.setdefault(each["name"], set()).add(each["version"])
        assert each["purl"] == f"pkg:pypi/{each['name']}@{each['version']}"
        assert each["externalReferences"][0]["hashes"]
    assert found == locked(lock)


@pytest.mark.slow
def test_krew_accepts_its_manifest_and_the_archive_is_the_one_that_it_names(made: Path) -> None:
    manifest = yaml.safe_load((made / "gpu-slice.yaml").read_text())
    [platform] = manifest["spec"]["platforms"]
    archive = made / platform["uri"].rpartition("/")[2]
    with tarfile.open(archive) as tar:
        members = {member.name: member for member in tar}

    assert hashlib.sha256(archive.read_bytes()).hexdigest() == platform["sha256"]
    assert {each["from"] for each in platform["files"]} == members.keys()
    assert members[platform["bin"]].mode & 0o111
    try:
        program = programs.validate_krew_manifest()
    except programs.BuildError as error:
        skip(error)
    command = [program, "-manifest", str(made / "gpu-slice.yaml"), "-skip-install"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_plugin_of_krew_runs_the_package_of_its_version_or_says_what_it_needs(made: Path, tmp_path: Path) -> None:
    with tarfile.open(made / f"kubectl-gpu_slice-{__version__}.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    (tmp_path / "bin").mkdir()
    environment = {"PATH": str(tmp_path / "bin")}

    def run() -> subprocess.CompletedProcess[str]:
        command = ["/bin/sh", str(tmp_path / "kubectl-gpu_slice"), "explain", "a b"]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    without = run()
    assert (without.returncode, without.stdout) == (3, "")
    assert "needs uv or pipx" in without.stderr
    for name, before in (("pipx", ["run", "--quiet", "--spec"]), ("uvx", ["--quiet", "--from"])):
        (tmp_path / "bin" / name).write_text('#!/bin/sh\nfor each; do echo "$each"; done\n')
        (tmp_path / "bin" / name).chmod(0o755)
        said = run().stdout.splitlines()
        assert said == [*before, f"gpu-slice=={__version__}", "kubectl-gpu_slice", "explain", "a b"]


@pytest.mark.slow
def test_the_same_commit_makes_the_same_bytes(made: Path, tmp_path: Path) -> None:
    artefacts.make(tmp_path)

    assert (tmp_path / artefacts.SUMS).read_text() == (made / artefacts.SUMS).read_text()
