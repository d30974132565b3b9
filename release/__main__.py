"""Makes a release, step by step; the steps that need a registry are in the workflow.

    python -m release check [v0.1.0]           says what is wrong, if the tag is not the version or has no notes
    python -m release notes                    the part of the changelog about this version
    python -m release artefacts DIR            sdist, wheel, bills of materials, the krew plugin, and checksums
    python -m release chart DIR REPOSITORY SERVE KEEPER     the chart, with the images' repository and their digests

Exit code 1: something is wrong.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(*arguments: str) -> None:
    """Do a step, with what it needs alone: `notes` and `chart` go by any Python."""
    match arguments:
        case ["check"] | ["check", _]:
            from release import notes

            if problems := notes.problems(*arguments[1:]):
                sys.exit("\n".join(problems))
        case ["notes"]:
            from release import notes

            sys.stdout.buffer.write(f"{notes.of_version()}\n".encode())
        case ["artefacts", folder]:
            from release import artefacts

            artefacts.make(Path(folder))
        case ["chart", folder, repository, serve, keeper]:
            from release import chart

            print(chart.package(Path(folder), repository, serve, keeper))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
