"""Contents: what a document holds at any depth: pod templates, and keys that look like the annotation.

An object may hold other objects (an AppWrapper, an OpenShift Template), and text that holds objects (a ConfigMap, the
values of an Argo CD Application).  A document may be hostile, so the search takes time that is linear in its size.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeAlias

from webhook import documents
from webhook.admission.kinds import Kind, find, makes_no_pods, spark_key
from webhook.errors import BadDocument, quote
from webhook.slices.request import ANNOTATION

MOST_COMPARED = 100
"""Keys of one document that are compared letter by letter with the annotation, which takes some 14 µs each."""

MOST_STRAYS = 100
"""Keys that look like the annotation, of one document.  The others are counted."""

MOST_TEXTS = 8
"""Texts inside one document that are read as documents of their own."""

LONGEST_NAME = 253
"""Characters of a kind, name or namespace, for which Kubernetes allows no more: each template repeats them."""

LONGEST_KEY = 63
"""Characters of a key that a path repeats."""

_LIKE_THE_ANNOTATION = re.compile(r"(?:.*/)?gpu[-_]?[sS]lices?|gpu-slices?\.[a-z.]+(?:/[a-z-]+)?", re.DOTALL)
_BESIDE = re.compile(
    rf"gpu[-_]?[sS]lices?/(?!(?<={ANNOTATION}/)(?:assigned|pools|decided-by|default|opt-out|standby)\Z)(.*)"
)
"""A key like one of our own that none of ours is, such as ``gpu-slice/profile``."""
_SPARK = r"spark\.kubernetes\.(driver|executor)\.[a-z]+\.gpu[-_]?[sS]lices?"
_SPARK_KEY = re.compile(_SPARK)
_SPARK_LINE = re.compile(rf"^[ \t]*+(?={_SPARK}[\s=:])([^\s=:]++)[ \t]*+[=:]?[ \t]*+(\S.*)$", re.MULTILINE)
"""A line of ``spark-defaults.conf``, which is a file of Java's properties."""
_MENTIONED = re.compile(r"gpu[-_]?[sS]lices?[\"']?\s*(?::|$)", re.MULTILINE)
_POINTED_AT = re.compile(rf"[aA]nnotations[./]{ANNOTATION}\Z")
"""The end of a parameter of a Helm chart, or of a path of a JSON patch, with a value beside it."""
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

_NOT_ANNOTATIONS = {"nodeSelector", "matchLabels", "selector"}
"""Mappings in which such a key selects something else."""
Path: TypeAlias = "tuple[Path, str | int] | None"
"""The path of the parent, and a key; None for the document."""


@dataclass(frozen=True, slots=True, eq=False)
class Object:
    """An object of a document: the document itself, or one inside it."""

    path: Path
    kind: str
    """Empty if it names none."""
    name: str
    namespace: str | None
    metadata: Mapping[str, Any]
    known: Kind | None
    makes_no_pods: bool

    @classmethod
    def of(cls, value: Any, path: Path, namespace: str | None = None) -> Object:
        """The object that *value* is; *namespace* is that of the object around it."""
        metadata = mapping(value, "metadata")
        api_version, kind = (value.get("apiVersion"), value.get("kind")) if isinstance(value, dict) else (None, None)
        own = metadata.get("namespace")
        return cls(
            path,
            word(kind),
            word(metadata.get("name") or metadata.get("generateName")),
            word(own) if isinstance(own, str) and own else namespace,
            metadata,
            None if makes_no_pods(api_version, kind) else find(api_version, kind),
            makes_no_pods(api_version, kind),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A pod template, or a pod."""

    path: Path
    value: Mapping[str, Any]
    object: Object


@dataclass(frozen=True, slots=True, eq=False)
class Stray:
    """A key that looks like the annotation, where it is none of a template."""

    place: Path
    """The mapping in which it stands."""
    key: str
    value: Any
    object: Object
    template: Template | None
    """The template around it."""

    @property
    def meant(self) -> str:
        """The key that it should be: the annotation's, or Spark's for it."""
        spark = _SPARK_KEY.fullmatch(self.key)
        return spark_key(spark[1]) if spark is not None else ANNOTATION

    @property
    def beside(self) -> str:
        """What it says after our prefix, as in ``gpu-slice/pool``, whose value may be anything; empty for others."""
        beside = _BESIDE.fullmatch(self.key)
        return beside[1] if beside is not None else ""

    @property
    def field(self) -> str:
        """As in ``spec.annotations[gpu-slice]``."""
        return f"{write_path(self.place)}[{self.key[:LONGEST_KEY]}]"


@dataclass(slots=True)
class Contents:
    """What was found, in the order of the document."""

    object: Object
    templates: list[Template] = field(default_factory=list)
    strays: list[Stray] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)
    """Texts that mention the annotation and could not be read."""
    more: bool = False
    """Whether there are more strays or texts than were looked at."""
    texts: int = 0
    compared: int = 0


def search(document: Any, *, texts: bool = True) -> Contents:
    """The contents of *document*, without those of its templates' own fields.  *texts*: whether to read texts in it."""
    contents = Contents(Object.of(document, None))
    stack: list[tuple[Any, Path, Object, Template | None, int]] = [(document, None, contents.object, None, 0)]
    while stack:
        value, path, around, template, depth = stack.pop()
        inner: list[tuple[Any, Path, Object, Template | None]]
        if isinstance(value, str) and path is not None and _is_secret(path[0], around):
            contents.strays += _of_secret(value, path, contents)[: MOST_STRAYS - len(contents.strays)]
            inner = []
        elif isinstance(value, str):
            inner = [(each, place, Object.of(each, place), None) for each, place in _read(value, path, contents)]
        elif isinstance(value, list):
            inner = [(each, (path, index), around, template) for index, each in enumerate(value)]
        else:
            if path is not None and template is None and _is_object(value):
                around = Object.of(value, path, around.namespace)
            if template is None and _is_template(value, path, around):
                template = Template(path, value, around)
                contents.templates.append(template)
            _collect(value, path, around, template, contents)
            inner = [
                (each, (path, key), around, template)
                for key, each in value.items()
                if key != "managedFields" and not (key == "status" and path is around.path)
            ]
        secret = _is_secret(path, around)
        if depth < documents.DEEPEST:
            for each, place, owner, enclosing in reversed(inner):
                if secret and texts and isinstance(each, str):
                    each = _decoded(each, place)
                is_text = texts and isinstance(each, str) and _is_text(each, path, enclosing) and _has_texts(owner)
                if is_text or isinstance(each, dict | list):
                    stack.append((each, place, owner, enclosing, depth + 1))
    return contents


def _is_text(value: str, path: Path, template: Template | None) -> bool:
    """Whether it is to be read as a document: not where tools keep copies of the object, and not in a pod."""
    if template is not None or "lice" not in value or last(path) == "annotations":
        return False
    return _MENTIONED.search(value) is not None or _SPARK_LINE.search(value) is not None


def _has_texts(around: Object) -> bool:
    """Whether texts in it may be for pods, and not, as ``userData`` of an EC2NodeClass, for something else."""
    return not around.makes_no_pods or around.kind in ("ConfigMap", "Secret")


def _is_secret(path: Path, around: Object) -> bool:
    """Whether at *path* are the texts of a Secret."""
    return around.kind == "Secret" and path in ((around.path, "data"), (around.path, "stringData"))


def _decoded(text: str, path: Path) -> str:
    """The text at *path* of a Secret; empty if it is none."""
    if path is not None and last(path[0]) == "stringData":
        return text
    try:
        return b64decode(text).decode()
    except ValueError:
        return ""


def _of_secret(text: str, path: Path, contents: Contents) -> list[Stray]:
    """The annotation in *text*, which is at *path* of a Secret; nothing else of it is shown, no key and no pod."""
    around = Object.of(None, path)
    found: dict[tuple[str, str], Stray] = {}
    for value, _ in _read(text, path, contents):
        inner = search(value, texts=False)
        given = [(ANNOTATION, mapping(mapping(each.value, "metadata"), "annotations")) for each in inner.templates]
        pairs = [(key, annotations[key]) for key, annotations in given if key in annotations]
        for key, each in (*pairs, *((stray.key, stray.value) for stray in inner.strays)):
            found[key, quote(each)] = Stray(path, key, each, around, None)
    return list(found.values())


def _is_object(value: Mapping[str, Any]) -> bool:
    """Whether it is an object, and not a reference to one, which has no metadata."""
    return "metadata" in value and isinstance(value.get("apiVersion"), str) and isinstance(value.get("kind"), str)


def _is_template(value: Mapping[str, Any], path: Path, around: Object) -> bool:
    if around.kind == "Pod":
        return path is around.path
    if around.known is not None and around.known.ignored and path != ((around.path, "spec"), "template"):
        return False  # its pods get the annotations of the object, which may be many, and there is one template
    spec = value.get("spec")
    if not isinstance(spec, dict) or "containers" not in spec or not isinstance(spec["containers"], list | None):
        return False
    return not around.makes_no_pods and (around.known is None or bool(around.known.templates))


def _collect(
    value: Mapping[str, Any], path: Path, around: Object, template: Template | None, contents: Contents
) -> None:
    """Add the strays among the keys of *value*."""
    if last(path) in _NOT_ANNOTATIONS:
        return
    if isinstance(value.get("value"), str):
        pointer = value.get("name", value.get("path"))
        if isinstance(pointer, str) and _POINTED_AT.search(pointer):
            value = {ANNOTATION: value["value"]}
    for key, each in value.items():
        if isinstance(each, dict | list) or not _looks_like_it(key, path, contents):
            continue
        if key != ANNOTATION and not isinstance(each, str):
            continue  # a switch or a number of somebody else's
        if key == ANNOTATION and template is not None and path == annotations_of(template):
            continue
        if len(contents.strays) == MOST_STRAYS:
            contents.more = True
            return
        contents.strays.append(Stray(path, key, each, around, template))


def _looks_like_it(key: str, path: Path, contents: Contents) -> bool:
    if "lice" in key and (_LIKE_THE_ANNOTATION.fullmatch(key) or _SPARK_KEY.fullmatch(key)):
        return True
    if "lice" in key and last(path) == "annotations" and _BESIDE.fullmatch(key):
        return True
    name = key.rpartition("/")[2].lower()
    misspelt = last(path) == "annotations" and name[:2] == ANNOTATION[:2] and len(name) <= len(ANNOTATION) + 2
    if not misspelt or contents.compared == MOST_COMPARED:
        return False
    contents.compared += 1
    return bool(get_close_matches(name, [ANNOTATION], cutoff=0.85))


def annotations_of(template: Template) -> Path:
    """Where the annotations of its pods stand."""
    known = template.object.known
    path = template.object.path if known is not None and known.ignored else template.path
    return ((path, "metadata"), "annotations")


def _read(text: str, path: Path, contents: Contents) -> Iterator[tuple[Any, Path]]:
    """The documents in *text*, a text that mentions the annotation."""
    if contents.texts == MOST_TEXTS:
        contents.more = True
        return
    contents.texts += 1
    properties = {key: value.strip() for _, key, value in _SPARK_LINE.findall(text)}
    try:
        found = documents.read(text, copies=documents.MOST_COPIES // MOST_TEXTS)
    except BadDocument:
        found = []
        if not properties:
            contents.unread.append(path)
    inner = [(number, each.value) for number, each in enumerate(found) if isinstance(each.value, dict | list)]
    for number, value in inner:
        yield value, (path, number) if len(found) > 1 else path
    if properties and not inner:
        yield properties, path


def word(value: Any) -> str:
    """A kind or a name, for a title; empty if there is none."""
    text = value if isinstance(value, str) else quote(value) if value else ""
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…"


def write_path(path: Path) -> str:
    """As in ``spec.tasks[0].template``."""
    text = ""
    for key in steps(path):
        if isinstance(key, str) and _PLAIN_KEY.fullmatch(key) and len(key) <= LONGEST_KEY:
            text += f".{key}" if text else key
        else:
            text += f"[{str(key)[:LONGEST_KEY]}]"
    return text


def steps(path: Path) -> tuple[str | int, ...]:
    """The keys of a path, from the document on."""
    keys: list[str | int] = []
    while path is not None:
        path, key = path
        keys.append(key)
    return tuple(reversed(keys))


def last(path: Path) -> str | int | None:
    """The last key of a path; None for the document."""
    return path[1] if path is not None else None


def mapping(parent: Any, key: str) -> Mapping[str, Any]:
    """The mapping at *key*; empty if there is none."""
    value = parent.get(key) if isinstance(parent, dict) else None
    return value if isinstance(value, dict) else {}
