"""The way of a request: from the pod to the node, in one picture."""

from __future__ import annotations

from itertools import pairwise

from webhook.draw.svg import WIDTH, Drawing, Markup, box, element, group, text

BOX, HEIGHT = 124, 52
LEFT, MIDDLE, RIGHT = 0.0, (WIDTH - BOX) / 2, float(WIDTH - BOX)
BETWEEN = 44
"""From the first row of boxes to the second."""

STEPS = (
    "A pod is created that says {asked}.",
    "The API server asks the webhook, for such pods only.",
    "The webhook's patch adds the limit {resource}, the toleration and the node selection.",
    "The API server stores the patched pod, and the scheduler sees it.",
    "If a node has a free slice, the pod is bound to it.",
    "If none has, Karpenter launches a node. It is cut at boot, before it joins; then step 5 follows.",
)


def draw(asked: str = "gpu-slice: 1g.5gb", resource: str = "nvidia.com/mig-1g.5gb") -> str:
    """What happens to a pod with the annotation *asked*, which gets *resource*, as an SVG."""
    steps = [step.format(asked=asked, resource=resource) for step in STEPS]
    told = " ".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    drawing = Drawing("The way of a request", told)
    top = drawing.y + 8
    low = top + HEIGHT + BETWEEN
    for x, y, name, what in (
        (LEFT, top, "You", asked),
        (MIDDLE, top, "API server", "keeps the pods"),
        (RIGHT, top, "Webhook", "knows the fleet"),
        (LEFT, low, "Node", "GPUs cut in slices"),
        (MIDDLE, low, "Scheduler", "finds a node"),
        (RIGHT, low, "Karpenter", "launches nodes"),
    ):
        middle = x + BOX / 2
        drawing.add(group(
            f"{name}: {what}",
            box("slice", x, y, BOX, HEIGHT),
            text(name, middle, y + 22, "strong", "middle"),
            text(what if len(what) <= 18 else "the annotation", middle, y + 40, "small", "middle"),
        ))  # fmt: skip
    row, second, under = top + HEIGHT / 2, low + HEIGHT / 2, low + HEIGHT + 26
    drawing.add(
        _arrow(1, [(LEFT + BOX, row), (MIDDLE, row)]),
        _arrow(2, [(MIDDLE + BOX, row - 13), (RIGHT, row - 13)]),
        _arrow(3, [(RIGHT, row + 13), (MIDDLE + BOX, row + 13)]),
        _arrow(4, [(WIDTH / 2, top + HEIGHT), (WIDTH / 2, low)]),
        _arrow(5, [(MIDDLE, second), (LEFT + BOX, second)]),
        _arrow(6, [(MIDDLE + BOX, second), (RIGHT, second)]),
        _arrow(6, [(RIGHT + BOX / 2, low + HEIGHT), (RIGHT + BOX / 2, under), (LEFT + BOX / 2, under),
                   (LEFT + BOX / 2, low + HEIGHT)]),
    )  # fmt: skip
    drawing.y = under + 18
    for number, step in enumerate(steps, 1):
        drawing.add(text(f"{number}.", 0, drawing.y + 14, "strong small"))
        drawing.write(step, "small", x=20)
    return drawing.svg()


def _arrow(number: int, points: list[tuple[float, float]]) -> Markup:
    """A line along *points* with a tip at its end, and its number in the middle of its longest part."""
    (fromx, fromy), (x, y) = points[-2:]
    along = ((x > fromx) - (x < fromx), (y > fromy) - (y < fromy))
    back = x - 8 * along[0], y - 8 * along[1]
    side = 4.5 * along[1], 4.5 * along[0]
    tip = f"M{x:g} {y:g}L{back[0] + side[0]:g} {back[1] + side[1]:g}L{back[0] - side[0]:g} {back[1] - side[1]:g}Z"
    path = "M" + "L".join(f"{a:g} {b:g}" for a, b in [*points[:-1], back])
    (ax, ay), (bx, by) = max(
        pairwise(points),
        key=lambda part: abs(part[0][0] - part[1][0]) + abs(part[0][1] - part[1][1]),
    )
    cx, cy = (ax + bx) / 2, (ay + by) / 2
    return Markup(
        element("path", class_="line", d=path)
        + element("path", class_="tip", d=tip)
        + element("circle", class_="page", cx=cx, cy=cy, r=9)
        + text(str(number), cx, cy + 4.5, "strong small", "middle")
    )
