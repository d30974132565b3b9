"""An annotation that cannot be read, and what to write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from webhook.codes import Reason
from webhook.errors import Denial


class Misspelt(Denial):
    """An annotation that cannot be read, where what it means is likely."""

    def __init__(
        self, field: str, problem: str, position: int, slices: Sequence[tuple[str, str]], reason: Reason = "grammar"
    ) -> None:
        super().__init__(problem, field=field, hint="", reason=reason, position=position)
        self.slices = slices
        """What may be meant, and what it is, the likeliest first."""
        self.word = self.before = self.gpu = self.after = ""

    def within(self, before: str, word: str, gpu: str, after: str) -> Misspelt:
        """Say what to write for *word*: a slice of *gpu*, between the rest of the annotation."""
        self.before, self.word, self.gpu, self.after = before, word, gpu, after
        self.propose(self.slices)
        return self

    def propose(self, slices: Iterable[tuple[str, str]]) -> None:
        """Say that one of *slices* is to be written."""
        self.hint = "Write " + ", or ".join(f"'{self.choice(slice)}'{what}" for slice, what in slices)

    def choice(self, slice: str) -> str:
        """*slice* of the GPU that is named."""
        return slice if "@" in slice or self.gpu[1:] == slice.partition("=")[0] else slice + self.gpu
