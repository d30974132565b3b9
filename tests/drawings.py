"""The drawings in the documents: what they show, and how they are made anew.

python -m tests.drawings          writes docs/drawings/
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.stories import FLEETS
from webhook.cli import files
from webhook.draw import layout, node, placements, request

FOLDER = Path(__file__).parents[1] / "docs" / "drawings"


def drawings() -> Mapping[str, str]:
    """The text of each file in docs/drawings."""
    fleet = files.fleet_at(None)
    pools = {pool.name: pool for pool in fleet.pools}
    mps = next(pool for pool in files.fleet_at(FLEETS["corners"]).pools if pool.entry.partition.mps)
    return {
        "request.svg": request.draw(),
        "layout-equal.svg": layout.draw(pools["a100-1g-5gb"], highlight="nvidia.com/mig-1g.5gb"),
        "layout-mixed.svg": layout.draw(pools["a100-mixed"], highlight="nvidia.com/mig-2g.10gb"),
        "layout-time-slicing.svg": layout.draw(pools["a10g-shared"], highlight="nvidia.com/gpu.shared"),
        "layout-mps.svg": layout.draw(mps, highlight="nvidia.com/gpu.shared"),
        "placements-a100-40gb.svg": placements.draw(fleet.catalogue.gpus["a100-40gb"]),
        "node.svg": node.draw(
            "ip-10-0-1-23", [node.Use("3g.20gb", 3, 8), node.Use("2g.10gb", 8, 8), node.Use("1g.5gb", 11, 16)]
        ),
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in drawings().items():
        (FOLDER / name).write_text(text)
