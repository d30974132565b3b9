"""Notes: where an annotation that stands in the wrong place, or is misspelt, belongs."""

from __future__ import annotations

from collections.abc import Sequence

from webhook.admission.contents import LONGEST_KEY, Path, Stray, Template, annotations_of, last, write_path
from webhook.codes import NoteCode
from webhook.errors import quote
from webhook.fleet.pool import POOL_LABEL
from webhook.slices.request import ANNOTATION

MOST_TARGETS = 3
"""Places that one note names."""


class Note(str):
    """What a preview says beside its result."""

    code: NoteCode
    field: str
    """The path in the object of what it is about; empty for the object itself."""

    def __new__(cls, code: NoteCode, text: str, field: str = "") -> Note:
        self = super().__new__(cls, text)
        self.code, self.field = code, field
        return self


def note_on(stray: Stray, templates: Sequence[Template], only: bool) -> Note:
    """Where *stray* stands, whether it has an effect there, and where it belongs.

    *templates*: some of those without the annotation for which it may be meant; *only*: whether there is one such
    template in all.  "Move it" is said only where that is certain.
    """

    def misplaced(text: str) -> Note:
        return Note("misplaced-annotation", text, stray.field)

    around, meant = stray.object, stray.meant
    right, spark = stray.key == meant, meant != ANNOTATION
    known, kind = around.known, around.kind
    key, where = quote(stray.key[:LONGEST_KEY]), write_path(stray.place) or "the top of the document"
    if stray.beside in ("pool", "pools"):
        return misplaced(f"{key} at {where} is not read: the nodes have the label '{POOL_LABEL}', for a nodeSelector")
    paths = () if known is None else known.settings if spark else known.annotations
    passed_on = any(_matches(stray.place, around.path, path) for path in paths)
    if right and (passed_on or (spark and known is None)):
        pods = f"the pods of this {kind}" if passed_on else "the pods of a Spark job that reads it"
        return Note("not-previewed", f"{key} at {where} reaches {pods}, of which no preview can be made", stray.field)
    if passed_on or (spark and known is None) or any(stray.place == annotations_of(template) for template in templates):
        return misplaced(f"{key} at {where} is not read: write '{meant}'")
    lost = ", where it has no effect"
    if last(stray.place) == "labels":
        what, lost = f"{key} is a label", ", which has no effect"
    elif stray.template is not None and stray.place in _one_level_too_high(stray.template.path):
        what = f"{key} is one level too high"
    elif kind and stray.place == ((around.path, "metadata"), "annotations"):
        what = f"the annotation {key} is on the {kind} itself"
    else:
        what = f"{key} is at {where}"
    if around.makes_no_pods:
        return misplaced(f"{what}{lost}: {with_article(kind)} makes no pods")
    places = [write_path(annotations_of(template)) for template in templates]
    if not places and known is not None:
        prefix = f"{write_path(around.path)}." if around.path else ""
        places = [prefix + path.replace(".*", "[*]") for path in known.annotations]
    targets = " or ".join(places[:MOST_TARGETS])
    if stray.template is None and (known is None or not known.complete):
        belongs = f"; it does in {targets}" if known else f"; its pod template would have it in {targets}"
        return Note(
            "not-previewed",
            f"{what}. A preview does not know whether it reaches a pod from there{belongs if targets else ''}",
            stray.field,
        )
    if len(places) == 1 and (only or not templates):
        return misplaced(
            f"{what}{lost}: " + (f"move it to {targets}" if right else f"write '{ANNOTATION}' in {targets}")
        )
    return misplaced(f"{what}{lost}. It belongs in {targets}")


def with_article(kind: str) -> str:
    """As in ``an Ingress``."""
    return f"{'an' if kind[:1] in 'AEIO' else 'a'} {kind}"


def _one_level_too_high(template: Path) -> tuple[Path, ...]:
    return template, (template, "metadata"), (template, "annotations")


def _matches(place: Path, start: Path, pattern: str) -> bool:
    """Whether *place*, below *start*, has the path *pattern*."""
    for step in reversed(pattern.split(".")):
        if place is start or place is None or step not in ("*", place[1]):
            return False
        place = place[0]
    return place is start
