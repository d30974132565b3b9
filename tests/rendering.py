"""The companions of a fleet as a cluster would read them."""

from __future__ import annotations

from typing import Any

from tests.stories import FLEETS
from webhook import documents
from webhook.cli import files, render
from webhook.fleet.fleet import Fleet
from webhook.fleet.shadow import in_shadow
from webhook.render import SUBJECTS

BOOT = render.boot_files()


def documents_of(fleet: Fleet, name: str) -> list[dict[str, Any]]:
    """The documents of one subject, as `gpu-slice render` prints them."""
    (subject,) = [each for each in SUBJECTS if each.name == name]
    text = subject.text(fleet, BOOT)
    return [each.value for each in documents.read(text)] if text else []


ENFORCED = {name: path for name, path in FLEETS.items() if not in_shadow(files.fleet_at(path).file)}
"""The fleets with nothing in shadow, by name: only these become a policy in the API server."""
