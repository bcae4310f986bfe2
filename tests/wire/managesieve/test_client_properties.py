"""What holds for our side toward the store whatever is said, and for both sides together."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmp.errors import Refused, RemoteProtocolError
from mmp.model import Credentials, Endpoint, Offer, Origin, Replay
from mmp.wire.events import Challenge, Login, Ready, StartTLS
from mmp.wire.managesieve.client import Client
from mmp.wire.managesieve.reader import LINE_LIMIT, SIZE_LIMIT
from mmp.wire.managesieve.server import Server
from tests.strategies import chunked, secrets, user_names
from tests.wire.managesieve.pieces import store_pieces

ORIGIN = Origin("s1", Endpoint("192.0.2.7", 50123), Endpoint("192.0.2.1", 4190), ttl=5)
GREETING = b'"SIEVE" ""\r\n"SASL" "PLAIN XOAUTH2"\r\n"XCLIENT"\r\nOK\r\n'


def ran(chunks, *, starttls=False, mechanism="XOAUTH2"):
    """Return the events and what was said when a store sends these chunks."""
    core, events, said = Client(starttls=starttls), [], b""
    for chunk in chunks:
        core.receive_data(chunk)
        with suppress(RemoteProtocolError):
            while (event := core.next_event()) is not None:
                events.append(event)
                if isinstance(event, Ready):
                    with suppress(Refused):
                        core.log_in(Replay("user", b"secret", origin=ORIGIN, mechanism=mechanism))
                if isinstance(event, Challenge):
                    core.respond(b"")
                if isinstance(event, StartTLS):
                    core.tls_started()
                said += core.data_to_send()
        said += core.data_to_send()
    return events, said, core.phase


def assert_taken_alike(chunks):
    """The chunks are taken as their whole is: trailing bytes aside, and what nobody is there to hear."""
    events, said, phase = ran(chunks)
    events_of_whole, said_of_whole, phase_of_whole = ran([b"".join(chunks)])
    assert [getattr(event, "text", event) for event in events] == (
        [getattr(event, "text", event) for event in events_of_whole]
    )
    assert phase == phase_of_whole
    assert said.startswith(said_of_whole) if phase == "logout" else said == said_of_whole


@settings(max_examples=200)
@given(chunked(store_pieces, first=GREETING))
def test_chunks_make_no_difference(chunks):
    assert_taken_alike(chunks)


@given(chunked(store_pieces))
def test_chunks_make_no_difference_to_the_greeting(chunks):
    assert_taken_alike(chunks)


@given(st.binary(max_size=300), st.booleans(), st.booleans())
def test_whatever_the_bytes_only_the_one_error_comes_out(octets, greeted, starttls):
    ran([GREETING * greeted, octets], starttls=starttls)


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"", b"x" * 1000),
        (b'"X" {90000}\r\n', b"x" * 1000),
        (b"", b'"X" {1000}\r\n' + b"x" * 1000 + b"\r\n"),
        (b"", b'"X" {1}\r\nx {1}\r\nx {1}\r\nx'),
    ],
)
def test_what_is_held_stays_within_bounds(first, more):
    core = Client(starttls=False)
    for chunk in [first, *[more] * 400]:
        core.receive_data(chunk)
        with suppress(RemoteProtocolError):
            core.next_event()
        assert core.buffered + len(core._reader._text) <= SIZE_LIMIT + LINE_LIMIT + len(chunk)


def credentials_heard(replay, mechanisms=("PLAIN",)):
    """Let our two sides talk to each other until the login is heard."""
    store = Server(offer=Offer(mechanisms, plaintext=True, starttls=False), hostname="store", timestamp=b"<1@store>")
    store.greet()
    core = Client(starttls=False)
    while True:
        core.receive_data(store.data_to_send())
        if core.next_event() == Ready():
            core.log_in(replay)
        store.receive_data(core.data_to_send())
        event = store.next_event()
        if isinstance(event, Login):
            assert store.buffered == 0
            return event.credentials


@settings(max_examples=200)
@given(user_names, secrets, st.just("") | user_names)
def test_what_we_say_to_a_store_is_what_we_hear_from_a_client(user, secret, authzid):
    heard = credentials_heard(Replay(user, secret, authzid))
    assert heard == Credentials("PLAIN", user, secret, "" if authzid == user else authzid)


@given(user_names, st.from_regex(r"\A[A-Za-z0-9._~+/-]{1,900}=?\Z").map(str.encode))
def test_tokens_are_heard_likewise(user, token):
    heard = credentials_heard(Replay(user, token, mechanism="XOAUTH2"), ("XOAUTH2",))
    assert heard == Credentials("XOAUTH2", user, token)


@pytest.mark.parametrize("secret", [b"\xff" * 5000, b"a" * 60_000, b"\r\n{5+}\r\n" * 100, b'"\\' * 511])
def test_long_and_odd_passwords_survive(secret):
    assert credentials_heard(Replay("user", secret)).secret == secret
