"""Progress on a terminal: what takes more than a second says what it does."""

from __future__ import annotations

import sys
from threading import Event, Thread

from webhook.cli.terminal import Line, echo, line

SECONDS = 1.0

_CLEAR = Line("\r\x1b[K")


class Progress:
    """A line on stderr that says what is being done, and is gone when it is done.  Nothing if that is no terminal."""

    def __init__(self) -> None:
        self._text = ""
        self._done = Event()
        self._thread = Thread(target=self._show, daemon=True) if sys.stderr.isatty() else None

    def __call__(self, text: str) -> None:
        self._text = text

    def __enter__(self) -> Progress:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def _show(self) -> None:
        shown = False
        while not self._done.wait(SECONDS):
            # Whatever is printed next begins at the left, over this line.
            echo(Line(_CLEAR + line(f"{self._text} …") + "\r"), err=True, nl=False)
            shown = True
        if shown:
            echo(_CLEAR, err=True, nl=False)
