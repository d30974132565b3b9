"""The records of the authorities, and bundles, as text and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from certs.authority import create_authority
from certs.stored import Authority, BadRecords, bundled, certificates, identifier, read_records, write_records

NOON = datetime(2026, 7, 24, 12, 0, 0, 250_000, tzinfo=UTC)
OURS, OTHERS = create_authority("gpu-slice", now=NOON), create_authority("somebody", now=NOON)
AUTHORITIES = (
    Authority(OTHERS.certificate, published=NOON, retire=NOON + timedelta(days=366)),
    Authority(OURS.certificate, OURS.key, NOON.astimezone(timezone(timedelta(hours=5)))),
    Authority(OURS.certificate, OURS.key),
)


def rows() -> list[dict[str, str | None]]:
    found: list[dict[str, str | None]] = json.loads(write_records(AUTHORITIES))
    return found


def test_what_is_written_is_read_as_it_was() -> None:
    assert read_records(write_records(AUTHORITIES)) == AUTHORITIES
    assert read_records(write_records(())) == ()


def test_an_empty_secret_has_no_authorities() -> None:
    assert read_records(b"") == ()


BROKEN = {
    "no JSON": b"[",
    "no text": b"\xff\xfe",
    "no list": b"7",
    "no rows": b'["a"]',
    "a row without a field": json.dumps([{"certificate": OURS.certificate.decode()}]).encode(),
    "no certificate": json.dumps([{**rows()[1], "certificate": None}]).encode(),
    "a certificate cut short": json.dumps([{**rows()[1], "certificate": OURS.certificate.decode()[:99]}]).encode(),
    "a key cut short": json.dumps([{**rows()[1], "key": OURS.key.decode()[:99]}]).encode(),
    "the key of another": json.dumps([{**rows()[1], "key": OTHERS.key.decode()}]).encode(),
    "a time without zone": json.dumps([{**rows()[1], "published": "2026-07-24T12:00:00"}]).encode(),
    "a time that is none": json.dumps([{**rows()[1], "retire": "soon"}]).encode(),
    "a number for a time": json.dumps([{**rows()[1], "retire": 7}]).encode(),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_broken_records_are_refused_with_a_cure_and_nothing_of_them_is_quoted(text: bytes) -> None:
    with pytest.raises(BadRecords) as refused:
        read_records(text)

    said = str(refused.value)
    assert said.startswith("authorities.json: cannot be read (")
    assert "Restore a good copy, or remove this key from the Secret" in said
    assert "PRIVATE" not in said
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_an_authority_does_not_show_its_key() -> None:
    assert "PRIVATE" not in repr(AUTHORITIES)


def test_an_authority_without_a_key_issues_nothing() -> None:
    with pytest.raises(ValueError, match="has no key"):
        AUTHORITIES[0].pair()


def test_an_authority_is_called_as_in_its_subject() -> None:
    assert AUTHORITIES[1].parsed().subject.rfc4514_string() == f"CN=gpu-slice {AUTHORITIES[1].id}"
    assert identifier(OURS.parsed()) != identifier(OTHERS.parsed())


def test_a_bundle_is_read_whatever_stands_between_its_certificates() -> None:
    bundle = b"# two\r\n" + OURS.certificate + b"\n\n" + OURS.key + OTHERS.certificate + OURS.certificate

    assert certificates(bundle) == (OURS.parsed(), OTHERS.parsed())
    assert certificates(bundled(AUTHORITIES[:2])) == (OTHERS.parsed(), OURS.parsed())
    assert certificates(b"\n") == ()
