"""What instances cost: ``--price TYPE=DOLLARS``, and the fleet's own ``prices``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import click

from webhook.cli.terminal import echo

if TYPE_CHECKING:
    from webhook.fleet.fleet import Fleet

LEAST, MOST = 0.0001, 1e6
"""Dollars an hour between which something costs money."""


def _read(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, float]:
    prices = {}
    for text in given:
        name, _, dollars = text.partition("=")
        try:
            price = float(dollars)
        except ValueError:
            price = 0
        if not name or not LEAST <= price <= MOST:
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


def prices_for(
    types: Iterable[str], others: Iterable[str], fleet: Fleet, given: Mapping[str, float]
) -> dict[str, float] | None:
    """The prices of *fleet*, and over them those that were *given*; None if it lacks one of *types* and none was.

    *others* may be of use with another layout.  Those without a price are named.
    """
    prices = {name: price for name, price in prices_of(fleet, given).items() if LEAST <= price <= MOST}
    missing = next((name for name in types if name not in prices), None)
    if missing is None:
        unknown = ", ".join(name for name in others if name not in prices)
        if unknown and prices:
            echo(f"no layout of {unknown} is compared: the fleet has no price of it", err=True)
        return prices or None
    if given:
        raise click.UsageError(f"the pods may use {missing}, too. Give its price: --price {missing}=DOLLARS")
    if prices:
        echo(f"GPUs are saved, and not dollars: the fleet has no price of {missing}", err=True)
    return None
