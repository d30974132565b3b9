"""How MIG profiles are spelled, and what the device plugin calls each."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook.slices.profile import BadProfile, MigProfile

ATTRIBUTES = ("", "+me", "+me.all", "+gfx", "-me")

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

numbers = st.integers(1, 9999)
profiles = st.builds(MigProfile, numbers, numbers, st.sampled_from(ATTRIBUTES), st.none() | numbers)


@pytest.mark.parametrize(
    ("text", "profile", "name"),
    [
        pytest.param("1g.5gb", MigProfile(1, 5), "1g.5gb", id="plain"),
        pytest.param("7g.141gb", MigProfile(7, 141), "7g.141gb", id="memory of three digits"),
        pytest.param("9999g.9999gb", MigProfile(9999, 9999), "9999g.9999gb", id="the largest numbers"),
        pytest.param("1g.10gb+me", MigProfile(1, 10, "+me"), "1g.10gb+me", id="media, as drivers print it"),
        pytest.param("1g.10gb.me", MigProfile(1, 10, "+me"), "1g.10gb+me", id="media, as resources spell it"),
        pytest.param("2g.48gb+me.all", MigProfile(2, 48, "+me.all"), "2g.48gb+me.all", id="all media, as drivers do"),
        pytest.param("2g.48gb.me.all", MigProfile(2, 48, "+me.all"), "2g.48gb+me.all", id="all media, as resources do"),
        pytest.param("1g.24gb+gfx", MigProfile(1, 24, "+gfx"), "1g.24gb+gfx", id="graphics, as drivers print it"),
        pytest.param("1g.24gb.gfx", MigProfile(1, 24, "+gfx"), "1g.24gb+gfx", id="graphics, as resources spell it"),
        pytest.param("1g.24gb-me", MigProfile(1, 24, "-me"), "1g.24gb-me", id="without media: one spelling for both"),
        pytest.param("1c.3g.20gb", MigProfile(3, 20, "", 1), "1c.3g.20gb", id="a compute instance of one slice"),
        pytest.param("2c.4g.24gb+gfx", MigProfile(4, 24, "+gfx", 2), "2c.4g.24gb+gfx", id="both ends are there"),
        pytest.param(
            "3c.3g.20gb.me", MigProfile(3, 20, "+me", 3), "3c.3g.20gb+me", id="a c number equal to the g number"
        ),
    ],
)
def test_a_profile_is_read_in_every_spelling_and_written_in_one(text: str, profile: MigProfile, name: str) -> None:
    assert MigProfile.parse(text) == profile
    assert str(profile) == name


@unhurried
@given(profiles)
def test_what_is_printed_reads_back(profile: MigProfile) -> None:
    assert MigProfile.parse(str(profile)) == profile


@unhurried
@given(profiles)
def test_the_spelling_of_a_resource_reads_back_too(profile: MigProfile) -> None:
    assert MigProfile.parse(profile.resource.removeprefix("nvidia.com/mig-")) == profile


@unhurried
@given(profiles, profiles)
def test_two_profiles_never_share_a_resource(one: MigProfile, other: MigProfile) -> None:
    assert (one == other) == (one.resource == other.resource)


@unhurried
@given(st.text(alphabet="0123456789gbc.+-mealfx ", max_size=20) | st.text(max_size=20))
def test_any_text_is_a_profile_or_is_refused_at_a_place_inside_it(text: str) -> None:
    position, expected, name = 0, "", None
    try:
        name = str(MigProfile.parse(text))
    except BadProfile as bad:
        position, expected = bad.position, bad.expected
    assert 0 <= position <= len(text)
    assert (name is None) == bool(expected)
    assert name in (None, text, text.replace("gb.", "gb+"))


COMPUTE, DOT, MEMORY, NOTHING = "compute slices such as '1g'", "a dot", "memory such as '5gb'", "nothing more"


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        pytest.param("", 0, COMPUTE, id="nothing at all"),
        pytest.param("g.5gb", 0, COMPUTE, id="no number before the g"),
        pytest.param("0g.5gb", 0, COMPUTE, id="zero slices"),
        pytest.param("01g.5gb", 0, COMPUTE, id="a leading zero would make two names of one profile"),
        pytest.param("10000g.5gb", 0, COMPUTE, id="five digits"),
        pytest.param("1G.5gb", 0, COMPUTE, id="an upper-case G"),
        pytest.param(" 1g.5gb", 0, COMPUTE, id="a space before it"),
        pytest.param("-1g.5gb", 0, COMPUTE, id="a negative number"),
        pytest.param("١g.5gb", 0, COMPUTE, id="a digit of another script"),
        pytest.param("shared", 0, COMPUTE, id="another kind of slice"),
        pytest.param("0c.1g.5gb", 0, COMPUTE, id="a compute instance of nothing"),
        pytest.param("1c.", 3, COMPUTE, id="a compute instance of no GPU instance"),
        pytest.param("1c.2c.3g.20gb", 3, COMPUTE, id="a second c number"),
        pytest.param("1g", 2, DOT, id="ends before the dot"),
        pytest.param("1g5gb", 2, DOT, id="the dot is missing"),
        pytest.param("1g,5gb", 2, DOT, id="a comma for the dot"),
        pytest.param("1g.", 3, MEMORY, id="ends before the memory"),
        pytest.param("1g.gb", 3, MEMORY, id="no number before the gb"),
        pytest.param("1g.5", 3, MEMORY, id="no unit"),
        pytest.param("1g.5g", 3, MEMORY, id="half a unit"),
        pytest.param("1g.5GB", 3, MEMORY, id="an upper-case unit"),
        pytest.param("1g.5Gi", 3, MEMORY, id="a binary unit"),
        pytest.param("1g.0gb", 3, MEMORY, id="no memory"),
        pytest.param("1g.05gb", 3, MEMORY, id="a leading zero in the memory"),
        pytest.param("1g.5.5gb", 3, MEMORY, id="half a gigabyte"),
        pytest.param("1g.5gb ", 6, NOTHING, id="a space behind it"),
        pytest.param("1g.5gb\n", 6, NOTHING, id="a line break behind it"),
        pytest.param("1g.5gb+", 6, NOTHING, id="a sign without an attribute"),
        pytest.param("1g.5gb.", 6, NOTHING, id="a dot without an attribute"),
        pytest.param("1g.5gb+ME", 6, NOTHING, id="an upper-case attribute"),
        pytest.param("1g.5gb+fast", 6, NOTHING, id="an attribute that nobody has"),
        pytest.param("1g.24gb-gfx", 7, NOTHING, id="only me can be taken away"),
        pytest.param("1g.24gb-me.all", 10, NOTHING, id="all media cannot be taken away"),
        pytest.param("1g.24gb+me-me", 10, NOTHING, id="plus and minus together"),
        pytest.param("1g.24gb+me,gfx", 10, NOTHING, id="a list of attributes, which no GPU prints"),
        pytest.param("1g.24gb+gfx.all", 11, NOTHING, id="all of graphics"),
        pytest.param("1g.5gb1g.5gb", 6, NOTHING, id="twice"),
    ],
)
def test_a_misspelt_profile_is_refused_where_it_stops_fitting(text: str, position: int, expected: str) -> None:
    with pytest.raises(BadProfile) as refused:
        MigProfile.parse(text)
    assert (refused.value.text, refused.value.position, refused.value.expected) == (text, position, expected)


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        pytest.param("1g.5gb", "nvidia.com/mig-1g.5gb", id="plain"),
        pytest.param("1g.5gb+me", "nvidia.com/mig-1g.5gb.me", id="plus becomes a dot"),
        pytest.param("1g.24gb+gfx", "nvidia.com/mig-1g.24gb.gfx", id="graphics too"),
        pytest.param("1g.24gb+me.all", "nvidia.com/mig-1g.24gb.me.all", id="the dot inside stays"),
        pytest.param("1g.24gb-me", "nvidia.com/mig-1g.24gb-me", id="a minus stays"),
    ],
)
def test_the_resource_is_what_the_device_plugin_advertises(name: str, resource: str) -> None:
    """NVIDIA/k8s-device-plugin v0.20.0, internal/rm/rm.go: ``strings.ReplaceAll("mig-"+profile, "+", ".")``."""
    assert MigProfile.parse(name).resource == resource


@pytest.mark.parametrize(
    ("name", "takes"),
    [("1g.24gb", False), ("1g.24gb+me", True), ("1g.24gb+me.all", True), ("1g.24gb+gfx", False), ("1g.24gb-me", False)],
)
def test_only_me_and_me_all_take_the_media_engines(name: str, takes: bool) -> None:
    assert MigProfile.parse(name).media_extensions is takes
