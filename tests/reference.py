"""The pages that are made from what they describe: commands, metrics, fields of the fleet file, causes and checks.

    python -m tests.reference          writes them

What stands above the mark of a page is written by hand, and so is the second paragraph of a check.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from typing import Any

import click
import yaml

from certs.metrics import KeeperMetrics
from tests.unit.test_monitoring import OTHERS, PARTS, RULES, labels_of, selectors
from webhook.cli.main import main
from webhook.cluster.causes import CAUSES
from webhook.cluster.check import CATEGORIES, CHECKS
from webhook.fleet.file import schema
from webhook.server.metrics import Metrics

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MARK = "<!-- what follows is written by `python -m tests.reference` -->"
REGISTRIES = {"The webhook": Metrics().registry, "The keeper": KeeperMetrics().registry}
MOST_VALUES = 8
"""Values of a label that are named on the page; more have a page of their own."""


def row(*cells: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def table(*head: str) -> Iterator[str]:
    """The two lines with which a table begins."""
    yield row(*head)
    yield row(*("---" for _ in head))


def anchor(heading: str) -> str:
    """The anchor of a heading, as a Git host makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


# The commands.


def commands() -> str:
    """The help of each command, those of a group after it."""
    root = click.Context(main, info_name="gpu-slice", terminal_width=78, **main.context_settings)
    return "\n".join(_command(root))


def _command(context: click.Context) -> Iterator[str]:
    command = context.command
    yield f"## `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            _, inner, _ = command.resolve_command(context, [name])
            assert inner is not None
            yield from _command(click.Context(inner, info_name=name, parent=context))


# The metrics.


def metrics() -> str:
    """A table of the metrics of each program, and one of the metrics of others that an alert reads."""
    lines = []
    for program, registry in REGISTRIES.items():
        lines += [f"## {program}", "", *table("metric", "type", "labels", "meaning", "alerts")]
        for family in sorted(registry.collect(), key=lambda family: family.name):
            if family.name.startswith("gpu_slice_"):
                suffixes = PARTS[family.type]
                name = family.name + ("_total" if family.type == "counter" else "")
                used = alerts({family.name + suffix for suffix in suffixes})
                lines.append(row(f"`{name}`", family.type, _labels(family), f"{family.documentation}.", used))
        lines.append("")
    lines += ["## Of other programs", "", *table("metric", "alerts")]
    lines += [row(f"`{name}`", alerts({name})) for name in OTHERS if alerts({name})]
    return "\n".join(lines) + "\n"


def _labels(family: Any) -> str:
    values = {
        label: sorted({sample.labels[label] for sample in family.samples if label in sample.labels})
        for label in sorted(labels_of(family.name))
    }
    return ", ".join(
        f"`{label}`" + (f" ({', '.join(known)})" if 1 < len(known) <= MOST_VALUES else "")
        for label, known in values.items()
    )


def alerts(names: set[str]) -> str:
    """The alerts that read one of these metrics, as links."""
    reading = {rule["alert"] for rule in RULES if names & {each.name for each in selectors(rule["expr"])}}
    return ", ".join(f"[{name}](operations.md#{name.lower()})" for name in sorted(reading))


# The fields of the fleet file.

WHOLE = schema()
DEFINITIONS: dict[str, dict[str, Any]] = WHOLE["$defs"]


def places() -> dict[str, str]:
    """Where each object of the schema first stands in the file, in the order of the file."""
    found = {"": "The file"}

    def walk(path: str, model: dict[str, Any]) -> None:
        for name, rule in model["properties"].items():
            for definition, step in inner(rule):
                if definition != "Defaults" and definition not in found:
                    found[definition] = f"{path}{name}{step}"
                    walk(f"{found[definition]}.", DEFINITIONS[definition])

    walk("", WHOLE)
    return found


def inner(rule: dict[str, Any], step: str = "") -> Iterator[tuple[str, str]]:
    """The objects that a value may have, each with the step that leads to it."""
    if "$ref" in rule:
        yield rule["$ref"].rpartition("/")[2], step
    for option in rule.get("anyOf", rule.get("oneOf", [])):
        yield from inner(option, step)
    if "items" in rule:
        yield from inner(rule["items"], f"{step}[]")
    for value in _values(rule):
        yield from inner(value, f"{step}.NAME")


def _values(rule: dict[str, Any]) -> list[dict[str, Any]]:
    """The rules for the values of a map."""
    more = rule.get("additionalProperties")
    return [more] if isinstance(more, dict) else list(rule.get("patternProperties", {}).values())


def fields() -> str:
    """A table for each object of the file."""
    lines = []
    for definition, place in places().items():
        model = DEFINITIONS.get(definition, WHOLE)
        lines += [f"## {place if not definition else f'`{place}`'}", "", text(model["description"]), ""]
        lines += table("field", "type", "default", "meaning")
        for name, rule in model["properties"].items():
            default = "required" if name in model.get("required", ()) else _default(rule.get("default"))
            lines.append(row(f"`{name}`", kind(rule), default, text(meaning(rule))))
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def meaning(rule: dict[str, Any]) -> str:
    """What a field says of itself; if it says nothing, what its type says."""
    if "description" in rule:
        return str(rule["description"])
    if "$ref" in rule:
        definition = rule["$ref"].rpartition("/")[2]
        return DEFAULTS if definition == "Defaults" else str(DEFINITIONS[definition]["description"])
    return next((said for option in rule.get("anyOf", ()) if (said := meaning(option))), "")


def text(words: str) -> str:
    """A description as Markdown: what could be read as HTML or as emphasis, and is none, is escaped."""
    parts = " ".join(words.replace("``", "`").split()).split("`")
    escaped = "`".join(part if number % 2 else re.sub(r"([<*_])", r"\\\1", part) for number, part in enumerate(parts))
    return re.sub(r"\bdocs/([\w-]+\.md)\b", r"[\1](\1)", escaped)


def _default(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        value = {key: each for key, each in value.items() if each not in (None, {}, [])}
    written = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000)
    return f"`{written.removesuffix('...' + chr(10)).strip()}`"


def kind(rule: dict[str, Any]) -> str:
    """The type of a value, in words."""
    if "$ref" in rule:
        definition = rule["$ref"].rpartition("/")[2]
        place = places()["PoolEntry" if definition == "Defaults" else definition]
        return f"[{'as a pool' if definition == 'Defaults' else 'object'}](#{anchor(place)})"
    if options := [each for each in rule.get("anyOf", rule.get("oneOf", [])) if each.get("type") != "null"]:
        return " or ".join(kind(option) for option in options)
    if "const" in rule:
        return f"`{rule['const']}`"
    if "enum" in rule:
        return ", ".join(f"`{value}`" for value in rule["enum"])
    if rule["type"] == "array":
        return f"list of {kind(rule['items'])}"
    if rule["type"] == "object":
        values = _values(rule)
        return f"map to {kind(values[0])}" if values else "object"
    limits = [f"{word} {rule[key]}" for key, word in LIMITS.items() if key in rule]
    return ", ".join([rule["type"], *limits])


DEFAULTS = "Fields of a pool that hold for every pool that does not give them itself, and to which they can apply."
LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}


# What `explain` and `check` say.


def causes() -> str:
    """A paragraph for each cause."""
    return "\n".join(
        f"### `{name}`\n\n"
        + fill(f"{kind.title}. What to do: {kind.cure}", 150, break_long_words=False, break_on_hyphens=False)
        + "\n"
        for name, kind in CAUSES.items()
    )


def checks(page: str) -> str:
    """*page*, with a section for each check.  Why it is a check is kept: of a new one, it is left to be written."""
    why = dict(re.findall(r"^### `([^`\n]+)`\n\n√ [^\n]*\n\n(.+?)\n\nWhat to do: ", page, re.MULTILINE | re.DOTALL))
    before, after = page.partition(f"## {CATEGORIES[0]}\n")[0], page.partition("\n## Rights\n")[2]
    sections = []
    for category in CATEGORIES:
        sections.append(f"## {category}\n")
        sections += [
            f"### `{each.id}`\n\n√ {each.words}\n\n{why.get(each.id, '(why)')}\n\nWhat to do: {each.cure}\n"
            for each in CHECKS
            if each.category == category
        ]
    return before + "\n".join(sections) + f"\n## Rights\n{after}"


def counted(page: str) -> str:
    """*page*, with the number of checks in the reports that it shows."""
    return re.sub(r"of \d+ checks failed", f"of {sum(not each.only_before for each in CHECKS)} checks failed", page)


def made() -> dict[Path, str]:
    """What stands in each page."""
    contents = {"commands.md": commands(), "metrics.md": metrics(), "fleet-fields.md": fields(), "causes.md": causes()}
    pages = {
        DOCS / name: f"{(DOCS / name).read_text().partition(MARK)[0]}{MARK}\n\n{content}"
        for name, content in contents.items()
    }
    pages[DOCS / "checks.md"] = checks((DOCS / "checks.md").read_text())
    return pages | {path: counted(path.read_text()) for path in (ROOT / "README.md", DOCS / "live.md")}


if __name__ == "__main__":
    for path, content in made().items():
        path.write_text(content)
