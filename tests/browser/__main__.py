"""``python -m tests.browser``: how much a load of the page transfers, and how long it and a keystroke take.

The figures are of this machine as it is; the best of several is told, and nothing is held to them.
"""

from __future__ import annotations

from playwright.sync_api import Page, sync_playwright

from tests.browser.pages import fragment, launch, served
from tests.browser.test_page import POD

ROUNDS = 9
USABLE = """() => new Promise((done) => {
    const answered = () => document.querySelector("#result").ariaBusy === "false";
    const look = () => answered() ? done(performance.now()) : setTimeout(look);
    look();
})"""
KEYSTROKE = """() => new Promise((done) => {
    const begin = performance.now();
    const look = () => {
        const answered = document.querySelector("#result").ariaBusy === "false";
        if (answered) requestAnimationFrame(() => done(performance.now() - begin));
        else setTimeout(look);
    };
    const root = document.querySelector("#editor").shadowRoot;
    root.querySelector(".cm-content").focus();
    document.execCommand("insertText", false, "x");
    setTimeout(look, 1);
})"""
TRANSFERRED = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .reduce((sum, entry) => sum + entry.transferSize, 0)"""


def measure(page: Page, address: str, text: str) -> tuple[float, float, float]:
    """Bytes of a first load, milliseconds until it is answered, and those from a keystroke to its result."""
    loads, keystrokes = [], []
    for _ in range(ROUNDS):
        page.goto("about:blank")
        page.goto(address + fragment(text))
        loads.append(page.evaluate(USABLE))
        page.wait_for_timeout(600)
        keystrokes.append(page.evaluate(KEYSTROKE))
    return page.evaluate(TRANSFERRED), min(loads), min(keystrokes)


def main() -> None:
    hundred = "---\n".join(POD.format("1g.5gb").replace("notebook", f"pod-{number}") for number in range(100))
    with served() as address, sync_playwright() as playwright:
        browser = launch(playwright)
        for name, text in (("a pod", POD.format("1g.5gb")), ("100 pods", hundred)):
            size, load, keystroke = measure(browser.new_context().new_page(), address, text)
            print(
                f"{name}: {size / 1000:.0f} kB, usable after {load:.0f} ms, a keystroke's result in {keystroke:.0f} ms"
            )
        browser.close()


if __name__ == "__main__":
    main()
