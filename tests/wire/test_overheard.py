"""An onlooker sees a conversation, and no secret of it."""

import base64
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.errors import RemoteProtocolError
from mmp.model import Endpoint, Origin, Refusal, Replay
from mmp.wire.events import Challenge, LoggedIn, Login
from mmp.wire.imap.client import Client as IMAPClient
from mmp.wire.imap.server import Server as IMAPServer
from mmp.wire.managesieve.client import Client as ManageSieveClient
from mmp.wire.overheard import LONGEST, Lines, command, without
from mmp.wire.pop3.client import Client as POP3Client
from mmp.wire.submission.client import Client as SubmissionClient
from mmp.wire.toward_client import State
from tests.wire.server_side import OPEN, answer, greeted, introduced, logging_in, named
from tests.wire.servers import SERVERS

each_side = pytest.mark.parametrize("side", SERVERS, ids=named)
ORIGIN = Origin("s1", Endpoint("192.0.2.1", 4711), Endpoint("198.51.100.1", 143), 4)


class Onlooker:
    """Keeps what it sees, and who has said it."""

    def __init__(self):
        self.seen = []

    def heard(self, text):
        self.seen.append(b"> " + text.rstrip(b"\r\n"))

    def said(self, text):
        self.seen.append(b"< " + text.rstrip(b"\r\n"))

    def everything(self):
        return b"\n".join(self.seen)


def watched(core):
    onlooker = Onlooker()
    core.overhear(onlooker)
    return onlooker


def cut_up(data, octets):
    """Return the octets in pieces."""
    ends = sorted({*data.draw(st.lists(st.integers(0, len(octets)), max_size=8)), 0, len(octets)})
    return [octets[start:end] for start, end in pairwise(ends)]


def heard_of(side, octets, chunks=None):
    """Return what is seen when a client sends these octets, ready to log in."""
    core = introduced(side)
    onlooker = watched(core)
    for chunk in chunks or [octets]:
        core.receive_data(chunk)
        try:
            while (event := core.next_event()) is not None:
                answer(side, core, event)
        except RemoteProtocolError:
            break
    return onlooker.everything()


# The client


@pytest.mark.parametrize(
    ("side", "commands"),
    [(side, said) for side in SERVERS for said in (*side.squeamish, *side.squeamish_unfinished)],
    ids=named,
)
def test_a_password_is_not_seen_however_it_is_said(side, commands):
    for chunks in ([commands], [commands[:9], commands[9:]], [bytes([each]) for each in commands]):
        seen = heard_of(side, commands, chunks)
        assert b"squeamish" not in seen
        assert b"c3F1ZWFtaXNo" not in seen


@each_side
def test_a_password_in_a_pipelined_line_is_not_seen(side):
    seen = heard_of(side, side.noop + side.login(b"hunter2-a") + side.login(b"hunter2-b") + side.later)
    assert b"hunter2" not in seen
    assert b"NOOP" in seen


@each_side
def test_a_response_that_is_given_before_it_is_asked_for_is_not_seen(side):
    response = base64.b64encode(b"\0user\0hunter2")
    seen = heard_of(side, side.exchange + response + b"\r\n" + side.noop)
    assert response not in seen
    assert b"> *** (a response of SASL's)" in seen


@each_side
def test_what_is_no_command_is_not_seen_for_it_may_be_a_password_at_the_wrong_prompt(side):
    for line in (b"hunter2\r\n", b"hunter2 x\r\n", b"x hunter2\r\n", b"hunter2 NOOP\r\n"):
        seen = heard_of(side, side.noop + line)
        assert b"hunter2" not in seen.lower()


@each_side
def test_the_words_of_the_store_are_not_seen_a_second_time(side):
    core = logging_in(side)
    onlooker = watched(core)
    core.accept(LoggedIn((), b"welcome hunter2", b""))
    assert b"hunter2" not in onlooker.everything()
    assert b"hunter2" in core.data_to_send()


@each_side
def test_who_does_not_look_on_costs_nothing_and_changes_nothing(side):
    commands = side.noop + side.login(b"secret12") + side.later
    alone, seen = greeted(side), greeted(side)
    watched(seen)
    said = []
    for core in (alone, seen):
        core.receive_data(side.prelude + commands)
        while (event := core.next_event()) is not None:
            answer(side, core, event)
        said.append(core.data_to_send())
    assert said[0] == said[1]


@given(st.sampled_from(SERVERS), st.from_regex(rb"[A-Za-z0-9]{8,12}", fullmatch=True), st.data())
def test_nothing_of_a_login_is_seen_in_whatever_chunks_it_comes(side, secret, data):
    octets = side.login(b"Zz" + secret)
    seen = heard_of(side, octets, cut_up(data, octets))
    assert b"Zz" + secret not in seen
    assert base64.b64encode(secret)[:8] not in seen


def test_a_transcript_shows_what_a_login_was_like():
    core = IMAPServer(offer=OPEN, hostname="mail.example.com", timestamp=b"")
    onlooker = watched(core)
    core.greet()
    core.receive_data(b'a1 ID ("name" "x")\r\na2 LOGIN {5}\r\n')
    core.next_event()
    core.receive_data(b"alice {7}\r\n")
    core.next_event()
    core.receive_data(b"hunter2\r\n")
    assert isinstance(core.next_event(), Login)
    core.refuse(Refusal.BAD_CREDENTIALS)
    core.receive_data(b"a3 AUTHENTICATE plain\r\n*\r\na4 LOGOUT\r\n")
    core.next_event()
    assert [line.decode() for line in onlooker.seen] == [
        "< * OK [CAPABILITY IMAP4rev1 SASL-IR ID LITERAL+ AUTH=PLAIN] mail.example.com ready",
        "> ID ***",
        '< * ID ("name" "mmp")',
        "< TAG OK ID completed",
        "> LOGIN ***",
        "< + Go on",
        "< + Go on",
        "< TAG NO [AUTHENTICATIONFAILED] User name or password is wrong",
        "> AUTHENTICATE PLAIN",
        "< *** (a challenge of SASL's)",
        "> *** (a response of SASL's)",
        "< TAG BAD Authentication cancelled",
        "> LOGOUT",
        "< * BYE Logging out",
        "< TAG OK LOGOUT completed",
    ]
    assert core._talk.state is State.ENDED


@pytest.mark.parametrize(
    ("name", "argument", "shown"),
    [
        (b"AUTH", b" PLAIN AGEAYg==\r\n", b"AUTH PLAIN ***"),
        (b"AUTHENTICATE", b' "plain" "AGEAYg=="\r\n', b"AUTHENTICATE PLAIN ***"),
        (b"AUTH", b" hunter2\r\n", b"AUTH ***"),
        (b"AUTH", b" hunter2 PLAIN\r\n", b"AUTH ***"),
        (b"EHLO", b" pc.example.com\r\n", b"EHLO pc.example.com"),
        (b"EHLO", b" my password\r\n", b"EHLO ***"),
        (b"USER", b" alice\r\n", b"USER ***"),
        (b"NOOP", b"\r\n", b"NOOP"),
        (b"", b" NOOP\r\n", b"***"),
    ],
)
def test_of_a_command_little_more_than_its_name_is_seen(name, argument, shown):
    assert command(name, argument) == shown


# The store


def imap():
    core = IMAPClient(starttls=False)
    return core, b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 ID SASL-IR] hi\r\n", b"m2 NO "


def pop3():
    return POP3Client(starttls=False), b"+OK hi\r\n+OK\r\nSASL PLAIN XOAUTH2\r\nUSER\r\n.\r\n", b"-ERR "


def submission():
    core = SubmissionClient(starttls=False, hostname="mail.example.com")
    return core, b"220 hi\r\n250-hi\r\n250 AUTH PLAIN LOGIN XOAUTH2\r\n", b"535 5.7.8 "


def managesieve():
    return ManageSieveClient(starttls=False), b'"SIEVE" "x"\r\n"SASL" "PLAIN XOAUTH2"\r\nOK\r\n', b"NO "


each_store = pytest.mark.parametrize("store", [imap, pop3, submission, managesieve], ids=lambda store: store.__name__)


def logged_in_to(store, replay):
    """Return a core that has said a login, what is seen of it, and how the store refuses."""
    core, greeting, refusal = store()
    onlooker = watched(core)
    for line in greeting.splitlines(keepends=True):
        core.receive_data(line)
        core.next_event()
        core.data_to_send()
    core.log_in(replay)
    core.data_to_send()
    return core, onlooker, refusal


@each_store
@pytest.mark.parametrize("origin", [None, ORIGIN], ids=["unsaid", "origin"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "XOAUTH2"])
def test_what_we_say_to_log_in_is_not_seen(store, mechanism, origin):
    core, onlooker, _ = logged_in_to(store, Replay("user", b"hunter2", mechanism=mechanism, origin=origin))
    core.receive_data(b"+OK\r\n" if store is pop3 else b"")
    core.next_event()
    seen = onlooker.everything()
    assert b"hunter2" not in seen
    assert base64.b64encode(b"\0user\0hunter2") not in seen
    assert b"***" in seen


def test_a_password_that_looks_like_a_command_is_not_seen():
    core, onlooker, _ = logged_in_to(pop3, Replay("user", b"QUIT PLAIN"))
    assert b"QUIT" not in onlooker.everything()
    assert b"< AUTH PLAIN ***" in onlooker.seen


def test_a_password_that_goes_as_a_literal_is_not_seen():
    core = IMAPClient(starttls=False)
    onlooker = watched(core)
    core.receive_data(b"* OK [CAPABILITY IMAP4rev1] hi\r\n")
    core.next_event()
    core.log_in(Replay("user", b"PASS \xff word"))
    core.receive_data(b"+ go on\r\n")
    core.next_event()
    assert b"word" not in onlooker.everything()
    assert b"PASS" not in onlooker.everything()
    assert onlooker.seen[1].startswith(b"< m1 LOGIN ***")


@each_store
def test_a_store_that_repeats_the_password_is_not_quoted(store):
    secret = b"squeamish ossifrage"
    core, onlooker, refusal = logged_in_to(store, Replay("user", secret))
    for octets in (
        refusal + b'"' + secret + b'"\r\n',
        refusal + b"squeamish\r\n" + refusal + b"ossifrage\r\n",
        refusal + base64.b64encode(secret) + base64.b64encode(b"\0user\0" + secret) + b"\r\n",
        refusal + b"x" * LONGEST + secret + b"\r\n",
        b"x" * 3 * LONGEST + secret,
        b"\r\n",
        refusal + b"{21}\r\n" + b"\xff\0" + secret[::-1] + b"\r\n",
    ):
        for octet in octets:
            core.receive_data(bytes([octet]))
    seen = onlooker.everything()
    assert b"squeamish" not in seen
    assert b"ossifrage" not in seen
    assert secret[::-1] not in seen
    assert base64.b64encode(secret) not in seen


@pytest.mark.parametrize(
    ("store", "challenge"),
    [
        (imap, b"+ Y2hhbGxlbmdl\r\n"),
        (pop3, b"+ Y2hhbGxlbmdl\r\n"),
        (submission, b"334 Y2hhbGxlbmdl\r\n"),
        (managesieve, b'"Y2hhbGxlbmdl"\r\n'),
        (managesieve, b"{12}\r\nY2hhbGxlbmdl\r\n"),
    ],
)
def test_an_exchange_with_a_store_is_not_seen(store, challenge):
    core, onlooker, _ = logged_in_to(store, Replay("user", b"token", mechanism="XOAUTH2"))
    core.receive_data(challenge)
    assert isinstance(core.next_event(), Challenge)
    core.respond(b"response")
    seen = onlooker.everything()
    assert b"Y2hhbGxlbmdl" not in seen
    assert base64.b64encode(b"response") not in seen
    assert seen.endswith(b"< *** (a response of SASL's)")


def test_the_last_word_of_an_exchange_is_not_seen():
    assert list(Lines().shown(b'OK (SASL "dj1zaWduYXR1cmU=") "done"\r\n', (b"secret",))) == [b'OK (SASL ***) "done"']


@given(st.binary(max_size=200), st.data())
def test_a_store_is_shown_alike_in_whatever_chunks_it_speaks(octets, data):
    lines = Lines()
    seen = [line for chunk in cut_up(data, octets) for line in lines.shown(chunk, (b"\x01",))]
    assert seen == list(Lines().shown(octets, (b"\x01",)))


def test_an_empty_secret_hides_nothing():
    assert without(b"all of it", (b"",)) == b"all of it"


def test_a_secret_is_hidden_as_it_is_quoted_and_in_base64():
    secret = b'odd "quoted" \\back\\ *'
    for written in (secret, rb"odd \"quoted\" \\back\\ *", base64.b64encode(secret)):
        assert without(b"<" + written + b">", (secret,)) == b"<***>"
    assert without(rb"\"quoted\" and \\back\\", (secret,)) == b"*** and ***"
