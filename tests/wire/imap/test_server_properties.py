"""What holds for our side toward the client whatever is said and however it is cut."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmp.errors import RemoteProtocolError
from mmp.model import Offer, Refusal
from mmp.wire.events import LoggedIn, Login
from mmp.wire.imap.command import COMMAND_LIMIT, LINE_LIMIT, LITERAL_LIMIT
from mmp.wire.imap.server import COMMANDS_LIMIT, Server
from tests.strategies import chunked, client_pieces

OFFERS = st.sampled_from(
    [
        Offer(mechanisms=(), plaintext=False, starttls=False),
        Offer(mechanisms=("PLAIN",), plaintext=True, starttls=False),
    ],
)
IN = LoggedIn((b"IMAP4rev1",), b"in", b"")


def answer(core, login):
    """Let in who has a long password, refuse others."""
    if len(login.credentials.secret) > 5:
        core.accept(IN)
    else:
        core.refuse(Refusal.BAD_CREDENTIALS)


def served(chunks, offer):
    """Return the events, what was said, and what is for the store, when a client sends these chunks."""
    core = Server(offer=offer, hostname="mail.example.com", timestamp=b"<1.2@mail.example.com>")
    core.greet()
    core.data_to_send()
    events, said, trailing = [], b"", b""
    for chunk in chunks:
        core.receive_data(chunk)
        try:
            while (event := core.next_event()) is not None:
                events.append(event)
                if isinstance(event, Login):
                    answer(core, event)
        except RemoteProtocolError as error:
            events.append(str(error))
        said += core.data_to_send()
    if events and isinstance(events[-1], Login) and b" OK [CAPABILITY" in said.splitlines()[-1]:
        trailing = core.trailing()
    return events, said, trailing


@settings(max_examples=200)
@given(chunked(client_pieces, first=b"z NOOP\r\n"), OFFERS)
def test_chunks_make_no_difference(chunks, offer):
    assert served(chunks, offer) == served([b"".join(chunks)], offer)


@given(chunked(client_pieces), OFFERS)
def test_chunks_make_no_difference_to_the_first_line(chunks, offer):
    assert served(chunks, offer) == served([b"".join(chunks)], offer)


@given(st.binary(max_size=300), st.booleans(), OFFERS)
def test_whatever_the_bytes_only_the_one_error_comes_out(octets, begun, offer):
    served([b"z NOOP\r\n" * begun + octets], offer)


@given(chunked(client_pieces, first=b"z NOOP\r\n"), st.booleans())
def test_replies_are_whole_lines_and_a_goodbye_is_the_last(chunks, plaintext):
    _, said, _ = served(chunks, Offer(("PLAIN",), plaintext, starttls=False))
    lines = said.split(b"\r\n")
    assert lines.pop() == b""
    assert not any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)
    ends = [at for at, line in enumerate(lines) if line.startswith(b"* BYE")]
    if ends:
        behind = lines[ends[0] + 1 :]
        assert not behind or (len(behind) == 1 and behind[0].endswith(b"OK LOGOUT completed"))


@pytest.mark.parametrize(
    "stream",
    [
        [b"x" * 1000],
        [b"a LOGIN {65536+}\r\n", b"x" * 1000],
        [b"a LOGIN {65536+}\r\n" + b"x" * 65536 + b" {60000+}\r\n", b"x" * 1000],
        [b"a ID (", b'"f" {60000+}\r\n' + b"x" * 60000 + b" "],
        [b"a NOOP {60000+}\r\n", b"x" * 60000 + b" {5000+}\r\n" + b"x" * 5000],
        [b"a AUTHENTICATE PLAIN\r\n", b"x" * 1000],
        [b"a LOGIN u s\r\n"],
        [b"a NOOP\r\n"],
        [b"a {1}\r\n"],
    ],
)
def test_what_is_held_stays_within_bounds(stream):
    core = Server(
        offer=Offer(("PLAIN",), plaintext=True, starttls=False),
        hostname="mail.example.com",
        timestamp=b"<1.2@mail.example.com>",
    )
    core.greet()
    first, *rest = stream
    for chunk in [b"z NOOP\r\n", first, *(rest or stream) * 400]:
        core.receive_data(chunk)
        with suppress(RemoteProtocolError):
            while (event := core.next_event()) is not None:
                answer(core, event)
        command = core._reader._command
        held = core.buffered + len(command.text) + sum(map(len, command.literals))
        assert held <= COMMAND_LIMIT + LINE_LIMIT + len(chunk)
        assert core.buffered <= LITERAL_LIMIT + len(chunk)
    assert len(core.data_to_send()) < COMMANDS_LIMIT * 200
