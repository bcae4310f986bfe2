"""Every SASL exchange that makes no sense, by each mechanism in each protocol: refused, bounded, and soon over with."""

from base64 import b64encode
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmp.errors import RemoteProtocolError
from mmp.model import Offer, Refusal
from mmp.wire.events import Login, Response
from mmp.wire.sasl import MECHANISMS
from mmp.wire.toward_client import ERRORS_LIMIT, State
from tests.wire.server_side import introduced, named
from tests.wire.servers import SERVERS

EVERYTHING = Offer(mechanisms=tuple(MECHANISMS), plaintext=True, starttls=False)
REFUSED = {"imap": (b"a BAD ",), "pop3": (b"-ERR",), "submission": (b"501 ",), "managesieve": (b"NO ",)}
"""How the answer begins to what breaks a mechanism."""
NO_BASE64 = [b"!!!!", b"a", b"YQ", b"YQ=", b"Y Q==", b"YQ==YQ==", b"YQ==\t", b"\xff\xfe", b"YW=JjZA=="]
OCTETS_LIMIT = 70_000
"""Octets that a core may hold of an exchange, beside the last chunk."""
FIRST_RESPONSES = {
    "PLAIN": [b"", b"u", b"\0u", b"\0\0s", b"\0u\0s\0x", b"\xff\0u\0s", b"\0\xff\0s", b"\0u\n\0s"],
    "LOGIN": [b"", b"\xff", b"u\0", b"u\r\nx"],
    "XOAUTH2": [
        b"",
        b"user=u",
        b"user=u\x01auth=Bearer t",
        b"auth=Bearer t\x01\x01",
        b"user=u\x01auth=Basic t\x01\x01",
    ],
    "OAUTHBEARER": [
        b"",
        b"n,,",
        b"n,a=u,\x01\x01",
        b"n,a=u,\x01auth=Basic t\x01\x01",
        b"p=x,a=u,\x01auth=Bearer t\x01\x01",
    ],
    "SCRAM-SHA-256": [
        b"",
        b"n,,",
        b"n,,n=u",
        b"p=tls-unique,,n=u,r=x",
        b"n,,m=x,n=u,r=x",
        b"n,,n=\xff,r=x",
        b"n,,n=u,r=",
    ],
    "CRAM-MD5": [b"", b"u", b"u ", b" 0123", b"u xyz"],
    "EXTERNAL": [b"\xff", b"u\0", b"u\r\n", b"u" * 2000],
}
"""What is good base64 and breaks the mechanism."""
FIRST_RESPONSES["SCRAM-SHA-1"] = FIRST_RESPONSES["SCRAM-SHA-256"]

each_side = pytest.mark.parametrize("side", SERVERS, ids=named)
each_mechanism = pytest.mark.parametrize("mechanism", MECHANISMS)


def beginning(side, mechanism, initial=None):
    """Return the command that begins an exchange, perhaps with an initial response as it stands in the line."""
    name = mechanism.encode()
    if side.name == "managesieve":
        return b'AUTHENTICATE "%b"%b\r\n' % (name, b"" if initial is None else b' "%b"' % initial)
    command = b"a AUTHENTICATE " if side.name == "imap" else b"AUTH "
    return command + name + (b"" if initial is None else b" " + initial) + b"\r\n"


def line(side, octets):
    """Return a response as it stands in a line."""
    return b'"%b"\r\n' % octets if side.name == "managesieve" else octets + b"\r\n"


def core_for(side):
    return introduced(side, EVERYTHING)


def broken(side, core):
    """See that the exchange has ended in one refusal, and that the client may go on."""
    assert core.next_event() is None
    said = core.data_to_send()
    assert said.startswith(REFUSED[side.name]), said
    assert said.count(b"\r\n") == 1
    assert core._talk.state is State.READY
    core.receive_data(side.noop)
    assert core.next_event() is None
    assert core.data_to_send() == side.noop_ok


@each_side
@each_mechanism
def test_what_is_no_base64_ends_an_exchange(side, mechanism):
    for octets in NO_BASE64:
        core = core_for(side)
        core.receive_data(beginning(side, mechanism) + line(side, octets))
        assert core.next_event() is None
        _, _, said = core.data_to_send().partition(b"\r\n")
        assert said.startswith(REFUSED[side.name]), (octets, said)
        assert core._talk.state is State.READY


@each_side
@each_mechanism
def test_what_is_no_base64_is_no_initial_response(side, mechanism):
    for octets in NO_BASE64:
        core = core_for(side)
        core.receive_data(beginning(side, mechanism, octets))
        broken(side, core)


@each_side
@each_mechanism
def test_what_breaks_a_mechanism_ends_its_exchange(side, mechanism):
    for octets in FIRST_RESPONSES[mechanism]:
        core = core_for(side)
        core.receive_data(beginning(side, mechanism))
        assert core.next_event() is None
        core.data_to_send()
        core.receive_data(line(side, b64encode(octets)))
        broken(side, core)


@each_side
@each_mechanism
def test_an_exchange_that_is_given_up_is_over(side, mechanism):
    core = core_for(side)
    core.receive_data(beginning(side, mechanism))
    assert core.next_event() is None
    core.data_to_send()
    core.receive_data(line(side, b"*"))
    broken(side, core)


@each_side
@pytest.mark.parametrize("octets", [*NO_BASE64, b"*"])
def test_what_breaks_an_exchange_with_whoever_judges_it_is_told_to_them_as_given_up(side, octets):
    core = core_for(side)
    core.receive_data(beginning(side, "SCRAM-SHA-256", b64encode(b"n,,n=u,r=x")))
    assert isinstance(core.next_event(), Login)
    core.challenge(b"r=xy,s=eA==,i=4096")
    core.receive_data(line(side, octets) + side.noop)
    assert core.next_event() == Response(None)
    core.data_to_send()
    core.refuse(Refusal.CANCELLED)
    assert core.next_event() is None
    assert core.data_to_send().endswith(side.noop_ok)


@each_side
@each_mechanism
def test_a_response_without_end_is_not_kept(side, mechanism):
    core = core_for(side)
    core.receive_data(beginning(side, mechanism))
    core.next_event()
    for _ in range(1000):
        core.receive_data(b"A" * 1000)
        with suppress(RemoteProtocolError):
            core.next_event()
        assert core.buffered <= OCTETS_LIMIT
    assert core._talk.state is State.ENDED
    assert core.buffered == 0


@each_side
def test_who_breaks_one_after_the_other_is_let_go(side):
    core = core_for(side)
    with pytest.raises(RemoteProtocolError, match="errors"):
        for _ in range(ERRORS_LIMIT):
            core.receive_data(beginning(side, "PLAIN", b"!!!!"))
            assert core.next_event() is None
    assert core._talk.state is State.ENDED


messages = st.one_of(
    st.binary(max_size=60).map(b64encode),
    st.sampled_from([octets for known in FIRST_RESPONSES.values() for octets in known]).map(b64encode),
    st.sampled_from([*NO_BASE64, b"", b"=", b"*", b"AHUAcw==", b"dQ=="]),
    st.binary(max_size=30),
)


@each_side
@each_mechanism
def test_whatever_is_said_an_exchange_ends_in_a_login_or_a_refusal(side, mechanism):
    @settings(max_examples=60, deadline=None)
    @given(st.one_of(st.none(), messages), st.lists(messages, max_size=4))
    def holds(initial, responses):
        core = core_for(side)
        core.receive_data(beginning(side, mechanism, initial) + b"".join(line(side, each) for each in responses))
        logins = 0
        with suppress(RemoteProtocolError):
            while (event := core.next_event()) is not None:
                logins += isinstance(event, Login)
                if isinstance(event, Login | Response):
                    core.refuse(Refusal.BAD_CREDENTIALS)
        assert core._talk.state in {State.READY, State.AUTHENTICATING, State.ENDED}
        assert core.buffered <= OCTETS_LIMIT
        assert logins <= 1 + len(responses)

    holds()
