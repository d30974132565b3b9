"""``gpu-slice page`` as a process, and what a person sees of it in a browser."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request

from tests.packages import CHROMIUM, get

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def served(fleet: Path | None = None) -> Iterator[str]:
    """The address of the page of *fleet*, as the command prints it."""
    command = [sys.executable, "-m", "webhook", "page", "--no-browser"]
    command += ["--fleet", str(fleet)] if fleet is not None else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


def launch(playwright: Playwright) -> Browser:
    """Chromium, with a fresh profile."""
    return playwright.chromium.launch(executable_path=get(CHROMIUM), args=list(FLAGS))


def fragment(text: str, namespace: str = "") -> str:
    """What a link to *text* ends with."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(text.encode()) + packer.flush()
    code = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    return (f"#n={namespace}&" if namespace else "#") + f"d={code}"


def _carried(address: str) -> str:
    """What a link carries."""
    code = re.search(r"[#&]d=([^&]*)", address)
    return zlib.decompress(base64.urlsafe_b64decode(code[1] + "=="), -15).decode() if code else ""


@dataclass
class Visit:
    """One page in one browser window, and what went wrong in it."""

    page: Page
    address: str
    requests: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    asked: str = ""
    """The text that the page asked about last."""

    def __post_init__(self) -> None:
        self.page.on("request", self._request)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))

    def _request(self, request: Request) -> None:
        self.requests.append(request.url)
        if "/dry-run" in request.url:
            self.asked = request.post_data or ""

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(message.text)

    def open(self, text: str | None = None, namespace: str = "") -> None:
        """Open the page; with *text*, by a link to it."""
        self.page.goto("about:blank")
        self.page.goto(self.address + (fragment(text, namespace) if text is not None else ""))
        self.settle()

    def follow(self, text: str) -> None:
        """Follow a link to *text*, on this page itself if it is the one that the link is to."""
        if not self.page.url.startswith(self.address):
            return self.open(text)
        with self.page.expect_response("**/dry-run*"):
            self.page.evaluate("(fragment) => { location.hash = fragment }", fragment(text))
        return self.settle()

    def settle(self) -> None:
        """Wait until what is written is answered."""
        self.page.wait_for_function("() => document.querySelector('#result').ariaBusy === 'false'")

    def write(self, text: str) -> None:
        """Replace what stands in the editor, as a person does who types."""
        self.editor.click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.press("Delete")
        self.page.keyboard.insert_text(text)
        self.settle()

    def drop(self, name: str, text: str | bytes) -> None:
        """Drop a file on the page."""
        content = base64.b64encode(text.encode() if isinstance(text, str) else text).decode()
        self.page.evaluate(
            """([name, content]) => {
                const bytes = Uint8Array.from(atob(content), (each) => each.charCodeAt(0));
                const transfer = new DataTransfer();
                transfer.items.add(new File([bytes], name));
                for (const type of ["dragenter", "dragover", "drop"])
                    document.querySelector("main").dispatchEvent(
                        new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
            }""",
            [name, content],
        )

    @property
    def editor(self) -> Any:
        return self.page.locator(".cm-content")

    @property
    def text(self) -> str:
        """What stands in the editor: it draws only what is in sight, so the link tells, once it is that of what was
        asked last."""
        end = monotonic() + 60
        while (text := _carried(self.page.url)) != self.asked and monotonic() < end:
            self.page.wait_for_timeout(50)
        return text

    def seen(self) -> dict[str, Any]:
        """What is read on the right-hand side."""
        return self.page.evaluate(SEEN)

    def violations(self, axe: str) -> list[str]:
        """What axe finds."""
        self.page.evaluate(axe)
        found = self.page.evaluate("async () => (await axe.run()).violations")
        return [f"{each['id']}: {json.dumps([node['html'][:200] for node in each['nodes']])}" for each in found]


SEEN = """() => {
    const text = (selector) => document.querySelector(selector)?.textContent ?? null;
    const views = {};
    for (const tab of document.querySelectorAll("[role=tab]")) {
        tab.click();
        views[tab.textContent] = text("#panel pre") ?? "";
    }
    document.querySelector("[role=tab]")?.click();
    const remark = (item) => ({
        code: item.querySelector(".code").textContent, message: item.querySelectorAll("p")[1].textContent,
    });
    return {
        headline: text(".verdict h3"),
        sentence: text(".verdict .sentence"),
        gets: [...document.querySelectorAll(".verdict .gets")].map((each) => each.textContent),
        code: text(".verdict .code"),
        caret: text(".verdict .caret"),
        marked: text(".verdict .caret mark"),
        hint: text(".verdict .instead p"),
        field: text(".verdict .where code"),
        paragraph: text(".verdict .paragraph"),
        warnings: [...document.querySelectorAll(".remarks .warn")].filter((each) => each.matches("li")).map(remark),
        advice: [...document.querySelectorAll(".remarks .note")].filter((each) => each.matches("li")).map(remark),
        entries: [...document.querySelectorAll("#entries .name")].map((each) => each.textContent),
        views,
    };
}"""
