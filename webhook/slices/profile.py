"""MIG profile names, such as ``1g.5gb``, ``1g.10gb+me`` and ``1c.3g.20gb``.

    profile   = [count "c."] count "g." count "gb" [attribute]
    attribute = ("+" / ".") ("me" / "me.all" / "gfx") / "-me"

``+me`` is how drivers print it, ``.me`` how resource names spell it: both are read, ``+me`` is kept.
NVIDIA's own grammar also allows a list of attributes; no GPU prints one, and a resource name cannot
contain the comma.  Whether any GPU has a profile is not checked here: the catalogue knows.

Source: NVIDIA/go-nvlib ``pkg/nvlib/device/mig_profile.go``; NVIDIA/k8s-device-plugin ``internal/rm``.
"""

from __future__ import annotations

import re

from msgspec import Struct

RESOURCE_PREFIX = "nvidia.com/mig-"

ATTRIBUTES = ("", "-me", "+gfx", "+me", "+me.all")
"""Among equal profiles, in the order in which they are given to a pod that did not ask for an attribute."""

_NUMBER = r"[1-9][0-9]{0,3}"
_ATTRIBUTE = r"[+.](?:me\.all|me|gfx)|-me"
_PROFILE = re.compile(rf"(?:({_NUMBER})c\.)?({_NUMBER})g\.({_NUMBER})gb({_ATTRIBUTE})?\Z")
_PIECES: tuple[tuple[str, re.Pattern[str]], ...] = (
    # What a message says is expected, and the pattern that matches it.
    ("", re.compile(rf"(?:{_NUMBER}c\.)?")),
    ("compute slices such as '1g'", re.compile(rf"{_NUMBER}g")),
    ("a dot", re.compile(r"\.")),
    ("memory such as '5gb'", re.compile(rf"{_NUMBER}gb")),
    ("", re.compile(rf"(?:{_ATTRIBUTE})?")),
    ("nothing more", re.compile(r"\Z")),
)


class BadProfile(ValueError):
    """A string is not spelled like a MIG profile."""

    def __init__(self, text: str, position: int, expected: str) -> None:
        super().__init__(text, position, expected)
        self.text = text
        self.position = position
        """Index of the first character that does not fit."""
        self.expected = expected
        """What was expected at that position, as a phrase."""


class MigProfile(Struct, frozen=True, gc=False):
    """A kind of MIG device by its name.  Equal names are equal values; ``str`` gives the name back."""

    compute_slices: int
    """The ``g`` number: compute slices of the GPU instance."""
    memory_gb: int
    """The ``gb`` number, which the driver computes: it is not the memory in GB or GiB."""
    attribute: str = ""
    """Engines, with the sign: ``+me``, ``+me.all``, ``+gfx`` or ``-me``."""
    compute_instance_slices: int | None = None
    """The ``c`` number, where a compute instance takes only a part of its GPU instance."""

    @classmethod
    def read(cls, text: str) -> MigProfile | None:
        """The profile that *text* names; None where it names none."""
        parts = _PROFILE.match(text)
        if parts is None:
            return None
        compute_instance, compute, memory, attribute = parts.groups()
        return cls(
            compute_slices=int(compute),
            memory_gb=int(memory),
            attribute=attribute.replace(".", "+", 1) if attribute and attribute[0] == "." else attribute or "",
            compute_instance_slices=int(compute_instance) if compute_instance else None,
        )

    @classmethod
    def parse(cls, text: str) -> MigProfile:
        """Read a name.  Raises `BadProfile` with the position of the first character that does not fit."""
        profile = cls.read(text)
        if profile is not None:
            return profile
        position = 0
        for expected, pattern in _PIECES:
            piece = pattern.match(text, position)
            if piece is None:
                raise BadProfile(text, position, expected)
            position = piece.end()
        raise BadProfile(text, position, "nothing more")

    def __str__(self) -> str:
        part = f"{self.compute_instance_slices}c." if self.compute_instance_slices else ""
        return f"{part}{self.compute_slices}g.{self.memory_gb}gb{self.attribute}"

    @property
    def gpu_instance(self) -> MigProfile:
        """The profile without a ``c`` number: that of the GPU instance."""
        return MigProfile(self.compute_slices, self.memory_gb, self.attribute)

    @property
    def resource(self) -> str:
        """The extended resource under the device plugin's ``mixed`` strategy: ``nvidia.com/mig-1g.5gb.me``.

        A minus stays.  The plugin advertises no profile with a ``c`` number.
        """
        return RESOURCE_PREFIX + str(self).replace("+", ".")

    @property
    def media_extensions(self) -> bool:
        """Whether it takes the GPU's media engines, which one instance at most can have."""
        return self.attribute in ("+me", "+me.all")
