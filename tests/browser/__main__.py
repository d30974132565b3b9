"""``python -m tests.browser``: how much a load of the page transfers, and how long it and a keystroke take.

Each load is a first one, by a link, in a browser that keeps nothing of it.  Told are medians of several, with the CPU
time that the page's own process spent, which other work on the machine changes less, and the machine's load.  The
figures go to docs/previews.md; nothing is held to them.
"""

from __future__ import annotations

import os
from statistics import median

from playwright.sync_api import Browser, CDPSession, sync_playwright

from tests.browser.pages import fragment, launch, served
from tests.browser.test_page import POD

ROUNDS = 15
WATCH = """(() => {
    window.reached = {};
    const reach = (name, is) => { if (is) reached[name] ??= performance.now(); };
    const look = () => {
        reach("told", document.querySelector("#verdict")?.children.length);
        reach("usable", document.querySelector("#result")?.ariaBusy === "false");
        if (!reached.usable) setTimeout(look);
    };
    look();
})()"""
"""Notes when the verdict is there, and when one can also write."""

KEYSTROKE = """() => new Promise((done) => {
    const begin = performance.now();
    new MutationObserver((_, observer) => {
        if (document.querySelector("#result").ariaBusy !== "false") return;
        observer.disconnect();
        requestAnimationFrame(() => setTimeout(() => done(performance.now() - begin))); // and it is painted
    }).observe(document.querySelector("#result"), { attributeFilter: ["aria-busy"] });
    document.querySelector("#editor").shadowRoot.querySelector(".cm-content").focus();
    document.execCommand("insertText", false, "x");
})"""
TRANSFERRED = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .reduce((sum, entry) => sum + entry.transferSize, 0)"""


def measure(browser: Browser, address: str, text: str) -> dict[str, float]:
    """Bytes of a load; milliseconds until its verdict is there, until it is usable, and from a keystroke to its result;
    and those of the CPU."""
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto("about:blank")
    session = context.new_cdp_session(page)
    session.send("Performance.enable")
    page.goto(address + fragment(text))
    page.wait_for_function("() => reached.usable")
    result = dict(page.evaluate("reached"))
    result["load CPU"] = busy(session)
    page.wait_for_timeout(600)
    before = busy(session)
    result["keystroke"] = page.evaluate(KEYSTROKE)
    result["keystroke CPU"] = busy(session) - before
    result["bytes"] = page.evaluate(TRANSFERRED)
    context.close()
    return result


def busy(session: CDPSession) -> float:
    """Milliseconds of CPU of the page's process so far."""
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return 1000 * float(metrics["ProcessTime"])


def main() -> None:
    hundred = "---\n".join(POD.format("1g.5gb").replace("notebook", f"pod-{number}") for number in range(100))
    with served() as address, sync_playwright() as playwright:
        browser = launch(playwright)
        for name, text in (("a pod", POD.format("1g.5gb")), ("100 pods", hundred)):
            rounds = [measure(browser, address, text) for _ in range(ROUNDS)]
            found = {key: median(each[key] for each in rounds) for key in rounds[0]}
            print(
                f"{name}: {found['bytes'] / 1000:.0f} kB; answered after {found['told']:.0f} ms, usable after "
                f"{found['usable']:.0f} ms ({found['load CPU']:.0f} ms of CPU); a keystroke's result in "
                f"{found['keystroke']:.0f} ms ({found['keystroke CPU']:.0f} ms of CPU)"
            )
        browser.close()
    print(f"medians of {ROUNDS}; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
