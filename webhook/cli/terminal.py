"""Everything that the commands print goes through this module.

Names, values and messages come from files, objects and clusters that others wrote.  On a terminal an escape sequence
or a bidirectional character in them could move the cursor, set the clipboard, or forge a result.  So no unprintable
characters are printed except line breaks and the colours that `line` adds, and no commands to a CI system.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, EIO, ENOSPC
from importlib import import_module
from signal import SIGINT, SIGPIPE
from typing import Any

import click

from webhook.errors import inert, printable

PORT = click.IntRange(0, 65535)
"""The type of an option that takes a port; 0 is any that is free."""


READER_GONE = 128 + SIGPIPE
"""The exit code when nobody reads the output any more, as after ``| head``: what a shell shows of other programs."""


INTERRUPTED = 128 + SIGINT
"""The exit code after Ctrl-C: likewise."""


FULL = (ENOSPC, EDQUOT, EFBIG, EIO)
"""What a disk answers that takes no more."""


class Line(str):
    """One line that is safe to print."""

    __slots__ = ()


def line(*parts: str, **style: Any) -> Line:
    """*parts* as one line, in a style of `click.style`; a part that is a `Line` keeps its own style."""
    text = "".join(part if isinstance(part, Line) else _safe(part) for part in parts)
    return Line(click.style(text, **style) if style else text)


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print *text*, which may have several lines unless it is a `Line`."""
    if sys.stdout is None and not err:  # click would print nothing, and the command would end with 0
        raise CouldNotLook("the output cannot be written: standard output is closed")
    safe = text if isinstance(text, Line) else "\n".join(map(_safe, text.split("\n")))
    click.echo(safe, err=err, nl=nl)


def _safe(text: str) -> str:
    return inert(printable(text))


class Group(click.Group):
    """Commands whose errors are printed safely, too: errors contain file names and arguments.

    *lazy*: commands with the first sentence of their help.  Each is the only one of a module of its name, which is
    imported when the command is called: not to list it.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, str] | None = None, **extra: Any) -> None:
        super().__init__(*args, **extra)
        self.lazy = lazy or {}
        for name, text in self.lazy.items():
            self.add_command(click.Command(name, help=text))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in self.lazy:
            self.add_command(getattr(import_module(f"webhook.cli.{args[0]}"), args[0]))
        name, command, rest = super().resolve_command(ctx, args)
        for option in command.params if command else ():
            if isinstance(option, click.Option):
                option.envvar = _variable(ctx, name, option)
                option.allow_from_autoenv = False  # which goes by the name of the parameter
        return name, command, rest

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _orderly():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _orderly():
            return super().invoke(ctx)


class CouldNotLook(click.ClickException):
    """There is no answer, neither yes nor no: a document or a cluster cannot be read."""

    exit_code = 3


def _variable(context: click.Context, command: str | None, option: click.Option) -> str:
    """The environment variable of an option, such as GPU_SLICE_CERTS_INIT_DIR."""
    words = f"{context.auto_envvar_prefix}_{command}_{max(option.opts, key=len).lstrip('-')}"
    return words.upper().replace("-", "_")


@contextmanager
def _orderly() -> Iterator[None]:
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise  # its message is the help, in lines of ours
    except click.ClickException as error:
        error.message = _safe(error.message)  # type: ignore[misc]
        raise
    except KeyboardInterrupt:  # click would make it 1, which means no
        raise click.exceptions.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # likewise
        _abandon(1, 2)
        raise click.exceptions.Exit(READER_GONE) from None
    except OSError as error:
        if error.errno in FULL:
            _abandon(1)
            raise CouldNotLook(f"the output cannot be written: {error.strerror}") from error
        if error.filename is None:
            raise
        raise CouldNotLook(_safe(f"{error.filename}: {error.strerror}")) from error


def _abandon(*streams: int) -> None:
    """Let what is left for *streams*, which Python writes when it ends, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream)
