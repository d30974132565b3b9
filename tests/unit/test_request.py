"""What the annotation may say, and what is answered where it says something else."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from webhook.errors import Denial
from webhook.slices.profile import MigProfile
from webhook.slices.request import (
    LONGEST_VALUE,
    Choice,
    Fraction,
    Memory,
    Request,
    Shared,
    parse,
    text,
)

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SMALL, LARGE = MigProfile(1, 5), MigProfile(2, 10)


def one(*choices: Choice) -> tuple[Request, ...]:
    """What a value without a container's name stands for."""
    return (Request(choices),)


def unplaced(requests: tuple[Request, ...]) -> tuple[Request, ...]:
    """The same requests, wherever they stood."""
    return tuple(
        replace(request, position=0, choices=tuple(replace(choice, position=0) for choice in request.choices))
        for request in requests
    )


def refusal(value: str) -> Denial:
    with pytest.raises(Denial) as refused:
        parse(value)
    return refused.value


@pytest.mark.parametrize(
    ("value", "requests"),
    [
        pytest.param("1g.5gb", one(Choice(SMALL)), id="a profile"),
        pytest.param("1g.10gb+me", one(Choice(MigProfile(1, 10, "+me"))), id="a profile as drivers print it"),
        pytest.param("1g.10gb.me", one(Choice(MigProfile(1, 10, "+me"))), id="a profile as resources spell it"),
        pytest.param("2g.48gb.me.all", one(Choice(MigProfile(2, 48, "+me.all"))), id="a profile with all media"),
        pytest.param("1g.24gb-me", one(Choice(MigProfile(1, 24, "-me"))), id="a profile without media"),
        pytest.param("1c.3g.20gb", one(Choice(MigProfile(3, 20, "", 1))), id="a compute instance: the fleet says no"),
        pytest.param("1/7", one(Choice(Fraction(1, 7))), id="a fraction"),
        pytest.param("2/4", one(Choice(Fraction(2, 4))), id="a fraction is not reduced: messages repeat it"),
        pytest.param("1/1", one(Choice(Fraction(1, 1))), id="all compute slices"),
        pytest.param("9999/9999", one(Choice(Fraction(9999, 9999))), id="the largest numbers of a fraction"),
        pytest.param("10gb", one(Choice(Memory(10, "gb"))), id="memory by the profile's number"),
        pytest.param("10Gi", one(Choice(Memory(10, "Gi"))), id="real memory"),
        pytest.param("99999gb", one(Choice(Memory(99999, "gb"))), id="more memory than any GPU has"),
        pytest.param("shared", one(Choice(Shared())), id="a share"),
        pytest.param("2x1g.5gb", one(Choice(SMALL, 2)), id="two"),
        pytest.param("1x1g.5gb", one(Choice(SMALL, 1)), id="one, said aloud"),
        pytest.param("9999x1g.5gb", one(Choice(SMALL, 9999)), id="the largest count"),
        pytest.param("2x1/7", one(Choice(Fraction(1, 7), 2)), id="two fractions"),
        pytest.param("3x10Gi", one(Choice(Memory(10, "Gi"), 3)), id="three by memory"),
        pytest.param("2xshared", one(Choice(Shared(), 2)), id="two shares: the fleet says no"),
        pytest.param("1g.10gb@h100", one(Choice(MigProfile(1, 10), 1, "h100")), id="on a family"),
        pytest.param("1g.10gb@h100-80gb", one(Choice(MigProfile(1, 10), 1, "h100-80gb")), id="on a GPU"),
        pytest.param("2xshared@a10g", one(Choice(Shared(), 2, "a10g")), id="count, slice and GPU"),
        pytest.param("1/2@my.gpu", one(Choice(Fraction(1, 2), 1, "my.gpu")), id="a GPU of the fleet's own, with a dot"),
        pytest.param(
            "1g.5gb|2g.10gb", one(Choice(SMALL), Choice(LARGE, position=7)), id="two choices, the first preferred"
        ),
        pytest.param(
            "1g.5gb@a100|10Gi|2xshared",
            one(Choice(SMALL, 1, "a100"), Choice(Memory(10, "Gi"), position=12), Choice(Shared(), 2, None, 17)),
            id="three choices of three kinds",
        ),
        pytest.param("1g.5gb|1g.5gb", one(Choice(SMALL), Choice(SMALL, position=7)), id="the same choice twice"),
        pytest.param("main=1g.5gb", (Request((Choice(SMALL, position=5),), "main"),), id="a container by name"),
        pytest.param("0=1g.5gb", (Request((Choice(SMALL, position=2),), "0"),), id="a container called by a digit"),
        pytest.param(
            "a" * 63 + "=1g.5gb", (Request((Choice(SMALL, position=64),), "a" * 63),), id="the longest container name"
        ),
        pytest.param(
            "shared=shared", (Request((Choice(Shared(), position=7),), "shared"),), id="a container called shared"
        ),
        pytest.param(
            "main=1g.5gb,side-car=2g.10gb|shared",
            (
                Request((Choice(SMALL, position=5),), "main"),
                Request((Choice(LARGE, position=21), Choice(Shared(), position=29)), "side-car", 12),
            ),
            id="several containers, in the order that they are written in",
        ),
    ],
)
def test_a_value_is_read(value: str, requests: tuple[Request, ...]) -> None:
    assert parse(value) == requests


@pytest.mark.parametrize(
    ("spaced", "tight"),
    [
        pytest.param("1g.5gb | 2g.10gb", "1g.5gb|2g.10gb", id="around |"),
        pytest.param("1g.5gb   |2g.10gb", "1g.5gb|2g.10gb", id="several, before only"),
        pytest.param("1g.5gb|   2g.10gb", "1g.5gb|2g.10gb", id="several, behind only"),
        pytest.param("1g.5gb @ a100", "1g.5gb@a100", id="around @"),
        pytest.param("main = 1g.5gb", "main=1g.5gb", id="around ="),
        pytest.param("main=1g.5gb , side=shared", "main=1g.5gb,side=shared", id="around ,"),
        pytest.param(
            "main = 2x1g.5gb @ a100 | shared , side = 1/7", "main=2x1g.5gb@a100|shared,side=1/7", id="around all"
        ),
    ],
)
def test_spaces_may_stand_around_separators(spaced: str, tight: str) -> None:
    assert unplaced(parse(spaced)) == unplaced(parse(tight))


def test_a_position_is_counted_in_the_value_as_it_was_written() -> None:
    request, other = parse("main =  1g.5gb ,  side = 10gb  |  2xshared")
    assert (request.position, other.position) == (0, 18)
    assert [choice.position for choice in (*request.choices, *other.choices)] == [8, 25, 34]


ANY, END = "a profile such as '1g.5gb', a fraction", "found the end"
PROFILE_HINT = "Write it as in '1g.5gb' or '1g.10gb+me'"

REFUSED = [
    # value, position, the problem and the hint or the telling part of each
    pytest.param("", 0, "the value is empty", ANY, id="empty"),
    pytest.param("   ", 0, "the value is empty", ANY, id="spaces only"),
    pytest.param("\n", 0, "the value is empty", ANY, id="a line break only"),
    pytest.param(" 1g.5gb", 0, "' 1g.5gb' begins with white space", "Remove it", id="a space before it"),
    pytest.param("1g.5gb ", 6, "'1g.5gb ' ends with white space", "Remove it", id="a space behind it"),
    pytest.param("1g.5gb\n", 6, r"'1g.5gb\n' ends with white space", "Remove it", id="a line break of a YAML block"),
    pytest.param("1g.5gb\xa0", 6, r"\xa0' ends with white space", "Remove it", id="a space that cannot be broken"),
    pytest.param("2x 1g.5gb", 0, "'2x 1g.5gb' has a space in it", "Write '2x1g.5gb'", id="a space behind the count"),
    pytest.param("2 x1g.5gb", 0, "'2 x1g.5gb' has a space in it", "Write '2x1g.5gb'", id="a space before the x"),
    pytest.param("1 /7", 0, "'1 /7' has a space in it", "Write '1/7'", id="a space in a fraction"),
    pytest.param(
        "main= 2x1 / 7 @a100", 6, "'2x1 / 7' has a space", "Write '2x1/7@a100'", id="spaces in one of several"
    ),
    pytest.param("2x 10Gi", 0, "'2x 10Gi' has a space in it", "Write '2x10Gi'", id="a space before a size"),
    pytest.param("2 × 10 Gi", 0, "'2 × 10 Gi' is not a slice", "Write '2x10Gi'", id="a sign of multiplication"),
    pytest.param("2×1g.5gb", 0, "'2×1g.5gb' is not a slice", "Write '2x1g.5gb'", id="the same without spaces"),
    pytest.param("2 1g.5gb", 0, "'2 1g.5gb' is not a slice", "Write '2x1g.5gb'", id="two numbers are not joined"),
    pytest.param("500m", 0, "'500m' is not a slice", "Write '1/2'", id="thousandths, as Kubernetes writes them"),
    pytest.param("250m@a30", 0, "'250m' is not a slice", "Write '1/4@a30'", id="of a GPU"),
    pytest.param("1000m", 0, "'1000m' is not a slice", "For a whole GPU remove the annotation", id="all thousandths"),
    pytest.param("1500m", 0, "'1500m' is not a slice", "For a whole GPU remove the annotation", id="more than all"),
    pytest.param("0m", 0, "'0m' is not a slice", ANY, id="none of them"),
    pytest.param("main='1/7@a100'", 5, '"\'1/7" is not a slice', "Write '1/7@a100'", id="quotes of one of several"),
    pytest.param("'main=1g.5gb|shared'", 0, "has quotes of its own", "Write 'main=1g.5gb|shared'", id="of all"),
    pytest.param("'1 / 7'", 0, "is not a slice", "Write '1/7'", id="quotes and spaces"),
    pytest.param("'" * 9, 0, "is not a slice", ANY, id="nothing but quotes"),
    pytest.param("2x'" * 16 + "1g.5gb", 2, "is not a slice", "Write one count", id="counts and quotes"),
    pytest.param("timeslicing", 0, "is not a slice", "Write 'shared'", id="in one word"),
    pytest.param("time slicing", 0, "is not a slice", "Write 'shared'", id="in two"),
    pytest.param("MIG-1/7", 0, "'MIG-1/7' is not a slice", "Write '1/7'", id="a fraction, with MIG before it"),
    pytest.param("T4", 0, "'T4' is not a slice", "or 'shared@t4'", id="a GPU that may have no MIG"),
    pytest.param("2xh100", 2, "'h100' is not a slice", "Write '2x1/7@h100'", id="a count of a GPU"),
    pytest.param(
        "h100@1g.10gb", 0, "'h100@1g.10gb' is not a slice", "Write '1g.10gb@h100'", id="a GPU before its slice"
    ),
    pytest.param("2xh100 1g.10gb", 0, "'2xh100 1g.10gb' is not a slice", "Write '2x1g.10gb@h100'", id="with a space"),
    pytest.param("h100 (any)", 0, "'h100' is not a slice", "Name the slice before the GPU", id="a GPU and words"),
    pytest.param(
        "NVIDIA H100 80GB HBM3",
        0,
        "'NVIDIA H100 80GB HBM3' is not a slice",
        "1/7@nvidia-h100-80gb-hbm3",
        id="a product",
    ),
    pytest.param(
        "RTX PRO 6000", 0, "'RTX PRO 6000' is not a slice", "1/7@rtx-pro-6000", id="a product without its maker"
    ),
    pytest.param("1/ 7", 0, "'1/ 7' has a space in it", "Write '1/7'", id="a space behind the /"),
    pytest.param(
        "a" + "1" * 64 + "!",
        0,
        "'a1111111111111111111111111111111111111111111111111111111111111111!' is not a slice",
        ANY,
        id="a word too long to be one",
    ),
    pytest.param("10 gb", 0, "'10 gb' has a space in it", "Write '10gb'", id="a space before the unit"),
    pytest.param(
        "1g. 5gb",
        0,
        "'1g. 5gb' has a space in it",
        "Write '1g.5gb'",
        id="a space inside a profile",
    ),
    pytest.param(
        "1g.5gb\t|2g.10gb",
        6,
        "expected nothing more, found '\\t|2g.10gb'",
        "Put '|' between alternatives",
        id="a tab is no space",
    ),
    pytest.param(
        "a=1g.5gb,\nb=1g.5gb",
        9,
        "expected a container name in 'a=1g.5gb,\\nb=1g.5gb', found '\\nb=1g.5gb'",
        "Write 'container=slice'",
        id="a line break is no space",
    ),
    pytest.param(
        "1g.5gb 2g.10gb",
        6,
        "expected nothing more, found ' 2g.10gb'",
        "Put '|' between alternatives",
        id="a space for a bar",
    ),
    pytest.param(
        "1g.5gb\u20282g.10gb",
        6,
        "expected nothing more, found '\\u20282g.10gb'",
        "Put '|' between alternatives",
        id="a line separator",
    ),
    # profiles
    pytest.param("1g5gb", 2, "'1g5gb' is not a MIG profile: expected a dot", "Write '1g.5gb'", id="no dot"),
    pytest.param("1g-5gb", 2, "expected a dot, found '-5gb'", "Write '1g.5gb'", id="a hyphen for the dot"),
    pytest.param("1g.5", 3, "expected memory such as '5gb', found '5'", "Write '1g.5gb'", id="no unit"),
    pytest.param(
        "1g.5GB",
        3,
        "'1g.5GB' is not a MIG profile: expected memory such as '5gb', found '5GB'",
        "Write '1g.5gb'",
        id="an upper-case unit",
    ),
    pytest.param("1g.10Gi", 3, "found '10Gi'", "Write '1g.10gb'", id="a binary unit in a profile"),
    pytest.param("1G.5gb", 0, "'1G.5gb' is not a slice", "Write '1g.5gb'", id="an upper-case G"),
    pytest.param("1.5gb", 0, "'1.5gb' is not a slice", "Write '1g.5gb'", id="the g forgotten"),
    pytest.param(
        "1g.10gb+ME",
        7,
        "'1g.10gb+ME' is not a MIG profile: expected nothing more, found '+ME'",
        "Write '1g.10gb+me'",
        id="an upper-case attribute",
    ),
    pytest.param(
        "3g", 2, "'3g' is not a MIG profile: expected a dot, found the end", PROFILE_HINT, id="half a profile"
    ),
    pytest.param(
        "1g.gb",
        3,
        "'1g.gb' is not a MIG profile: expected memory such as '5gb', found 'gb'",
        PROFILE_HINT,
        id="no memory",
    ),
    pytest.param("0g.5gb", 0, "found '0g.5gb'", PROFILE_HINT, id="no compute slice"),
    pytest.param("01g.5gb", 0, "found '01g.5gb'", PROFILE_HINT, id="a leading zero"),
    pytest.param("1g.99999gb", 3, "found '99999gb'", PROFILE_HINT, id="memory of five digits"),
    pytest.param("1g.5gb+", 6, "expected nothing more, found '+'", PROFILE_HINT, id="a sign without an attribute"),
    pytest.param("1g.5gb+mee", 9, "expected nothing more, found 'e'", PROFILE_HINT, id="a letter too many"),
    pytest.param("1c.2c.3g.20gb", 3, "found '2c.3g.20gb'", PROFILE_HINT, id="two c numbers"),
    pytest.param(
        "nvidia.com/mig-1g.5gb", 0, "'nvidia.com/mig-1g.5gb' is not a slice", "Write '1g.5gb'", id="the resource's name"
    ),
    pytest.param(
        "mig-1g.10gb.me", 0, "'mig-1g.10gb.me' is not a slice", "Write '1g.10gb.me'", id="half the resource's name"
    ),
    pytest.param("MIG 1g.5gb", 0, "'MIG 1g.5gb' is not a slice", "Write '1g.5gb'", id="as nvidia-smi prints it"),
    pytest.param('"1g.5gb"', 0, "'\"1g.5gb\"' has quotes of its own", "Write '1g.5gb'", id="quoted twice"),
    pytest.param('{"slice": "1g.5gb"}', 0, '\'{"slice": "1g.5gb"}\' is not a slice', "Write '1g.5gb'", id="JSON"),
    pytest.param("١g.5gb", 0, "'١g.5gb' is not a slice", ANY, id="a digit of another script"),
    # fractions
    pytest.param("8/7", 0, "'8/7' is more than a whole GPU", "Write '8x1/7'", id="more than one GPU"),
    pytest.param(
        "9999x3/2", 5, "29997 slices are too many", "a count from 1 to 9999", id="more of it than may be asked"
    ),
    pytest.param("3/2@h100", 0, "'3/2' is more than a whole GPU", "Write '3x1/2@h100'", id="more than one of a model"),
    pytest.param(
        "2x8/7",
        2,
        "'8/7' is more than a whole GPU",
        "Write '16x1/7' for as much in several slices",
        id="the position is behind the count",
    ),
    pytest.param("0/7", 0, "'0/7' is not a slice", ANY, id="no part at all"),
    pytest.param("1/0", 0, "'1/0' is not a slice", ANY, id="a part of nothing"),
    pytest.param("1/7/2", 0, "'1/7/2' is not a slice", ANY, id="a fraction of a fraction"),
    pytest.param("1/10000", 0, "'1/10000' is not a slice", ANY, id="a fraction of five digits"),
    pytest.param("0.5", 0, "'0.5' is not a slice", "Write '1/2'", id="a decimal fraction"),
    pytest.param(".25", 0, "'.25' is not a slice", "Write '1/4'", id="a decimal fraction without its zero"),
    pytest.param("50%", 0, "'50%' is not a slice", "Write '1/2'", id="a percentage"),
    pytest.param("1%", 0, "'1%' is not a slice", "Write '1/8'", id="a percentage smaller than any slice"),
    pytest.param("half", 0, "'half' is not a slice", "Write '1/2'", id="a word for a fraction"),
    # memory
    pytest.param("10GB", 0, "'10GB' is not a slice", "'10gb' for the profile's number", id="upper-case gb"),
    pytest.param("10GiB", 0, "'10GiB' is not a slice", "'10Gi' for real memory", id="the B of GiB"),
    pytest.param("10gi", 0, "'10gi' is not a slice", "'10Gi' for real memory", id="lower-case Gi"),
    pytest.param("10G", 0, "'10G' is not a slice", "'10gb' for the profile's number", id="a bare G"),
    pytest.param("0gb", 0, "'0gb' is not a slice", ANY, id="no memory at all"),
    pytest.param("100000gb", 0, "'100000gb' is not a slice", ANY, id="memory of six digits"),
    pytest.param("10Mi", 0, "'10Mi' is not a slice", "Write '1Gi' for real memory", id="mebibytes"),
    pytest.param("20480Mi", 0, "'20480Mi' is not a slice", "Write '20Gi'", id="mebibytes, as many as 20 Gi"),
    pytest.param("4.75Gi", 0, "'4.75Gi' is not a slice", "Write '5Gi'", id="real memory that is no whole number"),
    pytest.param("30%", 0, "'30%' is not a slice", "Write '1/3'", id="a percentage between two fractions"),
    pytest.param("10", 0, "'10' is not a slice", ANY, id="a number without a unit"),
    # shared, and whole GPUs
    pytest.param("Shared", 0, "'Shared' is not a slice", "'shared'", id="upper-case shared"),
    pytest.param("time-sliced", 0, "'time-sliced' is not a slice", "Write 'shared'", id="how it is shared"),
    pytest.param("mps", 0, "'mps' is not a slice", "Write 'shared'", id="the other way to share"),
    pytest.param(
        "nvidia.com/gpu.shared",
        0,
        "'nvidia.com/gpu.shared' is not a slice",
        "Write 'shared'",
        id="the resource of a share",
    ),
    pytest.param("1", 0, "'1' is not a slice", "ask for nvidia.com/gpu", id="one whole GPU"),
    pytest.param("full", 0, "'full' is not a slice", "ask for nvidia.com/gpu", id="a whole GPU"),
    pytest.param(
        "nvidia.com/gpu",
        0,
        "'nvidia.com/gpu' is not a slice",
        "ask for nvidia.com/gpu",
        id="the resource of a whole GPU",
    ),
    # counts
    pytest.param(
        "0x1g.5gb", 0, "'0x1g.5gb' is not a slice", "Write a count from 1 to 9999 before the 'x'", id="none of it"
    ),
    pytest.param("02x1g.5gb", 0, "'02x1g.5gb' is not a slice", "Write '2x1g.5gb'", id="a count with a leading zero"),
    pytest.param("-1x1g.5gb", 0, "'-1x1g.5gb' is not a slice", ANY, id="fewer than none"),
    pytest.param(
        "10000x1g.5gb",
        0,
        "'10000x1g.5gb' is not a slice",
        "Write a count from 1 to 9999 before the 'x'",
        id="a count of five digits",
    ),
    pytest.param("2X1g.5gb", 0, "'2X1g.5gb' is not a slice", "Write '2x1g.5gb'", id="an upper-case X"),
    pytest.param("2*1g.5gb", 0, "'2*1g.5gb' is not a slice", "Write '2x1g.5gb'", id="a star for the x"),
    pytest.param("2x", 0, "'2x' is not a slice", ANY, id="a count of nothing"),
    pytest.param("x1g.5gb", 0, "'x1g.5gb' is not a slice", ANY, id="an x without a count"),
    pytest.param("2x3x1g.5gb", 2, "'3x1g.5gb' is not a slice", "Write '6x1g.5gb'", id="a count of a count"),
    pytest.param("2x1g5gb", 4, "'1g5gb' is not a MIG profile", "1g.5gb", id="the position is behind the count too"),
    # GPUs
    pytest.param("2X1g.5gb", 0, "'2X1g.5gb' is not a slice", "Write '2x1g.5gb'", id="a capital x"),
    pytest.param(
        "|".join(["1g.5gb"] * 33), 224, "more than 32 alternatives", "Write fewer", id="too many alternatives"
    ),
    pytest.param("Shared", 0, "'Shared' is not a slice", "Write 'shared'", id="a capital letter"),
    pytest.param("h100", 0, "'h100' is not a slice", "1/7@h100", id="a GPU and no slice"),
    pytest.param("@h100", 0, "found '@h100'", ANY, id="a GPU and nothing before it"),
    pytest.param("1g.5gb@", 7, "after '@' in '1g.5gb@', found the end", "1g.5gb@a100", id="nothing behind the @"),
    pytest.param(
        "1g.5gb@@h100", 7, "after '@' in '1g.5gb@@h100', found '@h100'", "Write '1g.5gb@h100'", id="two @ at once"
    ),
    pytest.param("1g.5gb@h100@a100", 11, "a second '@'", "Name one GPU", id="two GPUs"),
    pytest.param("1g.5gb@h+100", 7, "'h+100' cannot be a GPU's name", "'1g.5gb@a100'", id="a sign that no name has"),
    pytest.param(
        "1g.5gb@h100-",
        7,
        "'h100-' cannot be a GPU's name",
        "Name one, as in '1g.5gb@a100'",
        id="a GPU that ends in a hyphen",
    ),
    pytest.param(
        "1g.5gb@" + "h" * 64,
        7,
        "'hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh' cannot be a GPU's name",
        "Name one, as in '1g.5gb@a100'",
        id="a GPU's name of 64 letters",
    ),
    # alternatives
    pytest.param("1g.5gb|", 7, END, ANY, id="nothing behind the bar"),
    pytest.param("|1g.5gb", 0, "found '|1g.5gb'", ANY, id="nothing before the bar"),
    pytest.param("1g.5gb||2g.10gb", 7, "found '|2g.10gb'", ANY, id="nothing between two bars"),
    pytest.param("1g.5gb or 2g.10gb", 0, "is not a slice", "Write '1g.5gb|2g.10gb'", id="a word for the bar"),
    pytest.param("1g.5gb|shraed", 7, "'shraed' is not a slice", ANY, id="the second of two is misspelt"),
    pytest.param("shared|2x1g5gb", 11, "'1g5gb' is not", "1g.5gb", id="the second of two, behind its count"),
    # containers
    pytest.param("1g.5gb,2g.10gb", 6, "has a ',' but names no container", "container=slice", id="a comma for a bar"),
    pytest.param("1g.5gb,", 6, "'1g.5gb,' has a ',' but names no container", "container=slice", id="a comma behind it"),
    pytest.param("1g.5gb@a,h100", 8, "has a ',' but names no container", "'|' between", id="a comma between GPUs"),
    pytest.param(",1g.5gb", 0, "expected a slice in ',1g.5gb', found ',1g.5gb'", ANY, id="a comma before it"),
    pytest.param("main=", 5, END, ANY, id="a container and no slice"),
    pytest.param("main==1g.5gb", 5, "found '=1g.5gb'", "Write '1g.5gb'", id="two equal signs at once"),
    pytest.param("main=1g.5gb=side", 11, "a second '='", "Put ',' between containers", id="two equal signs"),
    pytest.param(
        "main=1g.5gb,",
        11,
        "'main=1g.5gb,' has nothing after its last ','",
        "Remove it",
        id="nothing behind the comma",
    ),
    pytest.param(
        "main=1g.5gb,,side=shared",
        12,
        "expected a container name in 'main=1g.5gb,,side=shared', found ',side=shared'",
        "Write 'container=slice'",
        id="nothing between two commas",
    ),
    pytest.param("main=1g.5gb,side", 12, "none at 'side'", "Write 'container=slice'", id="the second has no slice"),
    pytest.param(
        "main=1g.5gb,|side=shared",
        12,
        "expected a container name in 'main=1g.5gb,|side=shared', found '|side=shared'",
        "Write 'container=slice'",
        id="a bar behind a comma",
    ),
    pytest.param(
        "1g.5gb,side=shared",
        0,
        "'1g.5gb' cannot be a container's name",
        "Write 'container=slice' with a name from spec.containers",
        id="the first has no name",
    ),
    pytest.param("main=1g.5gb|side=shared", 12, "'side' is not a slice", ANY, id="a bar between containers"),
    pytest.param(
        "main=1g.5gb;side=shared",
        11,
        "'1g.5gb;side' is not a MIG profile: expected nothing more, found ';side'",
        PROFILE_HINT,
        id="a semicolon between containers",
    ),
    pytest.param("main=1g.5gb side=shared", 11, "found ' side=shared'", "',' between", id="a space between containers"),
    pytest.param(
        "main:1g.5gb", 0, "'main:1g.5gb' is not a slice", "Write 'main=1g.5gb'", id="a colon for the equal sign"
    ),
    pytest.param("main=1g.5gb,main=shared", 12, "'main' is named twice", "Name each container once", id="named twice"),
    pytest.param("Main=1g.5gb", 0, "'Main' cannot be a container's name", "spec.containers", id="an upper-case name"),
    pytest.param("my_main=1g.5gb", 0, "'my_main' cannot be", "spec.containers", id="an underscore in a name"),
    pytest.param("-main=1g.5gb", 0, "'-main' cannot be", "spec.containers", id="a name that begins with a hyphen"),
    pytest.param("main-=1g.5gb", 0, "'main-' cannot be", "spec.containers", id="a name that ends in a hyphen"),
    pytest.param(
        "a" * 64 + "=1g.5gb",
        0,
        "cannot be a container's name",
        "Write 'container=slice' with a name from spec.containers",
        id="a name of 64 letters",
    ),
    pytest.param("a=shared,b=2g5gb", 13, "'2g5gb' is not", "2g.5gb", id="the second container's slice is misspelt"),
    pytest.param(
        "a=shared,b=shared@H+", 18, "'H+' cannot be a GPU's name", "Name one", id="the second container's GPU"
    ),
    # nothing may stand before the first container
    pytest.param(
        "=1g.5gb",
        0,
        "'=1g.5gb' names no container before '='",
        "Write '1g.5gb'",
        id="no name before the equal sign",
    ),
    pytest.param(
        ",main=1g.5gb",
        0,
        "expected a container name in ',main=1g.5gb', found ',main=1g.5gb'",
        "Write 'container=slice'",
        id="a comma before the first container",
    ),
    pytest.param(
        "|main=1g.5gb",
        0,
        "expected a container name in '|main=1g.5gb', found '|main=1g.5gb'",
        "Write 'container=slice'",
        id="a bar before the first container",
    ),
    pytest.param(
        "@main=1g.5gb",
        0,
        "expected a container name in '@main=1g.5gb', found '@main=1g.5gb'",
        "Write 'container=slice'",
        id="an @ before the first container",
    ),
    pytest.param(
        "=main=1g.5gb",
        0,
        "'=main=1g.5gb' names no container before '='",
        "Write 'container=slice'",
        id="an equal sign before the first container",
    ),
    pytest.param(
        " ,main=1g.5gb",
        0,
        "' ,main=1g.5gb' begins with white space",
        "Remove it",
        id="a space and a comma before the first container",
    ),
    # length
    pytest.param("x" * (LONGEST_VALUE + 1), 0, f"{LONGEST_VALUE + 1} characters", "shorter", id="too long"),
]


@pytest.mark.parametrize(("value", "position", "problem", "hint"), REFUSED)
def test_what_cannot_be_read_is_refused_where_it_goes_wrong(value: str, position: int, problem: str, hint: str) -> None:
    denial = refusal(value)
    assert denial.position == position
    assert problem in denial.problem
    assert hint in denial.hint
    assert denial.reason == "grammar"


@pytest.mark.parametrize("value", [row.values[0] for row in REFUSED], ids=[row.id for row in REFUSED])
def test_a_refusal_is_one_sentence_about_what_is_wrong_and_one_about_what_to_write(value: str) -> None:
    denial = refusal(value)
    message = str(denial)
    assert message == f"metadata.annotations[gpu-slice]: {denial.problem}. {denial.hint}."
    assert denial.hint
    assert not denial.hint.endswith(".")
    assert message.isprintable(), "one line"
    assert len(message) < 600, "an event holds 1024 characters"


def suggestion(value: str) -> str | None:
    """What the refusal of *value* says to write, where that is one thing."""
    try:
        parse(value)
    except Denial as denial:
        found = re.fullmatch(r"Write '([^' =]+)'", denial.hint)
        return found[1] if found else None
    return None


@unhurried
@given(
    st.from_regex(r"[1-9][0-9]?[gG]?[.:_-]?[1-9][0-9]?(g|gb|GB|Gi|GiB)?([+.-](me|ME|gfx|me\.all))?", fullmatch=True)
    | st.from_regex(r"0?\.\d{1,4}|\d{1,2}(\.\d)?%", fullmatch=True)
    | st.from_regex(r"(nvidia\.com/|mig-)?[1-9]\d?g\.?[1-9]\d?", fullmatch=True)
)
@example("1g5gb-me")
@example("1g.24gb-gfx")
@example("1g.24gb-me.all")
@example("1g.5٣gb")
@example("94%")
def test_what_a_refusal_says_to_write_can_be_read(value: str) -> None:
    write = suggestion(value)
    if write is None:  # as for most; the examples have one each
        return
    assert write != value
    assert text(parse(write))


numbers = st.integers(1, 9999)
dns_labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
gpus = st.from_regex(r"[a-z0-9]([-.a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
slices = st.one_of(
    st.builds(
        MigProfile,
        numbers,
        numbers,
        st.sampled_from(["", "+me", "+me.all", "+gfx", "-me"]),
        st.none() | numbers,
    ),
    st.lists(numbers, min_size=2, max_size=2).map(sorted).map(lambda pair: Fraction(pair[0], pair[1])),
    st.builds(Memory, st.integers(1, 99999), st.sampled_from(["gb", "Gi"])),
    st.builds(Shared),
)
choices = st.lists(st.builds(Choice, slices, numbers, st.none() | gpus), min_size=1, max_size=4).map(tuple)
unnamed = st.builds(Request, choices).map(lambda request: (request,))
named = st.lists(
    st.builds(Request, choices, dns_labels), min_size=1, max_size=4, unique_by=lambda request: request.container
).map(tuple)


@unhurried
@given(unnamed | named)
def test_what_is_written_reads_back(requests: tuple[Request, ...]) -> None:
    assert unplaced(parse(text(requests))) == requests


@unhurried
@given(unnamed | named, st.data())
def test_spaces_around_separators_change_nothing(requests: tuple[Request, ...], data: st.DataObject) -> None:
    spaces = st.integers(0, 3).map(lambda count: " " * count)
    spaced = re.sub(r"[,|=@]", lambda found: data.draw(spaces) + found[0] + data.draw(spaces), text(requests))
    assert unplaced(parse(spaced)) == requests


@unhurried
@given(unnamed | named)
def test_a_position_points_at_what_it_belongs_to(requests: tuple[Request, ...]) -> None:
    value = text(requests)
    for request in parse(value):
        assert value.startswith(str(request), request.position)
        for choice in request.choices:
            assert value.startswith(str(choice), choice.position)


# DESIGN's grammar once more, as one expression: a second opinion on what is read and what is not.
_NUMBER = r"[1-9][0-9]{0,3}"
_SLICE = (
    rf"(?:(?:{_NUMBER}c\.)?{_NUMBER}g\.{_NUMBER}gb(?:[+.](?:me\.all|me|gfx)|-me)?"
    rf"|{_NUMBER}/{_NUMBER}|[1-9][0-9]{{0,4}}(?:gb|Gi)|shared)"
)
_CHOICE = rf"(?:{_NUMBER}x)?{_SLICE}(?: *@ *[a-z0-9](?:[-.a-z0-9]{{0,61}}[a-z0-9])?)?"
_REQUEST = rf"{_CHOICE}(?: *\| *{_CHOICE})*"
_ASSIGNMENT = rf"[a-z0-9](?:[-a-z0-9]{{0,61}}[a-z0-9])? *= *{_REQUEST}"
GRAMMAR = re.compile(rf"{_REQUEST}|{_ASSIGNMENT}(?: *, *{_ASSIGNMENT})*")

pieces = st.lists(
    st.sampled_from(["1g.5gb", "1/7", "2/1", "10gb", "10Gi", "shared", "2x", "h100", "main", "a", " ", *",|=@"]),
    max_size=9,
).map("".join)


@unhurried
@given(pieces)
@example(",main=1g.5gb")
@example("a=1g.5gb,b=shared|10gb@h100")
def test_exactly_what_the_grammar_says_is_read(value: str) -> None:
    try:
        requests: tuple[Request, ...] = parse(value)
    except Denial:
        requests = ()
    names = re.findall(r"([^ ,|=@]+) *=", value)
    over = any(int(top) > int(bottom) for top, bottom in re.findall(r"([0-9]+)/([0-9]+)", value))
    assert bool(requests) == bool(GRAMMAR.fullmatch(value) and len(names) == len(set(names)) and not over)


@unhurried
@given(st.text() | pieces | st.text(alphabet="0123456789gbGi/x+.me,|=@ -%", max_size=40))
def test_any_text_at_all_is_read_or_refused_in_one_line(value: str) -> None:
    try:
        requests = parse(value)
    except Denial as denial:
        refused = denial
    else:
        assert unplaced(parse(text(requests))) == unplaced(requests)
        return
    assert refused.position is not None
    assert 0 <= refused.position <= len(value)
    assert str(refused).isprintable()
    assert refused.hint


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param("1", id="one number"),
        pytest.param("1g", id="compute slices again and again"),
        pytest.param("1x", id="counts of counts"),
        pytest.param("1c.", id="compute instances of compute instances"),
        pytest.param("1/", id="fractions of fractions"),
        pytest.param("me.all", id="attributes"),
        pytest.param("a", id="one word"),
        pytest.param("a1-", id="like a GPU's name, up to the end"),
        pytest.param("|", id="bars"),
        pytest.param("@", id="at signs"),
        pytest.param("=", id="equal signs"),
        pytest.param(",", id="commas"),
        pytest.param("a=", id="containers of containers"),
        pytest.param("1g.5gb,", id="slices without containers"),
        pytest.param("1g.5gb@h100@", id="GPUs of GPUs"),
        pytest.param("'", id="quotes, which double when quoted"),
        pytest.param("\x00", id="control characters, which grow when escaped"),
        pytest.param("\U0001f600", id="letters of four bytes"),
    ],
)
@pytest.mark.parametrize("tail", ["", "!", " "])
def test_a_long_value_of_a_nasty_shape_is_refused_in_a_short_line(piece: str, tail: str) -> None:
    value = (piece * LONGEST_VALUE)[: LONGEST_VALUE - len(tail)] + tail
    assert len(str(refusal(value))) < 1024, "an event holds 1024 characters"


@pytest.mark.parametrize("gap", [" " * (LONGEST_VALUE - 14), ""])
def test_a_long_value_that_is_right_is_read(gap: str) -> None:
    assert unplaced(parse(f"1g.5gb{gap}|2g.10gb")) == one(Choice(SMALL), Choice(LARGE))


def test_two_hundred_containers_with_three_choices_each_are_read() -> None:
    names = [f"{index:0>63}" for index in range(200)]
    value = " , ".join(f"{name} = 7g.141gb@rtx-pro-6000 | 4g.71gb@gh200-144gb | shared@a10g" for name in names)
    requests = parse(value)
    assert [request.container for request in requests] == names
    assert {len(request.choices) for request in requests} == {3}


@pytest.mark.parametrize("length", [20, 129, 2_000])
def test_a_long_value_means_what_a_short_one_means(length: int) -> None:
    value = "1g.5gb" + " " * (length - 13) + "|shared"
    assert len(value) == length
    assert parse(value) == one(Choice(SMALL), Choice(Shared(), position=length - 6))
    assert parse(value) == parse(value)
    wrong = value[:-1]
    assert (refusal(wrong).position, refusal(wrong).hint) == (length - 6, refusal("share").hint)
    assert str(refusal(wrong)) == str(refusal(wrong)), "a refusal is the same when it is asked for again"


@pytest.mark.parametrize("length", [20, 129, 2_000])
def test_white_space_around_it_is_no_part_of_a_value_of_any_length(length: int) -> None:
    assert refusal("1g.5gb".ljust(length)).position == 6
    assert refusal("1g.5gb".rjust(length)).position == 0
