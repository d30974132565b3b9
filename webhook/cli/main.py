"""The command line, ``gpu-slice``.

Results go to stdout, remarks to stderr.  Exit codes: 0 yes, 1 no, 2 called wrongly, 3 could not look.  The
docstring of a command is its help text.
"""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import click

from webhook import __version__
from webhook.cli import files
from webhook.cli.companions import render_fleet
from webhook.cli.discover import discover
from webhook.cli.terminal import PORT, CouldNotLook, Group, echo
from webhook.errors import BadDocument, BadFleet
from webhook.server.settings import Settings

if TYPE_CHECKING:
    from webhook.fleet.listing import Known, Offered

# A command imports the modules that only it needs inside its function, so that the server does not load them.

_FLEET = click.option(
    "--fleet",
    "fleet_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Fleet file.  Default: the built-in one.",
)
_PATH = click.Path(path_type=Path, allow_dash=True)


def run(name: str = "gpu-slice") -> None:
    """The program *name*.  It writes UTF-8 in every locale, and a fault of ours ends with 3: 1 would mean no."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8")
    try:
        main(prog_name=name)
    except Exception:
        traceback.print_exc()
        sys.exit(CouldNotLook.exit_code)


@click.group(
    cls=Group,
    lazy={
        "certs": "Make certificates, and manage those of a cluster.",
        "check": "Hold a cluster against its fleet: the webhook, Karpenter, the device plugin, nodes and pods.",
        "draw": "Draw a pool's layout, a GPU's placements or the way of a request, as SVG.",
        "explain": "Say why a pod has no slice, or waits for one, and what to do.",
        "fit": "Say on how many GPUs and nodes workloads fit, and which layouts would fit better.",
        "usage": "Show which slices are used, by which pods, which are free, and what waits.",
    },
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "GPU_SLICE"},
)
@click.version_option(__version__, prog_name="gpu-slice", allow_from_autoenv=False)
def main() -> None:
    """Give a Kubernetes pod a slice of a GPU with one annotation.

    Every option of a command can also be set by an environment variable of both names, such as
    GPU_SLICE_PREVIEW_FLEET or GPU_SLICE_SERVE_OPS_PORT.  The values of a repeated option are separated by spaces.
    """


@main.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=_PATH)
@click.option(
    "-o", "--output", type=click.Choice(["diff", "patch", "yaml", "json", "sarif", "github"]), default="diff",
    show_default=True, help="What to print: a diff, the JSON patch, the resulting pod as YAML, or all results as JSON; "
    "or only denials, warnings and notes, as SARIF or as annotations of GitHub Actions.",
)  # fmt: skip
@click.option(
    "--help-uri", default="docs/messages.md", show_default=True, metavar="URI",
    help="Where you publish docs/messages.md, for the links in SARIF.",
)  # fmt: skip
@_FLEET
@click.option("-n", "--namespace", default="default", show_default=True, help="Namespace for objects that name none.")
@click.option("--strict", is_flag=True, help="Exit with 1 also where the annotation is misspelt or misplaced.")
def preview(
    paths: tuple[Path, ...], output: str, help_uri: str, fleet_path: Path | None, namespace: str, strict: bool
) -> None:
    """Show what the webhook would do to pods.  It needs no cluster and changes nothing.

    FILE is YAML or JSON of any size, a folder of such files and folders, or - for stdin.  Pods and pod templates are
    found at any depth.  The resulting pods go to stdout, the remarks and reasons to stderr.

    Exit codes, the same for every output: 1, a pod is denied, or a value of the annotation is wrong; with --strict also
    where the annotation itself is misspelt or in the wrong place; 2, called wrongly; 3, a document cannot be read.
    """
    from webhook.cli import preview

    fleet = files.fleet_at(fleet_path)
    raise click.exceptions.Exit(preview.run(paths, output, fleet, namespace, help_uri, strict=strict))


@main.command()
@click.option("--all", "everything", is_flag=True, help="List the whole catalogue: every profile of every GPU.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("-n", "--namespace", help="List only what pods of this namespace may use.")
@_FLEET
def profiles(everything: bool, output: str, namespace: str | None, fleet_path: Path | None) -> None:
    """List the slices that the fleet offers."""
    from webhook.cli import show
    from webhook.fleet.listing import known, offered

    fleet = files.fleet_at(fleet_path)
    offers = (row for row in offered(fleet, namespace) if row.permitted)
    rows = known(fleet.catalogue) if everything else offers
    if output == "json":
        echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    head = _KNOWN if everything else _OFFERED
    echo("\n".join(show.table([head, *map(_cells, rows)])))
    if everything:
        echo("-o json also shows the source of each row, and which rows are not verified on hardware.", err=True)


_OFFERED = ("SLICE", "RESOURCE", "GPU", "MEMORY", "PER GPU", "PER NODE", "INSTANCE TYPES", "POOL")
_KNOWN = ("GPU", "PROFILE", "RESOURCE", "COMPUTE", "MEMORY", "PER GPU", "INSTANCE TYPES")


def _cells(row: Offered | Known) -> tuple[str, ...]:
    from webhook.fleet.listing import Known

    if isinstance(row, Known):
        return (
            row.gpu,
            row.profile or "no MIG",
            row.resource or "-",
            _number(row.compute_slices),
            _mib(row.memory_mib),
            _number(row.most),
            ", ".join(row.instance_types) or "-",
        )
    return (
        row.slice,
        row.resource,
        row.gpu,
        _mib(row.memory_mib),
        str(row.per_gpu),
        ", ".join(map(str, dict.fromkeys(row.per_node.values()))),
        ", ".join(row.per_node),
        row.pool if row.mode == "enforce" else f"{row.pool} (shadow)",
    )


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _mib(value: int | None) -> str:
    return "-" if value is None else f"{value} MiB"


main.add_command(render_fleet)


@main.group(cls=Group)
def fleet() -> None:
    """Check a fleet file, make one from a cluster, or print its schema or the built-in one."""


@fleet.command()
@click.argument("path", metavar="FILE", type=_PATH)
def check(path: Path) -> None:
    """List everything that is wrong with a fleet file.  Exit code 1: something is wrong; a warning alone is none."""
    from webhook.admission.plan import UNTOUCHED_NAMESPACES
    from webhook.fleet.check import check_made, check_room, check_weights
    from webhook.fleet.karpenter import check_words
    from webhook.fleet.policy import check_retired, check_untouched
    from webhook.fleet.shadow import in_shadow
    from webhook.render.device_plugin import NAMESPACE, privileged
    from webhook.render.quota import limits

    try:
        fleet = files.load_fleet(files.read(path), path.name)
    except BadFleet as error:
        for problem in error.problems:
            echo(str(problem))
        raise click.exceptions.Exit(1) from None
    pools = fleet.pools
    told = (*check_weights(pools), *check_room(pools), *check_retired(fleet.policies, pools), *check_made(fleet.file))
    untouched = check_untouched(fleet.file.namespaces, UNTOUCHED_NAMESPACES)
    for problem in (*told, *check_words(fleet.file.pools), *untouched):
        echo(f"warning: {problem}", err=True)
    if daemons := privileged(fleet):
        note = f"privileged in {NAMESPACE} once it is rendered: {', '.join(daemons)}. SECURITY.md says why"
        echo(f"note: {note}", err=True)
    if shadow := in_shadow(fleet.file):
        echo(
            f"note: in shadow, so that the webhook changes and denies no pod: {shadow}. docs/shadow.md says more",
            err=True,
        )
    limited = [name for name, policy in fleet.policies.items()
               if policy.mode == "shadow" and name != "*" and limits(fleet, name)]  # fmt: skip
    if limited:
        echo(
            f"note: the ResourceQuotas of render --only quota refuse pods in shadow too: {', '.join(limited)}", err=True
        )
    slices = len({str(offer) for _, offer in fleet.offers})
    echo(f"{path}: valid: {_count(len(fleet.pools), 'pool')}, {_count(slices, 'kind')} of slice", err=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


fleet.add_command(discover)


@fleet.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of the fleet file, for editors."""
    from webhook.fleet.file import schema

    echo(json.dumps(schema(), indent=2))


@fleet.command()
def default() -> None:
    """Print the built-in fleet file, as a start for your own."""
    echo(files.default_fleet_text().decode(), nl=False)


@main.command()
@click.option("--tls-dir", type=click.Path(path_type=Path), required=True, help="Folder with tls.crt and tls.key.")
@click.option(
    "--fleet", "fleet_path", type=click.Path(path_type=Path),
    help="Fleet file.  It is reloaded when it changes.  Default: the built-in one.",
)  # fmt: skip
@click.option("--host", default=Settings.host, help="Address to listen on.  Default: all addresses.")
@click.option(
    "--port",
    default=Settings.port,
    show_default=True,
    type=PORT,
    help="HTTPS port: POST /mutate, POST /advise and health.",
)
@click.option(
    "--ops-port",
    default=Settings.ops_port,
    show_default=True,
    type=PORT,
    help="Plain HTTP port: metrics and health.",
)
@click.option(
    "--preview",
    "doors",
    is_flag=True,
    help="Also serve the page of gpu-slice page at /, and /preview, /catalogue, /fleet and /openapi.json, on the "
    "ops port.",
)
@click.option(
    "--preview-host", "preview_hosts", multiple=True,
    help="Also answer there under this host name, as that of an Ingress in front.  Repeatable.",
)  # fmt: skip
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default=Settings.log_level,
    show_default=True,
    help="The level debug writes a line for each decision.",
)
@click.option(
    "--tls-name", "names", multiple=True,
    help="Serve a certificate only if it is valid for this host name, such as webhook.gpu-slice.svc.",
)  # fmt: skip
@click.option(
    "--poll", default=Settings.poll, show_default=True, type=click.FloatRange(min=0, min_open=True),
    help="Seconds between checks for a new certificate or fleet file.",
)  # fmt: skip
@click.option(
    "--settle", default=Settings.settle, show_default=True, type=click.FloatRange(min=0),
    help="Seconds after SIGTERM during which new connections are still answered.",
)  # fmt: skip
def serve(
    tls_dir: Path,
    fleet_path: Path | None,
    host: str,
    port: int,
    ops_port: int,
    doors: bool,
    preview_hosts: tuple[str, ...],
    log_level: str,
    names: tuple[str, ...],
    poll: float,
    settle: float,
) -> None:
    """Serve the admission webhook over HTTPS.

    SIGTERM starts a graceful shutdown: the server stops when no caller holds a connection any more, after 105 seconds
    at the latest.  SIGINT (Ctrl-C) stops it at once.
    """
    from webhook.server import logs, run
    from webhook.server.tls import BadCertificate

    logger = logs.configure(sys.stderr, log_level)
    settings = Settings(tls_dir, fleet_path, host, port, ops_port, doors, preview_hosts, log_level, names, poll, settle)
    try:
        run.run(settings, files.load_fleet, files.load_fleet(files.default_fleet_text()))
    except (BadCertificate, OSError) as error:
        logger.error("cannot start", extra={"fields": {"problem": str(error)}})
        raise click.exceptions.Exit(1) from None


@main.command()
@_FLEET
@click.option("--port", default=0, type=PORT, help="Port on loopback.  Default: any that is free.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def page(fleet_path: Path | None, port: int, no_browser: bool) -> None:
    """Open a page in the browser that shows what the webhook would do to a pod, as you write it.

    The page is served on loopback, until Ctrl-C.  It needs no cluster and no network, and changes nothing.
    """
    from webhook.cli import page

    page.run(files.fleet_at(fleet_path), port, browser=not no_browser)


@main.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=_PATH)
@_FLEET
def demo(paths: tuple[Path, ...], fleet_path: Path | None) -> None:
    """Send a review for every pod in FILE to a webhook on loopback.

    The command starts a real HTTPS server with a new certificate.  Its client trusts only the new CA, sends what an API
    server would send, and shows each answer.
    """
    from webhook.cli.demo import run

    examples = []
    for path, found in files.read_all(paths):
        if isinstance(found, BadDocument):
            raise click.UsageError(str(found))
        examples.append((path, found.value))
    raise click.exceptions.Exit(run(examples, fleet_path, files.fleet_at(fleet_path)))
