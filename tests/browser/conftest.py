"""A browser for all of these tests.  Where it cannot be had they are skipped, in CI they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser import pages, programs
from tests.browser.pages import Visit
from tests.packages import CHROMIUM, Missing, get, skip
from tests.stories import FLEETS

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="package", name="browser")
def _browser() -> Iterator[Browser]:
    """Chromium, and a page with its editor.

    It ends with these tests: while Playwright runs, its event loop is the running one for all that follows.
    """
    try:
        get(CHROMIUM)
        programs.editor()
    except Missing as missing:
        skip(missing)
    with sync_playwright() as playwright:
        browser = pages.launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session", name="axe")
def _axe() -> str:
    """The script that finds what a screen reader or a keyboard cannot use."""
    try:
        return programs.axe()
    except Missing as missing:
        skip(missing)


@pytest.fixture(scope="session", name="address_of")
def _address_of() -> Iterator[Callable[[str], str]]:
    """The address of the page of the fleet of that name; one server a fleet."""
    addresses: dict[str, str] = {}
    with ExitStack() as stack:

        def address_of(name: str) -> str:
            if name not in addresses:
                addresses[name] = stack.enter_context(pages.served(FLEETS[name]))
            return addresses[name]

        yield address_of


@pytest.fixture(name="visit")
def _visit(browser: Browser, address_of: Callable[[str], str]) -> Iterator[Visit]:
    """The page of the built-in fleet, in a window of its own."""
    context = browser.new_context()
    yield Visit(context.new_page(), address_of("default"))
    context.close()
