"""One folder is one story: ``pod.yaml`` goes in, ``patch.yaml`` or ``denied.txt`` comes out.

``warnings.txt`` stands beside them where there are warnings.  Of a pod in shadow, ``shadow.yaml`` is the patch, or
``shadow.txt`` the denial, that is only told.  The first line of a pod may name a fleet of
``tests/fleets``, as in ``# fleet: single``; without it the story is about the built-in one.

After a wanted change ``pytest --update-stories`` rewrites the answers: read the diff.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.pods import Pod
from webhook import documents

HERE = Path(__file__).parent
STORIES = sorted(path for path in HERE.iterdir() if path.is_dir() and not path.name.startswith("_"))
DEFAULT = "default"
FLEETS: dict[str, Path | None] = {DEFAULT: None} | {
    path.stem: path for path in sorted((HERE.parent / "fleets").glob("*.yaml"))
}


def pod_of(story: Path) -> Pod:
    """The pod of a story."""
    (document,) = documents.read((story / "pod.yaml").read_bytes(), name=story.name)
    return document.value


def namespace_of(pod: Pod) -> str:
    """The namespace in which it is created."""
    return pod["metadata"].get("namespace", "default")


def fleet_of(story: Path) -> str:
    """The name of its fleet."""
    found = re.match(r"# fleet: (\S+)", (story / "pod.yaml").read_text())
    return found[1] if found else DEFAULT


def would_be(answers: dict[str, str]) -> dict[str, str]:
    """*answers* as a preview gives them: in shadow, what would be done, and not what is done."""
    if "shadow.txt" in answers:
        return {"denied.txt": answers["shadow.txt"]}
    given = {name: text for name, text in answers.items() if name != "shadow.yaml"}
    return given | ({"patch.yaml": answers["shadow.yaml"]} if "shadow.yaml" in answers else {})


def answers_of(story: Path) -> dict[str, str]:
    """What the folder tells: the text of every file but the pod."""
    return {path.name: path.read_text() for path in sorted(story.iterdir()) if path.name != "pod.yaml"}
