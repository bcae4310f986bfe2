"""What holds for our side toward the store whatever is said, and for both sides together."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmp.errors import RemoteProtocolError
from mmp.model import Credentials, Endpoint, Offer, Origin, Replay
from mmp.wire.events import Login, Ready, StartTLS
from mmp.wire.imap.client import Client
from mmp.wire.imap.response import RESPONSE_LIMIT
from mmp.wire.imap.server import Server
from tests.strategies import chunked, secrets, store_pieces, user_names

GREETING = b"* OK [CAPABILITY IMAP4rev1 ID%b] hello\r\n"
ABILITIES = st.lists(st.sampled_from([b" AUTH=PLAIN", b" SASL-IR", b" LITERAL+", b" LITERAL-"])).map(b"".join)
ORIGINS = st.none() | st.builds(
    Origin,
    session=st.text(max_size=40),
    address=st.builds(Endpoint, st.text(max_size=40), st.integers(1, 65535)),
    local=st.just(Endpoint("2001:db8::1", 993)),
    ttl=st.integers(0, 5),
)


def ran(chunks, *, starttls=False):
    """Return the events and what was said when a store sends these chunks."""
    core, events, said = Client(starttls=starttls), [], b""
    for chunk in chunks:
        core.receive_data(chunk)
        with suppress(RemoteProtocolError):
            while (event := core.next_event()) is not None:
                events.append(event)
                if isinstance(event, Ready):
                    core.log_in(Replay("user", b"s\xffcret"))
                if isinstance(event, StartTLS):
                    core.tls_started()
                said += core.data_to_send()
        said += core.data_to_send()
    return events, said, core.phase


def assert_taken_alike(chunks):
    """The chunks are taken as their whole is: trailing bytes aside, and what nobody is there to hear."""
    events, said, phase = ran(chunks)
    events_of_whole, said_of_whole, phase_of_whole = ran([b"".join(chunks)])
    assert [getattr(event, "capabilities", event) for event in events] == (
        [getattr(event, "capabilities", event) for event in events_of_whole]
    )
    assert phase == phase_of_whole
    assert said.startswith(said_of_whole) if phase == "logout" else said == said_of_whole


@settings(max_examples=200)
@given(chunked(store_pieces, first=b"* OK [CAPABILITY IMAP4rev1 ID] hello\r\n"))
def test_chunks_make_no_difference(chunks):
    assert_taken_alike(chunks)


@given(chunked(store_pieces))
def test_chunks_make_no_difference_to_the_greeting(chunks):
    assert_taken_alike(chunks)


@given(st.binary(max_size=300), st.booleans(), st.booleans())
def test_whatever_the_bytes_only_the_one_error_comes_out(octets, greeted, starttls):
    ran([GREETING % b" STARTTLS" * greeted, octets], starttls=starttls)


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"", b"x" * 1000),
        (b"* OK hello\r\n", b"x" * 1000),
        (b"* OK hello\r\n", b"* X {60000}\r\n" + b"x" * 60000 + b"\r\n"),
        (b"* OK hello\r\n* X {60000}\r\n", b"x" * 1000),
        (b"* OK hello\r\n* X {1}\r\nx", b" {1}\r\nx"),
        (b"* OK hello\r\n", b"* OK hello\r\n"),
        (b"* OK hello\r\n", b"+ hello\r\n"),
    ],
)
def test_what_is_held_stays_within_bounds(first, more):
    core = Client(starttls=False)
    for chunk in [first, *[more] * 400]:
        core.receive_data(chunk)
        with suppress(RemoteProtocolError):
            core.next_event()
        assert core.buffered <= RESPONSE_LIMIT + len(chunk)


def credentials_heard(replay, abilities):
    """Let our two sides talk to each other until the login is heard."""
    store = Server(
        offer=Offer(("PLAIN",), plaintext=True, starttls=False), hostname="store", timestamp=b"<1.2@mail.example.com>"
    )
    store.greet()
    store.data_to_send()
    core = Client(starttls=False)
    core.receive_data(GREETING % abilities)
    assert core.next_event() == Ready()
    core.log_in(replay)
    while True:
        store.receive_data(core.data_to_send())
        event = store.next_event()
        if isinstance(event, Login):
            assert store.buffered == 0
            return event.credentials
        core.receive_data(store.data_to_send())
        assert core.next_event() is None


@settings(max_examples=200)
@given(user_names, secrets, ABILITIES, ORIGINS)
def test_what_we_say_to_a_store_is_what_we_hear_from_a_client(user, secret, abilities, origin):
    heard = credentials_heard(Replay(user, secret, origin=origin), abilities)
    assert heard == Credentials("PLAIN" if b"AUTH=PLAIN" in abilities else "LOGIN", user, secret)


@given(user_names, secrets, user_names, ABILITIES)
def test_acting_as_somebody_else_is_heard_likewise(user, secret, authzid, abilities):
    heard = credentials_heard(Replay(user, secret, authzid), abilities + b" AUTH=PLAIN")
    assert heard == Credentials("PLAIN", user, secret, "" if authzid == user else authzid)


@pytest.mark.parametrize("secret", [b"\xff" * 5000, b"a" * 5000, b"a" * 60_000, b"\r\n{5+}\r\n" * 100, b'"\\' * 511])
@pytest.mark.parametrize("abilities", [b"", b" LITERAL+", b" LITERAL-"])
def test_long_and_odd_passwords_survive(secret, abilities):
    assert credentials_heard(Replay("user", secret), abilities).secret == secret
