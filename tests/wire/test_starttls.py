"""Nothing said before TLS counts under TLS, and nothing is said before TLS that needs it: all protocols, both sides."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from attrs import frozen

from mmp.errors import RemoteProtocolError
from mmp.model import Replay
from mmp.wire.events import Login, Ready, StartTLS
from mmp.wire.imap.client import Client as IMAPClient
from mmp.wire.managesieve.client import Client as ManageSieveClient
from mmp.wire.pop3.client import Client as POP3Client
from mmp.wire.submission.client import Client as SubmissionClient
from tests.wire.server_side import CLEAR, OPEN, introduced, named
from tests.wire.servers import SERVERS

each_side = pytest.mark.parametrize("side", SERVERS, ids=named)

# Toward clients


def starting_tls(side, before=b""):
    """Return a core that has agreed to STARTTLS, after a client has said this."""
    core = introduced(side, CLEAR)
    core.receive_data(before)
    assert core.next_event() is None
    core.receive_data(side.starttls)
    assert core.next_event() == StartTLS()
    core.data_to_send()
    return core


@each_side
def test_a_client_that_says_more_behind_starttls_is_let_go(side):
    for behind in (side.noop, side.login(b"secret"), side.starttls, b" ", b"\r\n", b"\x16\x03\x01"):
        core = introduced(side, CLEAR)
        core.receive_data(side.starttls + behind)
        with pytest.raises(RemoteProtocolError, match=r"STARTTLS|STLS"):
            core.next_event()
        assert core.data_to_send() == side.starttls_spoilt
        assert core.next_event() is None
        assert core.buffered == 0


@each_side
def test_what_a_client_says_while_the_handshake_is_to_begin_is_never_heard(side):
    core = starting_tls(side)
    core.receive_data(side.prelude + side.login(b"slipped-in"))
    assert core.next_event() is None
    core.tls_started(OPEN)
    assert core.buffered == 0
    assert core.next_event() is None
    core.data_to_send()
    core.receive_data(side.prelude + side.login(b"secret"))
    assert core.next_event().credentials.secret == b"secret"


@each_side
def test_a_half_given_login_is_over_with_tls(side):
    half = {"imap": b"", "pop3": b"USER slipped-in\r\n", "submission": b"", "managesieve": b""}[side.name]
    rest = {"imap": b"", "pop3": b"PASS secret\r\n", "submission": side.login(b"secret"), "managesieve": b""}[side.name]
    core = starting_tls(side, half)
    core.tls_started(OPEN)
    core.data_to_send()
    core.receive_data(rest)
    assert core.next_event() is None
    assert core.data_to_send().startswith((b"-ERR", b"503") if rest else b"")


@each_side
def test_what_a_client_says_of_itself_before_tls_is_forgotten(side):
    itself = {
        "imap": b'i ID ("x-proxy-ttl" "3")\r\n',
        "pop3": b"XCLIENT TTL=3\r\n",
        "submission": b"EHLO slipped-in.example\r\n",
        "managesieve": b"XCLIENT TTL=3\r\n",
    }[side.name]
    core = starting_tls(side, itself)
    core.tls_started(OPEN)
    core.receive_data(side.prelude + side.login(b"secret"))
    login = core.next_event()
    assert isinstance(login, Login)
    assert login.ttl is None
    assert "slipped-in" not in login.greeting


@each_side
def test_starttls_is_refused_under_tls_and_where_it_is_not_offered(side):
    twice = starting_tls(side)
    twice.tls_started(OPEN)
    never = introduced(side)
    for core in (twice, never):
        core.receive_data(side.prelude)
        assert core.next_event() is None
        core.data_to_send()
        core.receive_data(side.starttls + side.noop)
        assert core.next_event() is None
        refused, _, rest = core.data_to_send().partition(b"\r\n")
        assert refused.startswith((b"a BAD", b"a NO", b"-ERR", b"503", b"NO"))
        assert rest == side.noop_ok


# Toward stores


@frozen(kw_only=True)
class Store:
    """What a store says in one protocol; ``%b`` in its offers is a mechanism."""

    name: str
    core: Callable[..., Any]
    greeting: bytes = b""
    clear: bytes
    """Offers STARTTLS, where we ask for that first."""
    without: bytes
    """Does not, or does not know it."""
    words: tuple[bytes, ...]
    """All that we may say before TLS."""
    agreed: bytes
    refused: bytes
    encrypted: bytes
    """Offers STARTTLS again, which a store should not."""


STORES = (
    Store(
        name="imap",
        core=IMAPClient,
        greeting=b"* OK hello\r\n",
        clear=b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=%b\r\nm1 OK\r\n",
        without=b"* CAPABILITY IMAP4rev1 AUTH=%b\r\nm1 OK\r\n",
        words=(b"m1 CAPABILITY", b"m2 STARTTLS"),
        agreed=b"m2 OK go\r\n",
        refused=b"m2 NO never\r\n",
        encrypted=b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=%b\r\nm3 OK\r\n",
    ),
    Store(
        name="pop3",
        core=POP3Client,
        greeting=b"+OK hello\r\n",
        clear=b"",
        without=b"-ERR not without %b\r\n",
        words=(b"STLS",),
        agreed=b"+OK go\r\n",
        refused=b"-ERR never\r\n",
        encrypted=b"+OK\r\nSTLS\r\nSASL %b\r\n.\r\n",
    ),
    Store(
        name="submission",
        core=partial(SubmissionClient, hostname="proxy"),
        greeting=b"220 hello\r\n",
        clear=b"250-relay\r\n250-STARTTLS\r\n250 AUTH %b\r\n",
        without=b"250-relay\r\n250 AUTH %b\r\n",
        words=(b"EHLO proxy", b"STARTTLS"),
        agreed=b"220 go\r\n",
        refused=b"454 never\r\n",
        encrypted=b"250-relay\r\n250-STARTTLS\r\n250 AUTH %b\r\n",
    ),
    Store(
        name="managesieve",
        core=ManageSieveClient,
        clear=b'"SIEVE" ""\r\n"STARTTLS"\r\n"SASL" "%b"\r\nOK\r\n',
        without=b'"SIEVE" ""\r\n"SASL" "%b"\r\nOK\r\n',
        words=(b"STARTTLS",),
        agreed=b"OK\r\n",
        refused=b'NO "never"\r\n',
        encrypted=b'"SIEVE" ""\r\n"STARTTLS"\r\n"SASL" "%b"\r\nOK\r\n',
    ),
)
each_store = pytest.mark.parametrize("store", STORES, ids=lambda store: store.name)


class Talk:
    """Our conversation with a store."""

    def __init__(self, store, offer):
        self.core = store.core(starttls=True)
        self.said = b""
        self.event = None
        for octets in (store.greeting, offer and offer % b"LOGIN XOAUTH2"):
            if octets:
                self.hears(octets)

    def hears(self, octets):
        """Have the store say something."""
        self.core.receive_data(octets)
        try:
            self.event = self.core.next_event()
        finally:
            self.said += self.core.data_to_send()
        return self.event


@each_store
def test_a_store_without_starttls_hears_nothing_that_needs_it(store):
    core = store.core(starttls=True)
    said = b""
    with pytest.raises(RemoteProtocolError, match=r"STARTTLS|STLS"):
        for octets in (store.greeting, store.without % b"PLAIN"):
            core.receive_data(octets)
            said += core.data_to_send() if core.next_event() is None else b"ready"
            said += core.data_to_send()
    assert set(said.split(b"\r\n")) <= {*store.words, b""}
    assert core.data_to_send() == b""


@each_store
def test_before_tls_nothing_is_said_but_what_asks_for_it(store):
    talk = Talk(store, store.clear)
    assert talk.hears(store.agreed) == StartTLS()
    assert tuple(talk.said.split(b"\r\n")) == (*store.words, b"")


@each_store
def test_a_store_that_refuses_starttls_is_no_use(store):
    talk = Talk(store, store.clear)
    with pytest.raises(RemoteProtocolError, match=r"STARTTLS|STLS"):
        talk.hears(store.refused)
    assert talk.core.data_to_send() == b""


@each_store
def test_a_store_that_says_more_behind_its_agreement_is_no_use(store):
    for behind in (b"x", b"\r\n", store.encrypted % b"PLAIN", b"\x16\x03\x03"):
        talk = Talk(store, store.clear)
        with pytest.raises(RemoteProtocolError, match=r"STARTTLS|STLS"):
            talk.hears(store.agreed + behind)


@each_store
def test_nothing_that_a_store_says_in_clear_is_kept(store):
    talk = Talk(store, store.clear)
    talk.hears(store.agreed)
    assert talk.hears(store.encrypted % b"SLIPPED-IN") is None
    talk.core.tls_started()
    assert (talk.core.capabilities, talk.core.mechanisms, talk.core.buffered) == ((), frozenset(), 0)
    assert talk.hears(store.encrypted % b"PLAIN") == Ready()
    assert talk.core.mechanisms == {b"PLAIN"}


@each_store
def test_starttls_is_asked_for_once_whatever_a_store_offers_under_tls(store):
    talk = Talk(store, store.clear)
    talk.hears(store.agreed)
    talk.core.tls_started()
    assert talk.hears(store.encrypted % b"PLAIN") == Ready()
    talk.core.log_in(Replay("alice", b"secret"))
    said = talk.said + talk.core.data_to_send()
    assert said.count(store.words[-1]) == 1


@pytest.mark.parametrize("starttls", [True, False])
def test_a_store_that_takes_us_for_logged_in_is_no_use(starttls):
    """IMAP alone has such a greeting, behind which there is no STARTTLS (RFC 9051, 7.1.4)."""
    core = IMAPClient(starttls=starttls)
    core.receive_data(b"* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN] hello\r\n")
    with pytest.raises(RemoteProtocolError, match="PREAUTH"):
        core.next_event()
    assert core.data_to_send() == b""
