"""The commands of a page of the documents, and a shell that runs them as a reader does: one block after the other."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(
    r"(?:^<!-- needs (?P<needs>[^>]+?) -->\n)?^```sh\n(?P<text>.*?)^```\n(?:\n^```text\n(?P<sees>.*?)^```\n)?"
    r"|^<!-- as (?P<page>\S+): (?P<heading>[^\n]+) -->$",
    re.DOTALL | re.MULTILINE,
)
"""Commands; or the place where a page has the reader do a section of another one."""


@dataclass(frozen=True)
class Block:
    """Commands, what they need that no test has, and what the page says that one sees."""

    where: str
    """The page and the line."""
    text: str
    needs: str
    sees: str


def blocks(page: Path, heading: str = "") -> list[Block]:
    """The blocks of *page*, or of the section with that *heading*, the first first."""
    text = page.read_text()
    start = text.index(f"\n## {heading}\n") + 1 if heading else 0
    end = text.find("\n## ", start) + 1 if heading else 0
    made: list[Block] = []
    for found in BLOCK.finditer(text, start, end or len(text)):
        if found["page"]:
            made += blocks(page.with_name(found["page"]), found["heading"])
        else:
            line = text.count(chr(10), 0, found.start("text"))
            made.append(Block(f"{page.name}:{line}", found["text"], found["needs"] or "", found["sees"] or ""))
    return made


class Shell:
    """bash in *folder*.  What a block exports, the next one has."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.exported = folder.parent / "exported"
        self.exported.touch()

    def __call__(self, text: str) -> subprocess.CompletedProcess[str]:
        """Run *text* until a command fails."""
        script = f'set -euo pipefail\n. "{self.exported}"\n{text}\nexport -p >"{self.exported}"\n'
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )


def syntax(text: str) -> str:
    """What bash says of *text* without running it; empty if it is good."""
    return subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True).stderr


def unseen(sees: str, said: str) -> list[str]:
    """The lines that a page says one sees, and that are not in what was *said*.

    Spaces do not count, nor does the order, as kubectl sorts as it likes.  ``…`` stands for anything.
    """
    lines = [" ".join(line.split()) for line in said.splitlines()]
    wanted = [" ".join(line.split()) for line in sees.splitlines()]
    patterns = {line: ".*".join(map(re.escape, line.split("…"))) for line in wanted}
    return [
        line
        for line, pattern in patterns.items()
        if not any(re.fullmatch(pattern.replace("\\ .*", "(\\ .*)?"), each) for each in lines)
    ]
