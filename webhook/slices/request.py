"""What a pod asks for: the grammar of the ``gpu-slice`` annotation.

    value      = request / assignment *("," assignment)     one container, or several by name
    assignment = container-name "=" request
    request    = choice *("|" choice)                       in order of preference
    choice     = [count "x"] slice ["@" gpu]                gpu: a catalogue name, or a family
    slice      = profile / fraction / memory / "shared"
    fraction   = number "/" number                          of a GPU's compute slices, at least
    memory     = number ("gb" / "Gi")                       the profile's number, or real memory, at least

Spaces are allowed around ``,`` ``|`` ``=`` ``@``.  Whether a pool offers a slice is not checked here: the fleet
knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

from msgspec import Struct

from webhook.budget import UNLIMITED, Budget
from webhook.errors import Denial, quote
from webhook.slices.misspelt import Misspelt
from webhook.slices.profile import MigProfile
from webhook.slices.suggest import HOWTO, QUOTES, likely, spaced, wrong
from webhook.slices.wording import reworded

ANNOTATION = "gpu-slice"
FIELD = f"metadata.annotations[{ANNOTATION}]"
ASSIGNED = f"{ANNOTATION}/assigned"
POOLS = f"{ANNOTATION}/pools"
"""The annotations that record a pod's first visit: see `webhook.admission.assigned`."""

LONGEST_VALUE = 32_768
"""Characters.  200 containers with names of 63 characters and three choices each stay below it."""

LONGEST_HINT = 256
"""Characters of a value that a hint repeats."""

MOST_CHOICES = 32
"""Alternatives of one request.  No fleet offers as many slices."""

_SPACES = re.compile(" *")
_SEPARATORS = frozenset(",|=@")
_WORD = re.compile(r"[^\s,|=@]+")
CONTAINER_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?\Z")  # a DNS label, RFC 1123
_GPU = re.compile(r"[A-Za-z0-9](?:[-._A-Za-z0-9 ]{0,61}[A-Za-z0-9])?\Z")  # a catalogue says what it means
_PRODUCT = re.compile(r"(?:nvidia|tesla) [-._a-z0-9 ]*[a-z0-9]", re.IGNORECASE)
_OF_GPU = re.compile(r" *+@ *+([^,|=@]*[^,|=@ ])")
_COUNT = re.compile(r"([1-9][0-9]{0,3})x(?=.)")
_FRACTION = re.compile(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})\Z")
_MEMORY = re.compile(r"([1-9][0-9]{0,4})(gb|Gi)\Z")


class Fraction(Struct, frozen=True, gc=False):
    """At least this share of a GPU's compute slices; never more than the whole."""

    numerator: int
    denominator: int

    def __str__(self) -> str:
        return f"{self.numerator}/{self.denominator}"


class Memory(Struct, frozen=True, gc=False):
    """At least this much: in the number of a profile's name (``gb``), or in real memory (``Gi``)."""

    amount: int
    unit: str

    def __str__(self) -> str:
        return f"{self.amount}{self.unit}"


class Shared(Struct, frozen=True, gc=False):
    """One share of a GPU that is time-sliced, or shared by MPS."""

    def __str__(self) -> str:
        return "shared"


SHARED = Shared()

Slice: TypeAlias = MigProfile | Fraction | Memory | Shared


class Choice(Struct, frozen=True, gc=False):
    """One way to serve a container."""

    slice: Slice
    count: int = 1
    gpu: str | None = None
    """Name or family of a GPU of the catalogue."""
    position: int = 0
    """Its index in the annotation, for messages."""

    def __str__(self) -> str:
        count = f"{self.count}x" if self.count > 1 else ""
        return f"{count}{self.slice}{'@' + self.gpu if self.gpu else ''}"


class Request(Struct, frozen=True, gc=False):
    """What one container asks for: choices in order of preference, and the container's name if it is given."""

    choices: tuple[Choice, ...]
    container: str | None = None
    position: int = 0

    def __str__(self) -> str:
        choices = "|".join(map(str, self.choices))
        return f"{self.container}={choices}" if self.container else choices


def parse(value: str, budget: Budget | None = None) -> tuple[Request, ...]:
    """Read an annotation: one `Request` without a container, or one or more with.

    Raises `Denial` with the position of the first character that does not fit.  Long values spend steps of *budget*.
    """
    profile = MigProfile.read(value)
    if profile is not None:  # what most pods ask for
        return (Request((Choice(profile),)),)
    if len(value) > LONGEST_VALUE:
        raise bad(f"the value has {len(value)} characters, more than {LONGEST_VALUE}", 0, "Write a shorter one")
    try:
        return _Parser(value, budget or Budget(UNLIMITED)).value()
    except Denial as error:
        raise reworded(error, value, _readable) from None


def text(requests: Iterable[Request]) -> str:
    """The annotation that `parse` reads as *requests*, in its shortest spelling."""
    return ",".join(map(str, requests))


def bad(problem: str, position: int, hint: str) -> Denial:
    """A `Denial` that points into the annotation."""
    return Denial(problem, field=FIELD, hint=hint, reason="grammar", position=position)


class _Parser:
    """Reads from left to right; each method is a rule of the grammar and moves `position` past it."""

    def __init__(self, value: str, budget: Budget) -> None:
        self.text = value
        self.budget = budget
        self.position = 0

    def value(self) -> tuple[Request, ...]:
        if not self.text.strip():
            raise bad("the value is empty", 0, HOWTO)
        if self.text[0].isspace():
            raise bad(f"{quote(self.text)} begins with white space", 0, "Remove it")
        if self.text[0] in QUOTES and self.is_read(inner := self.text.strip(QUOTES)):
            raise Misspelt(FIELD, f"{quote(self.text)} has quotes of its own", 0, [(inner, "")]).within("", "", "", "")
        if "=" not in self.text:
            request = self.request(None, 0)
            if self.peek() == ",":
                raise bad(
                    f"{quote(self.text)} has a ',' but names no container",
                    self.text.index(",", self.position),
                    "Write 'container=slice, other=slice' for several containers, "
                    "or put '|' between alternatives for one",
                )
            self.end()
            return (request,)
        requests: dict[str | None, Request] = {}
        while True:
            request = self.assignment()
            if request.container in requests:
                raise bad(
                    f"container '{request.container}' is named twice",
                    request.position,
                    "Name each container once; put '|' between alternatives",
                )
            requests[request.container] = request
            if self.peek() != ",":
                break
            self.separator()
        self.end()
        return tuple(requests.values())

    def assignment(self) -> Request:
        start = self.skip()
        if start == len(self.text):
            last = self.text.rindex(",")
            raise bad(f"{quote(self.text)} has nothing after its last ','", last, "Remove it, or name a container")
        if self.peek() == "=":
            raise bad(f"{quote(self.text)} names no container before '='", start, "Write 'container=slice'")
        name = self.word("a container name", "Write 'container=slice'")
        if not CONTAINER_NAME.match(name):
            hint = "Write 'container=slice' with a name from spec.containers"
            raise bad(f"{quote(name)} cannot be a container's name", start, hint)
        if self.peek() != "=":
            problem = f"{quote(self.text)} names a container in one place and none at {quote(name)}"
            raise bad(problem, start, "Write 'container=slice' for each container")
        self.separator()
        return self.request(name, start)

    def request(self, container: str | None, start: int) -> Request:
        choices = [self.choice()]
        while self.peek() == "|":
            self.separator()
            choices.append(self.choice())
            if len(choices) > MOST_CHOICES:
                raise bad(f"there are more than {MOST_CHOICES} alternatives", choices[-1].position, "Write fewer")
        return Request(tuple(choices), container, start)

    def choice(self) -> Choice:
        self.budget.spend(40, FIELD)
        start = self.skip()
        word = self.word("a slice")
        count = _COUNT.match(word)
        offset = count.end() if count else 0
        try:
            kind = _slice(start + offset, word[offset:], int(count[1]) if count else 1)
        except Denial as error:
            raise self.explained(error, start, word) from None
        gpu = None
        if self.peek() == "@":
            self.separator()
            position = self.skip()
            hint = "Name one, as in '1g.5gb@a100', or remove the '@'"
            gpu = self.word("a GPU after '@'", hint)
            if product := _PRODUCT.match(self.text, position):
                gpu, self.position = product[0], product.end()
            if not _GPU.match(gpu):
                raise bad(f"{quote(gpu)} cannot be a GPU's name", position, hint)
        return Choice(kind, int(count[1]) if count else 1, gpu, start)

    def explained(self, error: Denial, start: int, word: str) -> Denial:
        """*error* in the slice at *start*, with what to write; a slice that has spaces in it is taken as one."""
        words = re.split(r"[,|=@]", self.text[start:], maxsplit=1)[0].rstrip()
        if words != word and (meant := spaced(words, _readable)):
            word, self.position = "".join(words.split()), start + len(words)
            what = "has a space in it" if meant[0][0] == word else "is not a slice"
            error = Misspelt(FIELD, f"{quote(words)} {what}", start, meant)
        if not isinstance(error, Misspelt):
            return error
        of_gpu = _OF_GPU.match(self.text, self.position)
        gpu = of_gpu[1].strip(QUOTES) if of_gpu else ""
        likeliest, _, named = error.slices[0][0].partition("@")
        if named and (gpu or self.text[self.position : start + len(words)].strip()):
            return bad(error.problem, start, f"Name the slice before the GPU, as in '{likeliest}@{named}'")
        after = self.text[of_gpu.end() if of_gpu else self.position :]
        return error.within(self.text[:start], word.strip(QUOTES), f"@{gpu}" if gpu else "", after)

    def is_read(self, value: str) -> bool:
        """Whether *value* is a short annotation without a mistake."""
        try:
            return bool(0 < len(value) <= LONGEST_HINT and _Parser(value, self.budget).value())
        except Denial:
            return False

    def skip(self) -> int:
        """Move past spaces after a separator.  The value must not begin with one."""
        if self.position:
            self.position = self.after_spaces()
        return self.position

    def after_spaces(self) -> int:
        spaces = _SPACES.match(self.text, self.position)
        return spaces.end() if spaces else self.position

    def peek(self) -> str:
        """The separator that comes next, after spaces; empty if there is none."""
        ahead = self.after_spaces()
        character = self.text[ahead : ahead + 1]
        return character if character in _SEPARATORS else ""

    def separator(self) -> str:
        """Move past the separator that comes next, if there is one, and return it."""
        if character := self.peek():
            self.position = self.text.index(character, self.position) + 1
        return character

    def word(self, expected: str, hint: str = HOWTO) -> str:
        match = _WORD.match(self.text, self.position)
        if match is None:
            raise bad(f"expected {expected} in {quote(self.text)}, found {self.rest()}", self.position, hint)
        self.position = match.end()
        return match[0]

    def end(self) -> None:
        if self.position == len(self.text):
            return
        rest = self.text[self.position :]
        if rest.isspace():
            raise bad(f"{quote(self.text)} ends with white space", self.position, "Remove it")
        if self.peek() == "@":
            raise bad(
                f"{quote(self.text)} has a second '@'",
                self.text.index("@", self.position),
                "Name one GPU after each slice",
            )
        if self.peek() == "=":
            position = self.text.index("=", self.position)
            raise bad(
                f"{quote(self.text)} has a second '='",
                position,
                "Put ',' between containers, as in 'main=1g.5gb,side=1g.5gb'",
            )
        raise bad(
            f"expected nothing more, found {self.rest()}",
            self.position,
            "Put '|' between alternatives and ',' between containers",
        )

    def rest(self) -> str:
        """What is left of the value, for messages."""
        return quote(self.text[self.position :]) if self.position < len(self.text) else "the end"


def _read(word: str) -> Slice | None:
    if word == "shared":
        return SHARED
    if fraction := _FRACTION.match(word):
        return Fraction(int(fraction[1]), int(fraction[2]))
    if memory := _MEMORY.match(word):
        return Memory(int(memory[1]), memory[2])
    return MigProfile.read(word)


def _slice(start: int, word: str, count: int) -> Slice:
    kind = _read(word)
    if isinstance(kind, Fraction) and kind.numerator > kind.denominator:
        meant = _times(count * kind.numerator, f"1/{kind.denominator}", start)
        raise Misspelt(FIELD, f"'{word}' is more than a whole GPU", start, [(meant, " for as much in several slices")])
    if kind is not None:
        return kind
    problem, offset, howto = wrong(word)
    slices, hint = likely(word, _readable)
    if slices:
        raise Misspelt(FIELD, problem, start + offset, [(_times(count, slice, start), what) for slice, what in slices])
    raise bad(problem, start + offset, hint or howto)


def _times(count: int, slice: str, position: int) -> str:
    """*slice*, which may have a count of its own, *count* times."""
    own = _COUNT.match(slice)
    total = count * (int(own[1]) if own else 1)
    if total > 9_999:
        raise bad(f"{total} slices are too many", position, "Write a count from 1 to 9999 before the 'x'")
    return f"{total}x{slice[own.end() if own else 0 :]}" if total > 1 else slice


def _readable(word: str) -> bool:
    kind = _read(word)
    return kind is not None and not (isinstance(kind, Fraction) and kind.numerator > kind.denominator)
