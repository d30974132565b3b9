"""What instances cost: ``--price TYPE=DOLLARS``, and the fleet's own ``prices``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from webhook.fleet.fleet import Fleet


def _read(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, float]:
    prices = {}
    for text in given:
        name, _, dollars = text.partition("=")
        try:
            price = float(dollars)
        except ValueError:
            price = 0
        if not name or not math.isfinite(price) or price <= 0:
            raise click.BadParameter(f"'{text}' is not a price. Write it as in 'p4d.24xlarge=21.96'")
        prices[name] = price
    return prices


PRICE = click.option(
    "--price", "prices", multiple=True, callback=_read, metavar="TYPE=DOLLARS",
    help="What an instance of this type costs in an hour.  Repeatable.  Default: the fleet's prices.",
)  # fmt: skip
"""Gives the command ``prices``, a mapping from instance types to dollars an hour."""


def prices_of(fleet: Fleet, given: Mapping[str, float]) -> dict[str, float]:
    """The prices of *fleet*, and over them those that were *given*."""
    for name in given:
        if name not in fleet.catalogue.instance_types:
            raise click.BadParameter(f"'{name}' is no instance type of the catalogue", param_hint="--price")
    return {**fleet.file.prices, **given}
