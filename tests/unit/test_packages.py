"""A program that is missing is got where that is possible; elsewhere its tests are skipped, and fail in CI."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import packages

ROOT = Path(__file__).parents[2]
OTHER_REASONS = {
    "tests/packages.py",
    "tests/cluster/test_admission_policy.py",  # an older Kubernetes
    "tests/cluster/test_adopted.py",  # port 443 of loopback
    "tests/cluster/test_aws.py",  # Bottlerocket is another
    "tests/unit/test_advisories.py",  # a server of others does not answer
    "tests/unit/test_keeper.py",  # IPv6
}
"""The files in which a test is skipped otherwise than by `packages.skip`."""


@pytest.fixture(name="nothing")
def _nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without programs; a folder on its PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_no_test_is_skipped_in_ci_because_something_is_missing() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(r"pytest\.(skip|importorskip|mark\.skipif)\b", path.read_text()) and path != Path(__file__)
    }

    assert found == OTHER_REASONS


def test_what_is_missing_is_a_failure_in_ci(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="there is no shellcheck, which Debian's package shellcheck has"):
        packages.needed("shellcheck")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="there is no shellcheck"):
        packages.needed("shellcheck")


def test_nothing_is_installed_but_by_root_on_debian(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(packages.Missing, match="there is no openssl"):
        packages.get("openssl")
    (nothing / "apt-get").write_text("#!/bin/sh\nexit 1\n")
    (nothing / "apt-get").chmod(0o755)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(packages.Missing, match="there is no openssl"):
        packages.get("openssl")


def test_of_the_package_of_prometheus_nothing_is_installed_that_would_start(
    nothing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, script in (
        ("apt-get", f'echo "$1" >>{nothing}/said; [ "$1" = update ] || : >prometheus.deb'),
        ("dpkg-deb", '/bin/mkdir -p "$3/usr/bin"; : >"$3/usr/bin/promtool"; /bin/chmod +x "$3/usr/bin/promtool"'),
    ):
        (nothing / name).write_text(f"#!/bin/sh\n{script}\n")
        (nothing / name).chmod(0o755)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    packages._update.cache_clear()

    assert str(packages.get("promtool")) == str(nothing / "cache" / "gpu-slice" / "promtool")
    assert (nothing / "said").read_text().split() == ["update", "download"]
    packages._update.cache_clear()
