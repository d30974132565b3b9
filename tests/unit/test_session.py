"""TLS between two buffers: whatever the pieces in which the network brings it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.server.session import Session
from webhook.server.settings import PIECE
from webhook.server.tls import load


@pytest.fixture(scope="module", name="sides")
def _sides(tls: Path) -> Iterator[tuple[ssl.SSLObject, ssl.MemoryBIO, Session]]:
    """A client, what it sends, and the server's side, after their handshake."""
    session = Session(load(tls).context)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=str(tls / "ca.crt"))
    client = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    while not session.shaken:
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        for records in session.records(outgoing.read()):
            session.read(records)
        incoming.write(session.pending())
    return client, outgoing, session


@given(
    texts=st.lists(st.integers(1, 40_000), min_size=1, max_size=6),
    cuts=st.lists(st.integers(1, 60_000), min_size=1, max_size=40),
)
def test_the_pieces_in_which_it_comes_do_not_matter(
    sides: tuple[ssl.SSLObject, ssl.MemoryBIO, Session], texts: list[int], cuts: list[int]
) -> None:
    client, outgoing, session = sides
    sent = b"".join(bytes([number + 65]) * size for number, size in enumerate(texts))
    for number, size in enumerate(texts):
        client.write(bytes([number + 65]) * size)
    data = outgoing.read()
    found, sizes = b"", []
    while data:
        size = cuts[len(sizes) % len(cuts)]
        sizes.append(size)
        for records in session.records(data[:size]):
            assert len(records) <= PIECE
            found += session.read(records)
        data = data[size:]
    assert found == sent


def test_a_record_that_is_too_long_is_an_error(tls: Path) -> None:
    session = Session(load(tls).context)
    (records,) = session.records(b"\x16\x03\x01\xff\xff" + b"a" * 20_000)
    with pytest.raises(ssl.SSLError):
        session.read(records)
