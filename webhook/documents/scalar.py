"""Plain scalars as Kubernetes takes them, and numbers as Go prints them."""

from __future__ import annotations

import math
import re
import struct

_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], True),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], False),
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"], math.inf),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], -math.inf),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], math.nan),
}
_INTEGER = re.compile("[-+]?(?:0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*))")
_SIGNED_BINARY = re.compile("0b[-+][01]+")
_BETWEEN_DIGITS = re.compile("(?<=[0-9])_(?=[0-9])")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


def resolve(plain: str) -> bool | int | float | str | None:
    """What Kubernetes takes a plain scalar for: resolve.go of go.yaml.in/yaml/v2."""
    if plain in _WORDS:
        return _WORDS[plain]
    if plain[0] == ".":
        digits = _BETWEEN_DIGITS.sub("", plain)
    elif plain[0] in "+-0123456789":
        digits = plain.replace("_", "")
    else:
        return plain
    integer = _go_integer(digits)
    if integer is not None:
        return integer
    if _FLOAT.fullmatch(digits) and not math.isinf(number := float(digits)):
        return number
    return plain


def _go_integer(digits: str) -> int | None:
    if found := _INTEGER.fullmatch(digits):
        if found["decimal"] and len(found["decimal"]) > 20:
            return None
        number = int(digits, 8 if found["octal"] else 0)
        unsigned = digits[0] not in "+-"
        return number if -(2**63) <= number < (2**64 if unsigned else 2**63) else None
    if _SIGNED_BINARY.fullmatch(digits) and -(2**63) <= (number := int(digits[2:], 2)) < 2**63:
        return number
    return None


def float_key(number: float) -> str:
    """Go's ``strconv.FormatFloat(number, 'g', -1, 32)``, which is how a number becomes a key."""
    if math.isnan(number):
        return ".nan"
    try:
        (single,) = struct.unpack("f", struct.pack("f", number))
    except OverflowError:
        single = math.copysign(math.inf, number)
    if math.isinf(single):
        return ".inf" if single > 0 else "-.inf"
    shown = next(s for n in range(9) if struct.pack("f", float(s := f"{single:.{n}e}")) == struct.pack("f", single))
    digits, exponent = shown.split("e")
    if -4 <= int(exponent) < 6:
        places = max(0, len(digits.lstrip("-").replace(".", "")) - 1 - int(exponent))
        return f"{float(shown):.{places}f}"
    return shown
