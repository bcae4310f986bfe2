"""What holds for our side toward the store whatever is said, and for both sides together."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmp.errors import Refused, RemoteProtocolError
from mmp.model import Credentials, Endpoint, Offer, Origin, Replay
from mmp.wire.events import Login, Ready, StartTLS
from mmp.wire.submission.client import Client
from mmp.wire.submission.reply import LINE_LIMIT, LINES_LIMIT
from mmp.wire.submission.server import Server
from tests.strategies import chunked, secrets, user_names
from tests.wire.submission.pieces import store_pieces

ORIGIN = Origin("s1", Endpoint("192.0.2.7", 50123), Endpoint("192.0.2.1", 587), ttl=5, greeting="c", user="u")


def ran(chunks, *, starttls=False):
    """Return the events and what was said when a store sends these chunks."""
    core, events, said = Client(starttls=starttls, hostname="proxy"), [], b""
    for chunk in chunks:
        core.receive_data(chunk)
        with suppress(RemoteProtocolError):
            while (event := core.next_event()) is not None:
                events.append(event)
                if isinstance(event, Ready):
                    with suppress(Refused):
                        core.log_in(Replay("user", b"s\xffcret", origin=ORIGIN))
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
    assert said.startswith(said_of_whole) if phase == "quit" else said == said_of_whole


@settings(max_examples=200)
@given(chunked(store_pieces, first=b"220 hello\r\n250-r\r\n250-XCLIENT LOGIN\r\n250 AUTH PLAIN\r\n"))
def test_chunks_make_no_difference(chunks):
    assert_taken_alike(chunks)


@given(chunked(store_pieces))
def test_chunks_make_no_difference_to_the_greeting(chunks):
    assert_taken_alike(chunks)


@given(st.binary(max_size=300), st.booleans(), st.booleans())
def test_whatever_the_bytes_only_the_one_error_comes_out(octets, greeted, starttls):
    ran([b"220 hello\r\n" * greeted, octets], starttls=starttls)


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"", b"2" * 1000),
        (b"", b"220-x\r\n"),
        (b"220 hello\r\n", b"2" * 1000),
        (b"220 hello\r\n", b"250-" + b"x" * 1000 + b"\r\n"),
        (b"220 hello\r\n250 r\r\n", b"250 x\r\n"),
    ],
)
def test_what_is_held_stays_within_bounds(first, more):
    core = Client(starttls=False, hostname="proxy")
    for chunk in [first, *[more] * 400]:
        core.receive_data(chunk)
        with suppress(RemoteProtocolError):
            core.next_event()
        assert core.buffered <= LINE_LIMIT + len(chunk)
        assert len(core._reader._lines) <= LINES_LIMIT


def login_heard(replay, *, mechanisms=("PLAIN",)):
    """Let our two sides talk to each other until the login is heard."""
    store = Server(offer=Offer(mechanisms, plaintext=True, starttls=False), hostname="store", timestamp=b"<1@store>")
    store.greet()
    core = Client(starttls=False, hostname="proxy")
    while True:
        core.receive_data(store.data_to_send())
        if core.next_event() == Ready():
            core.log_in(replay)
        store.receive_data(core.data_to_send())
        event = store.next_event()
        if isinstance(event, Login):
            assert store.buffered == 0
            assert event.greeting == "proxy"
            return event.credentials


@settings(max_examples=200)
@given(user_names, secrets, st.sampled_from([None, ORIGIN]))
def test_what_we_say_to_a_store_is_what_we_hear_from_a_client(user, secret, origin):
    assert login_heard(Replay(user, secret, origin=origin)) == Credentials("PLAIN", user, secret)


@given(user_names, secrets)
def test_the_mechanism_login_is_heard_likewise(user, secret):
    assert login_heard(Replay(user, secret), mechanisms=("LOGIN",)) == Credentials("LOGIN", user, secret)


@given(user_names, st.from_regex(r"\A[A-Za-z0-9._~+/-]{1,300}=?\Z").map(str.encode))
def test_tokens_are_heard_likewise(user, token):
    heard = login_heard(Replay(user, token, mechanism="XOAUTH2"), mechanisms=("XOAUTH2",))
    assert heard == Credentials("XOAUTH2", user, token)


@given(user_names, secrets, user_names)
def test_acting_as_somebody_else_is_heard_likewise(user, secret, authzid):
    heard = login_heard(Replay(user, secret, authzid))
    assert heard == Credentials("PLAIN", user, secret, "" if authzid == user else authzid)


@pytest.mark.parametrize("secret", [b"\xff" * 5000, b"a" * 40_000, b"\r\n.\r\n" * 100, b" " * 200, b""])
def test_long_and_odd_passwords_survive(secret):
    assert login_heard(Replay("user", secret)).secret == secret


names = st.text(st.characters(codec="utf-8"), max_size=255)


@given(names, user_names)
def test_whoever_came_is_told_in_one_line_of_printable_characters(greeting, user):
    core = Client(starttls=False, hostname="proxy")
    core.receive_data(b"220 x\r\n250-r\r\n250 XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n")
    while core.next_event() is None:
        pass
    core.data_to_send()
    origin = Origin("s1", Endpoint("2001:db8::7", 1), Endpoint("192.0.2.1", 587), ttl=5, greeting=greeting, user=user)
    core.log_in(Replay("user", b"x", origin=origin))
    said = core.data_to_send()
    assert said.endswith(b"\r\n")
    assert all(0x20 <= octet < 0x7F for octet in said[:-2])
    assert said.count(b" ") == 8
    assert said.count(b"=") == 8


def test_a_relay_that_counts_proxies_is_told_how_many_more_there_may_be_and_the_session():
    core = Client(starttls=False, hostname="proxy")
    core.receive_data(b"220 x\r\n250-r\r\n250 XCLIENT ADDR LOGIN TTL SESSION\r\n")
    while core.next_event() is None:
        pass
    core.data_to_send()
    core.log_in(Replay("user", b"x", origin=ORIGIN))
    assert core.data_to_send() == b"XCLIENT ADDR=192.0.2.7 LOGIN=u SESSION=s1 TTL=5\r\n"
