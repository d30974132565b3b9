"""An option can come from the environment: the variable is made of the names of the command and the option."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from webhook.cli.main import main


def options() -> Iterator[tuple[str, str, click.Option, click.Context]]:
    """The variable and the long name of each option of each command, as a user would derive them from its help."""

    def walk(group: click.Group, context: click.Context, words: list[str]) -> Iterator[tuple[click.Option, str]]:
        for name in group.list_commands(context):
            _, command, _ = group.resolve_command(context, [name])
            inner = click.Context(command, context, info_name=name)
            if isinstance(command, click.Group):
                yield from walk(command, inner, [*words, name])
                continue
            for option in command.params:
                if isinstance(option, click.Option):
                    long = next(each for each in option.opts if each.startswith("--"))
                    variable = "_".join([*words, name, long[2:]]).upper().replace("-", "_")
                    yield variable, " ".join([*words[1:], name, long]), option, inner

    root = click.Context(main, info_name="gpu-slice", **main.context_settings)
    yield from walk(main, root, ["gpu-slice"])


OPTIONS = list(options())


def test_the_options_of_all_commands_are_looked_at() -> None:
    titles = {title for _, title, _, _ in OPTIONS}
    assert {"preview --fleet", "certs init --dir", "fit --need", "serve --tls-name", "render --prune-list"} <= titles
    assert len({variable for variable, *_ in OPTIONS}) == len(OPTIONS)


@pytest.mark.parametrize(
    ("variable", "option", "context"),
    [pytest.param(variable, option, context, id=title) for variable, title, option, context in OPTIONS],
)
def test_every_option_has_the_variable_of_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, option: click.Option, context: click.Context
) -> None:
    assert option.resolve_envvar_value(context) is None
    monkeypatch.setenv(variable, "1")
    assert option.resolve_envvar_value(context) == "1"


@pytest.mark.parametrize(
    ("variable", "value", "arguments", "says"),
    [
        pytest.param("PREVIEW_FLEET", "/missing", ["preview", "-"], "/missing", id="a path"),
        pytest.param("FLEET_DISCOVER_CONTEXT", "nowhere", ["fleet", "discover"], "nowhere", id="a command of a group"),
        pytest.param("DRAW_LAYOUT_FLEET", "/missing", ["draw", "layout", "x"], "/missing", id="a late command"),
        pytest.param("CERTS_INIT_DIR", "/dev/null/x", ["certs", "init"], "/dev/null/x", id="a required option"),
        pytest.param("RENDER_CHECK", "1", ["render"], "--check needs", id="a flag"),
        pytest.param("SERVE_OPS_PORT", "99999", ["serve", "--tls-dir", "x"], "'--ops-port'", id="two words"),
        pytest.param("FIT_NEED", "1g.5gb=1 wrong", ["fit"], "'wrong'", id="a repeated option"),
    ],
)
def test_a_command_goes_by_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str, arguments: list[str], says: str
) -> None:
    config = tmp_path / "config"
    config.write_text("{apiVersion: v1, kind: Config, contexts: [], clusters: [], users: []}")
    monkeypatch.setenv("KUBECONFIG", str(config))
    monkeypatch.setenv(f"GPU_SLICE_{variable}", value)
    result = CliRunner().invoke(main, arguments, input="")
    assert result.exit_code in (2, 3)
    assert says in result.stderr


def test_an_argument_on_the_command_line_is_stronger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_SLICE_PROFILES_OUTPUT", "json")
    assert CliRunner().invoke(main, ["profiles", "-o", "table"]).stdout.startswith("SLICE")


@pytest.mark.parametrize("name", ["VERSION", "HELP", "PREVIEW_PATHS", "PREVIEW_FILE", "PREVIEW_FLEET_PATH"])
def test_nothing_else_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A variable such as GPU_SLICE_VERSION may well be somebody's own."""
    monkeypatch.setenv(f"GPU_SLICE_{name}", "1")
    result = CliRunner().invoke(main, ["preview", "-"], input="{kind: Pod, spec: {containers: []}}")
    assert result.exit_code == 0
    assert "annotation" in result.stderr
