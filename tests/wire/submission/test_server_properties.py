"""What holds for our side toward the client whatever is said and however it is cut."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmp.errors import RemoteProtocolError
from mmp.model import Offer, Refusal
from mmp.wire.events import LoggedIn, Login, Response
from mmp.wire.submission.server import AUTH_LIMIT, COMMANDS_LIMIT, Server, State
from tests.strategies import chunked
from tests.wire.submission.pieces import client_pieces

OFFERS = st.sampled_from(
    [
        Offer(mechanisms=(), plaintext=False, starttls=False),
        Offer(mechanisms=("PLAIN", "LOGIN", "CRAM-MD5"), plaintext=True, starttls=False),
    ],
)
IN = LoggedIn((), b"in", b"")


def new(offer):
    core = Server(offer=offer, hostname="mail.example.com", timestamp=b"<1@mail.example.com>")
    core.greet()
    core.data_to_send()
    return core


def answer(core, event):
    """Ask more of PLAIN, let in who has a long password and who answers, refuse others."""
    if isinstance(event, Response):
        if event.octets is None:
            core.refuse(Refusal.CANCELLED)
        else:
            core.accept(IN)
    elif isinstance(event, Login):
        if event.credentials.mechanism == "PLAIN":
            core.challenge(b"more")
        elif len(event.credentials.secret) > 10:
            core.accept(IN)
        else:
            core.refuse(Refusal.BAD_CREDENTIALS)


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
@given(chunked(client_pieces, first=b"EHLO client\r\n"), OFFERS)
def test_chunks_make_no_difference(chunks, offer):
    assert served(chunks, offer) == served([b"".join(chunks)], offer)


@given(chunked(client_pieces), OFFERS)
def test_chunks_make_no_difference_to_the_first_line(chunks, offer):
    assert served(chunks, offer) == served([b"".join(chunks)], offer)


def test_a_conversation_cut_at_every_octet_is_the_same():
    octets = (
        b"EHLO c\r\nMAIL FROM:<x>\r\nBDAT 6 LAST\r\nQUIT\r\nAUTH LOGIN\r\ndQ==\r\ncA==\r\nAUTH PLAIN AHUAcA==\r\n"
        b"YQ==\r\nMAIL FROM:<>\r\n"
    )
    offer = Offer(mechanisms=("PLAIN", "LOGIN"), plaintext=True, starttls=False)
    whole = served([octets], offer)
    assert whole[2] == b"MAIL FROM:<>\r\n"
    assert served([octets[at : at + 1] for at in range(len(octets))], offer) == whole


@given(st.binary(max_size=300), st.booleans(), OFFERS)
def test_whatever_the_bytes_only_the_one_error_comes_out(octets, begun, offer):
    served([b"NOOP\r\n" * begun + octets], offer)


@given(chunked(client_pieces, first=b"EHLO client\r\n"), OFFERS)
def test_replies_are_whole_lines_and_none_invites_a_message(chunks, offer):
    _, said, _ = served(chunks, offer)
    lines = said.split(b"\r\n")
    assert lines.pop() == b""
    assert not any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)
    assert not any(line.startswith(b"354") for line in lines)


@pytest.mark.parametrize(
    "stream",
    [
        [b"x" * 1000],
        [b"MAIL ", b"x" * 1000],
        [b"AUTH ", b"x" * 1000],
        [b"EHLO c\r\nAUTH PLAIN\r\n", b"x" * 1000],
        [b"EHLO c\r\nAUTH PLAIN AHVzZXIAc2VjcmV0\r\n", b"x" * 1000],
        [b"BDAT 1000000\r\n", b"x" * 1000],
        [b"EHLO c\r\nAUTH LOGIN dQ==\r\ncA==\r\n"],
        [b"NOOP\r\n"],
        [b"XYZZY\r\n"],
    ],
)
def test_what_is_held_stays_within_bounds(stream):
    core = new(Offer(("PLAIN", "LOGIN"), plaintext=True, starttls=False))
    first, *rest = stream
    for chunk in [b"NOOP\r\n", first, *(rest or stream) * 400]:
        core.receive_data(chunk)
        with suppress(RemoteProtocolError):
            while (event := core.next_event()) is not None:
                answer(core, event)
        assert core.buffered <= AUTH_LIMIT + len(chunk)
    assert len(core.data_to_send()) < COMMANDS_LIMIT * 200
