"""``kubectl gpu-slice``: kubectl runs ``kubectl-gpu_slice``, and for completion ``kubectl_complete-gpu_slice``.

Source: kubernetes/kubectl ``pkg/cmd/plugin/plugin_completion.go``: the arguments are those of the plugin, the last one
is what is to be completed; each line is a value, and the last line a directive of cobra.
"""

from __future__ import annotations

import sys

from click.shell_completion import ShellComplete

from webhook.cli.main import main, run
from webhook.cli.terminal import Line, echo

NAME = "kubectl gpu-slice"
FILES, NO_FILES = ":0", ":4"
"""What the shell does where nothing fits: complete names of files, or nothing.  Source: cobra ``completions.go``."""


def plugin() -> None:
    """Run the command line as a plugin, with the name that the user has typed."""
    run(NAME)


def complete() -> None:
    """Print what fits the last argument."""
    *arguments, last = sys.argv[1:] or [""]
    items = ShellComplete(main, {}, NAME, "").get_completions(arguments, last)
    for item in items:
        if item.type == "plain":
            echo(Line(f"{item.value}\t{item.help}" if item.help else item.value))
    echo(NO_FILES if all(item.type == "plain" for item in items) else FILES)
