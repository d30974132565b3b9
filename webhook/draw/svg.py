"""What an SVG is made of: elements with escaped text, one palette for light and dark, a drawing that grows downwards.

A drawing has a surface of its own, so that it can be read on any page, whatever theme the page has.  Its styles are
limited to the class ``gpu-slice``, and its ids are derived from its words, so that several can stand in one HTML page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from textwrap import wrap
from typing import NewType
from zlib import crc32

from webhook.errors import printable

Markup = NewType("Markup", str)
"""Text that is SVG already.  Everything else is escaped."""

WIDTH = 480
"""Of what is drawn, in units that are pixels on a page and somewhat less on a phone."""
MARGIN = 12
SMALL, LEADING = 13, 15
"""Of the small font: its height, and that of a line."""
CHARACTER = 0.54
"""The mean width of a character, as a part of the height of the font."""

LINES = 4
"""Of one paragraph: names can be long."""

PALETTE = {
    # name: (in the light, in the dark)
    "page": ("#ffffff", "#0d1117"),
    "ink": ("#1f2328", "#e6edf3"),
    "quiet": ("#59636e", "#9da7b3"),
    "line": ("#818b98", "#6e7681"),
    "slice": ("#dcf1e6", "#14352a"),
    "edge": ("#0a7d4f", "#3fb97f"),
    "marked": ("#0a7d4f", "#3fb97f"),
    "on-marked": ("#ffffff", "#0d1117"),
}
"""Text in ``ink`` stands on ``page`` or ``slice``, in ``quiet`` on ``page``, in ``on-marked`` on ``marked``."""


def _rules(theme: int) -> str:
    colours = {name: both[theme] for name, both in PALETTE.items()}
    return " ".join(
        f".gpu-slice {selector}{{{rule}}}"
        for selector, rule in (
            (".page", f"fill:{colours['page']}"),
            ("text", f"fill:{colours['ink']}"),
            (".quiet", f"fill:{colours['quiet']}"),
            (".on-marked", f"fill:{colours['on-marked']}"),
            (".slice", f"fill:{colours['slice']};stroke:{colours['edge']}"),
            (".free", f"fill:{colours['page']};stroke:{colours['line']}"),
            (".bar", f"fill:{colours['line']}"),
            (".marked", f"fill:{colours['marked']};stroke:{colours['edge']}"),
            (".line", f"fill:none;stroke:{colours['line']}"),
            (".tip", f"fill:{colours['line']}"),
        )
    )


STYLE = (
    '.gpu-slice text{font:14px -apple-system,"Segoe UI","Noto Sans",Helvetica,Arial,sans-serif} '
    ".gpu-slice .title{font-weight:600;font-size:16px} .gpu-slice .strong{font-weight:600} "
    f".gpu-slice .small{{font-size:{SMALL}px}} "
    ".gpu-slice .line{stroke-width:1.5} .gpu-slice .unused{stroke-dasharray:4 3}\n"
    f"{_rules(0)}\n@media (prefers-color-scheme:dark){{{_rules(1)}}}"
)


def element(name: str, *children: Markup, **attributes: str | float) -> Markup:
    """One element.  An attribute's ``_`` is a dash, and one at its end is dropped: ``class_``, ``text_anchor``."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{words(value) if isinstance(value, str) else _number(value)}"'
        for key, value in attributes.items()
        if value != ""
    )
    return Markup(f"<{name}{written}>{''.join(children)}</{name}>" if children else f"<{name}{written}/>")


def words(text: str) -> Markup:
    """*text* escaped, also characters that XML does not allow."""
    return Markup(escape(printable(text)))


def text(content: str, x: float, y: float, class_: str = "", anchor: str = "") -> Markup:
    """One line of text, with its base at *y*."""
    return element("text", words(content), x=x, y=y, class_=class_, text_anchor=anchor)


def centred(content: str, x: float, y: float, width: float, height: float, class_: str = "small") -> Markup:
    """*content* in the middle of a box, on several lines where it is narrow; nothing if there is no room for it."""
    room = int(width / (SMALL * CHARACTER))
    lines = _broken(content, room)
    if max(map(len, lines)) > room or len(lines) * LEADING > height:
        return Markup("")
    top = y + height / 2 - (len(lines) - 1) * LEADING / 2 + SMALL * 0.36
    return Markup(
        "".join(text(line, x + width / 2, top + n * LEADING, class_, "middle") for n, line in enumerate(lines))
    )


def box(class_: str, x: float, y: float, width: float, height: float, **more: str | float) -> Markup:
    """A rectangle with round corners."""
    return element("rect", class_=class_, x=x, y=y, width=width, height=height, rx=4, **more)


def group(title: str, *children: Markup) -> Markup:
    """*children* as one thing with a name, which a pointer shows."""
    return element("g", element("title", words(title)), *children)


@dataclass(slots=True)
class Drawing:
    """A drawing that grows downwards: ``y`` is where the next part begins."""

    title: str
    description: str
    """The same as the picture, in words, for those who do not see it."""
    y: float = 0
    parts: list[Markup] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.write(self.title, "title", 16)
        self.y += 4

    @property
    def hatched(self) -> str:
        """The ``fill`` of what is not used."""
        return f"url(#h{self._id})"

    @property
    def _id(self) -> str:
        return f"{crc32(f'{self.title} {self.description}'.encode(errors='replace')):08x}"

    def add(self, *parts: Markup) -> None:
        """Draw *parts*, which know where they are."""
        self.parts += parts

    def write(self, content: str, class_: str = "quiet small", size: float = SMALL, x: float = 0) -> None:
        """*content* below what is there, on a few lines; what is longer is cut."""
        room = int((WIDTH - x) / (size * CHARACTER))
        for line in wrap(printable(content), room, max_lines=LINES, placeholder=" …"):
            self.y += size + 5
            self.add(text(line, x, self.y - 4, class_))

    def svg(self) -> str:
        """The whole document."""
        width, height = WIDTH + 2 * MARGIN, self.y + 2 * MARGIN
        titled, described = f"t{self._id}", f"d{self._id}"
        stripe = element("path", class_="line", d="M0 0V7")
        pattern = element(
            "pattern", stripe, id=f"h{self._id}", width=7, height=7,
            patternUnits="userSpaceOnUse", patternTransform="rotate(45)",
        )  # fmt: skip
        parts = [
            element("title", words(self.title), id=titled),
            element("desc", words(self.description), id=described),
            element("style", Markup(STYLE)),
            *([element("defs", pattern)] if any(self.hatched in part for part in self.parts) else ()),
            element("rect", class_="page", x=-MARGIN, y=-MARGIN, width=width, height=height, rx=8),
            *self.parts,
        ]
        return "\n".join([
            element(
                "svg", Markup("\n" + "\n".join(parts) + "\n"), xmlns="http://www.w3.org/2000/svg", class_="gpu-slice",
                viewBox=f"{-MARGIN} {-MARGIN} {width} {_number(height)}", width=width, height=height, role="img",
                aria_labelledby=f"{titled} {described}",
            ),
            "",
        ])  # fmt: skip


def _number(value: float) -> str:
    return f"{round(value, 1):.10g}"


def _broken(content: str, room: int) -> list[str]:
    """*content* in lines of at most *room* characters where it may be broken: at spaces and before an attribute."""
    lines = [""]
    for part in content.replace("+", " +").replace("-", " -").split(" "):
        joined = part if part[:1] in "+-" else f" {part}"
        if lines[-1] and len(lines[-1] + joined) <= room:
            lines[-1] += joined
        elif lines[-1]:
            lines.append(part)
        else:
            lines = [part]
    return lines
