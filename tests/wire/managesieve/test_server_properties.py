"""What holds for our side toward the client whatever is said and however it is cut."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmp.errors import RemoteProtocolError
from mmp.model import Offer, Refusal
from mmp.wire.events import LoggedIn, Login, Response
from mmp.wire.managesieve.reader import LINE_LIMIT, SIZE_LIMIT
from mmp.wire.managesieve.server import COMMANDS_LIMIT, Server, State
from tests.strategies import chunked
from tests.wire.managesieve.pieces import client_pieces

OFFERS = st.sampled_from(
    [
        Offer(mechanisms=(), plaintext=False, starttls=False),
        Offer(mechanisms=("PLAIN",), plaintext=True, starttls=False),
    ],
)


def new(offer):
    core = Server(offer=offer, hostname="mail.example.com", timestamp=b"<1@mail.example.com>")
    core.greet()
    core.data_to_send()
    return core


def answer(core, event):
    """Ask more of whoever logs in, let in who answers."""
    if isinstance(event, Login):
        core.challenge(b"more")
    elif isinstance(event, Response):
        if event.octets:
            core.accept(LoggedIn((), b"in", b""))
        else:
            core.refuse(Refusal.CANCELLED)


def served(chunks, offer):
    """Return the events, what was said, and what is for the store, when a client sends these chunks."""
    core = new(offer)
    events, said, trailing = [], b"", b""
    for chunk in chunks:
        core.receive_data(chunk)
        try:
            while (event := core.next_event()) is not None:
                events.append(event)
                answer(core, event)
        except RemoteProtocolError as error:
            events.append(str(error))
        said += core.data_to_send()
    if core._state is State.AUTHENTICATED:
        trailing = core.trailing()
    return events, said, trailing


@settings(max_examples=200)
@given(chunked(client_pieces, first=b"NOOP\r\n"), OFFERS)
def test_chunks_make_no_difference(chunks, offer):
    assert served(chunks, offer) == served([b"".join(chunks)], offer)


@given(chunked(client_pieces), OFFERS)
def test_chunks_make_no_difference_to_the_first_line(chunks, offer):
    assert served(chunks, offer) == served([b"".join(chunks)], offer)


def test_a_conversation_cut_at_every_octet_is_the_same():
    octets = b'NOOP {3+}\r\nx\r\n\r\nAUTHENTICATE "PLAIN"\r\n{16+}\r\nAHVzZXIAc2VjcmV0\r\n"YQ=="\r\nLISTSCRIPTS\r\n'
    offer = Offer(mechanisms=("PLAIN",), plaintext=True, starttls=False)
    whole = served([octets], offer)
    assert whole[2] == b"LISTSCRIPTS\r\n"
    assert served([octets[at : at + 1] for at in range(len(octets))], offer) == whole


@given(st.binary(max_size=300), st.booleans(), OFFERS)
def test_whatever_the_bytes_only_the_one_error_comes_out(octets, begun, offer):
    served([b"NOOP\r\n" * begun + octets], offer)


@pytest.mark.parametrize(
    "stream",
    [
        [b"x" * 1000],
        [b"NOOP {90000+}\r\n", b"x" * 1000],
        [b"NOOP {60000+}\r\n" + b"x" * 60000 + b" {30000+}\r\n", b"x" * 1000],
        [b'AUTHENTICATE "PLAIN"\r\n', b"x" * 1000],
        [b'AUTHENTICATE "PLAIN" "AHVzZXIAc2VjcmV0"\r\n'],
        [b"NOOP {1000+}\r\n" + b"\0" * 1000 + b"\r\n"],
        [b"XYZZY\r\n"],
    ],
)
def test_what_is_held_stays_within_bounds(stream):
    core = new(Offer(("PLAIN",), plaintext=True, starttls=False))
    first, *rest = stream
    for chunk in [b"NOOP\r\n", first, *(rest or stream) * 400]:
        core.receive_data(chunk)
        with suppress(RemoteProtocolError):
            while (event := core.next_event()) is not None:
                answer(core, event)
        reader = core._reader
        held = core.buffered + len(reader._text) + sum(map(len, reader._literals))
        assert held <= SIZE_LIMIT + LINE_LIMIT + len(chunk)
    assert len(core.data_to_send()) < COMMANDS_LIMIT * 1100
