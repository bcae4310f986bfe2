"""What a logged-in client may say to a relay that trusts us, and what must not pass."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmp.wire.submission.guard import LINE_LIMIT, REFUSED_LIMIT, UNANSWERED_LIMIT, Guard, guard
from tests.strategies import cut

XCLIENT = b"XCLIENT ADDR=127.0.0.1 LOGIN=root\r\n"
REFUSED = b"502 5.5.1 Not available here\r\n"
OK = b"250 2.0.0 Ok\r\n"
GO = b"354 End data with <CR><LF>.<CR><LF>\r\n"


class Relay:
    """Answers what comes as Postfix does, as strictly as the RFCs allow, and remembers commands and messages."""

    def __init__(self, invites=True):
        self.invites = invites
        self.received = b""
        self.commands = []
        self.messages = []

    def takes(self, octets):
        """Return the answers to what came."""
        self.received += octets
        answers = b""
        while (step := self._step()) is not None:
            answers += step
        return answers

    def _step(self):
        line, end, rest = self.received.partition(b"\n")
        if not end:
            return None
        words = line.upper().split()
        if words[:1] == [b"BDAT"]:
            size = int(words[1])
            if len(rest) < size:
                return None
            self.messages.append(rest[:size])
            self.received = rest[size:]
            return OK
        if self.commands[-1:] == [b"DATA"] and self.invites:
            before, end, rest = (b"\r\n" + self.received).partition(b"\r\n.\r\n")
            if not end:
                return None
            self.messages.append(before[2:] + end[:2] if before else b"")
            self.commands.append(b"(message)")
            self.received = rest
            return OK
        self.received = rest
        self.commands.append(line.strip())
        if words[:1] == [b"DATA"]:
            return GO if self.invites else b"503 5.5.1 no recipients\r\n"
        return b"250-one\r\n250 two\r\n" if words[:1] == [b"EHLO"] else OK


def conversed(chunks, relay=None, watched=None):
    """Let a client send these chunks through a guard; return the guard, the relay and what the client heard.

    The relay answers at once, and as soon as it may the client sends on.
    """
    watched = watched or guard([b"XCLIENT ADDR", b"CHUNKING"])
    relay = relay or Relay()
    heard = b""
    for chunk in chunks:
        watched.from_client(chunk)
        while octets := watched.for_store():
            watched.from_store(relay.takes(octets))
        heard += watched.for_client()
    return watched, relay, heard


@pytest.mark.parametrize(
    ("capabilities", "needed"),
    [
        ([b"XCLIENT NAME ADDR"], True),
        ([b"SIZE", b"xforward NAME"], True),
        ([b"XCLIENT"], True),
        ([b"SIZE 5", b"AUTH PLAIN"], False),
        ([b"X-XCLIENT", b"AUTH XCLIENT"], False),
        ([], False),
    ],
)
def test_it_is_needed_where_the_relay_offers_a_standing(capabilities, needed):
    assert (guard(capabilities) is not None) is needed


def test_ordinary_mail_passes_octet_by_octet():
    said = (
        b"EHLO client\r\nMAIL FROM:<a@example.com> SIZE=5\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"
        b"Subject: x\r\n\r\n..stuffed\r\n.x\r\nbare\nlf\rcr \0\xff\r\n.\r\nMAIL FROM:<a>\r\nBDAT 5\r\n\r\n.\r\n"
        b"BDAT 0 LAST\r\nRSET\r\nNOOP x\r\nVRFY a\r\nQUIT\r\n"
    )
    watched, relay, heard = conversed([said])
    assert relay.commands[-4:] == [b"RSET", b"NOOP x", b"VRFY a", b"QUIT"]
    assert relay.messages == [b"Subject: x\r\n\r\n..stuffed\r\n.x\r\nbare\nlf\rcr \0\xff\r\n", b"\r\n.\r\n", b""]
    assert heard == b"250-one\r\n250 two\r\n" + OK * 2 + GO + OK * 8
    assert not watched.ended
    passing = Guard(chunking=True)
    passing.from_client(said)
    sent = passing.for_store()
    assert sent.endswith(b"DATA\r\n")
    passing.from_store(OK * 3 + GO)
    assert sent + passing.for_store() == said


@pytest.mark.parametrize(
    "command",
    [
        XCLIENT,
        b"xclient addr=127.0.0.1\r\n",
        b"XCLIENT\r\n",
        b"XFORWARD NAME=x\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
        b"XPEHLO x\r\n",
        b"STARTTLS\r\n",
        b"AUTH PLAIN AHUAcA==\r\n",
        b"TURN\r\n",
        b"ATRN example.com\r\n",
        # What Postfix takes for XCLIENT, too.
        b" XCLIENT ADDR=127.0.0.1\r\n",
        b"\tXCLIENT ADDR=127.0.0.1\r\n",
        b"XCLIENT\tADDR=127.0.0.1\r\n",
        b"XCLIENT ADDR=127.0.0.1\n",
        b'"XCLIENT" ADDR=127.0.0.1\r\n',
        b"XCL\\IENT ADDR=127.0.0.1\r\n",
        b"XCLIENT\x0bADDR=127.0.0.1\r\n",
        b"XCLIENT\r ADDR=127.0.0.1\r\n",
        b"NOOP\rXCLIENT ADDR=127.0.0.1\r\n",
        b"NOOP\0\r\n",
        b"\r\n",
        b"\n",
    ],
)
def test_what_uses_our_standing_is_answered_here_and_the_next_command_passes(command):
    _, relay, heard = conversed([b"NOOP 1\r\n" + command + b"NOOP 2\r\n"])
    assert relay.commands == [b"NOOP 1", b"NOOP 2"]
    first, second, third = heard.splitlines(keepends=True)
    assert (first, third) == (OK, OK)
    assert second.startswith(b"50")


def test_a_refusal_has_its_place_among_pipelined_replies():
    watched = Guard(chunking=True)
    watched.from_client(b"MAIL FROM:<a>\r\n" + XCLIENT + b"RCPT TO:<b>\r\n" + XCLIENT + XCLIENT + b"NOOP\r\n")
    assert watched.for_store() == b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nNOOP\r\n"
    assert watched.for_client() == b""
    watched.from_store(b"250-2.1.0 long\r\n25")
    assert watched.for_client() == b"250-2.1.0 long\r\n25"
    watched.from_store(b"0 2.1.0 Ok\r\n550 5.1.1 no\r\n")
    assert watched.for_client() == b"0 2.1.0 Ok\r\n" + REFUSED + b"550 5.1.1 no\r\n" + REFUSED * 2
    watched.from_store(OK)
    assert watched.for_client() == OK
    watched.from_client(XCLIENT)
    assert watched.for_client() == REFUSED


def test_text_that_looks_like_a_command_is_left_alone():
    body = XCLIENT + b"STARTTLS\r\nDATA\r\nBDAT 5\r\n"
    said = b"DATA\r\n" + body + b".\r\nBDAT %d LAST\r\n" % len(body) + body + b"NOOP\r\n"
    _, relay, heard = conversed([said])
    assert relay.messages == [body, body]
    assert heard == GO + OK * 3


def test_behind_a_data_that_is_refused_text_is_commands():
    _, relay, heard = conversed([b"DATA\r\n" + XCLIENT + b"NOOP\r\n.\r\n"], Relay(invites=False))
    assert relay.commands == [b"DATA", b"NOOP"]
    assert heard.startswith(b"503 5.5.1 no recipients\r\n" + REFUSED + OK + b"500 ")


def test_nothing_behind_data_passes_before_the_relay_has_answered():
    watched = Guard(chunking=True)
    watched.from_client(b"NOOP\r\nDATA\r\n" + XCLIENT + b".\r\n")
    assert watched.for_store() == b"NOOP\r\nDATA\r\n"
    assert watched.holding
    watched.from_store(OK)
    assert watched.holding
    assert watched.for_store() == b""
    watched.from_store(GO)
    assert not watched.holding
    assert watched.for_store() == XCLIENT + b".\r\n"


def test_an_empty_message_ends_at_once():
    _, relay, heard = conversed([b"DATA\r\n.\r\n" + XCLIENT])
    assert relay.messages == [b""]
    assert heard == GO + OK + REFUSED


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r\r\n", b"\r.\r\n", b"\n.\rX", b"\r\n.\rX"]
)
@pytest.mark.parametrize("before", [b"", b"text"])
def test_an_end_of_message_that_readers_disagree_about_ends_the_connection(end, before):
    for chunks in (
        [b"DATA\r\n" + before + end + XCLIENT + b".\r\n"],
        cut(b"DATA\r\n" + before + end + XCLIENT, range(99)),
    ):
        watched, relay, heard = conversed(chunks)
        assert watched.ended
        assert watched.holding
        assert heard.startswith(GO + b"521 5.5.2 ")
        assert heard.count(b"\r\n") == 2
        assert relay.messages == []
        assert XCLIENT.strip() not in relay.received
        watched.from_client(XCLIENT)
        assert watched.for_store() == watched.for_client() == b""


@pytest.mark.parametrize("first", [b".\n", b".\rX"])
def test_so_does_one_at_the_very_beginning(first):
    watched, relay, _ = conversed([b"DATA\r\n" + first + XCLIENT])
    assert watched.ended
    assert relay.messages == []


@pytest.mark.parametrize(
    "body", [b"\r\r\n", b"a\rb\n", b"..\r\n", b". \r\n", b".\0\r\n", b"\n\n..\n", b"x.\r\n", b"\n.x\n"]
)
def test_other_odd_text_passes(body):
    watched, relay, heard = conversed([b"DATA\r\n" + body + b"\r\n.\r\nNOOP\r\n"])
    assert not watched.ended
    assert relay.messages == [body + b"\r\n"]
    assert heard == GO + OK * 2


@pytest.mark.parametrize(
    "command",
    [
        *(b"BDAT%b\r\n" % rest for rest in (b"", b" x", b" -1", b"  5", b" 5 FIRST", b" 5 ", b" 0x5", b" 5 LAST ")),
        b"BDAT " + b"9" * 16 + b"\r\n",
    ],
)
def test_a_chunk_of_unclear_size_ends_the_connection(command):
    watched, relay, heard = conversed([b"NOOP\r\n" + command + XCLIENT])
    assert watched.ended
    assert heard.startswith(OK + b"501 5.5.4 ")
    assert relay.commands == [b"NOOP"]


def test_to_a_relay_without_bdat_no_chunk_passes():
    watched = guard([b"XCLIENT ADDR"])
    _, relay, heard = conversed([b"BDAT %d LAST\r\n" % len(XCLIENT) + XCLIENT + b"NOOP\r\n"], None, watched)
    assert relay.commands == [b"NOOP"]
    assert heard == b"502 5.5.1 The relay takes no BDAT\r\n" + OK


def test_a_chunk_of_many_octets_is_not_kept():
    watched = Guard(chunking=True)
    watched.from_client(b"BDAT 100000000\r\n")
    for _ in range(100):
        watched.from_client(b"x" * 1_000_000)
        assert len(watched.for_store()) >= 1_000_000
    watched.from_client(XCLIENT)
    watched.from_store(OK)
    assert watched.for_client() == OK + REFUSED


def test_a_message_is_not_kept():
    watched, relay, _ = conversed([b"DATA\r\n"])
    for _ in range(100):
        watched.from_client(b"x" * 10_000)
        assert watched.for_store() == b"x" * 10_000


def test_a_line_without_end_ends_the_connection():
    watched, relay, heard = conversed([b"NOOP\r\n", *[b"a" * 1000] * 10])
    assert watched.ended
    assert heard == OK + b"500 5.5.2 Line too long\r\n"
    assert len(watched._received) <= LINE_LIMIT


def test_who_insists_is_let_go():
    watched, _, heard = conversed([XCLIENT * 1000])
    assert watched.ended
    assert heard == REFUSED * REFUSED_LIMIT + b"421 4.7.0 Too many commands that are not available\r\n"


def test_a_goodbye_waits_for_its_turn():
    watched = Guard(chunking=True)
    watched.from_client(b"NOOP\r\nBDAT x\r\n")
    assert not watched.ended
    assert watched.holding
    watched.from_store(OK)
    assert watched.ended
    assert watched.for_client().startswith(OK + b"501 ")


def test_very_many_commands_wait_for_answers():
    watched = Guard(chunking=True)
    watched.from_client(b"NOOP\r\n" * (UNANSWERED_LIMIT + 500))
    assert watched.for_store() == b"NOOP\r\n" * UNANSWERED_LIMIT
    assert watched.holding
    watched.from_store(OK * 499)
    assert watched.for_store() == b"NOOP\r\n" * 499
    watched.from_store(OK * UNANSWERED_LIMIT)
    assert watched.for_store() == b"NOOP\r\n"
    assert not watched.holding


def test_what_the_relay_says_unasked_passes():
    watched = Guard(chunking=True)
    watched.from_store(b"421 4.4.2 Timeout\r\n")
    assert watched.for_client() == b"421 4.4.2 Timeout\r\n"
    watched.from_store(b"421-4.3.2 go")
    watched.from_client(XCLIENT)
    assert watched.for_client() == b"421-4.3.2 go"
    watched.from_store(b"ing\r\n421 x\r\n")
    assert watched.for_client() == b"ing\r\n421 x\r\n" + REFUSED


pieces = st.lists(
    st.sampled_from(
        [
            b"NOOP\r\n",
            b"EHLO x\r\n",
            b"DATA\r\n",
            XCLIENT,
            b"xforward\r\n",
            b"BDAT 9\r\n",
            b"BDAT 34 LAST\r\n",
            b"text\r\n",
            b".\r\n",
            b"..\r\n",
            b"\r",
            b"\n",
            b".",
            b"x",
            b" ",
            b"MAIL FROM:<a>\r\n",
        ]
    ),
    max_size=30,
).map(b"".join)


@settings(max_examples=300)
@given(pieces, st.sets(st.integers(0, 300), max_size=20), st.booleans())
def test_chunks_make_no_difference(octets, places, invites):
    whole, cut_up = conversed([octets], Relay(invites)), conversed(cut(octets, places), Relay(invites))
    assert whole[2] == cut_up[2]
    assert (whole[1].commands, whole[1].messages) == (cut_up[1].commands, cut_up[1].messages)
    single = conversed([octets[at : at + 1] for at in range(len(octets))], Relay(invites))
    assert single[2] == whole[2]


@settings(max_examples=300)
@given(st.one_of(pieces, st.binary(max_size=200)), st.booleans())
def test_whatever_is_said_the_relay_hears_no_command_with_our_standing(octets, invites):
    watched, relay, heard = conversed([octets], Relay(invites))
    assert not [command for command in relay.commands if command.upper().startswith((b"XCLIENT", b"XFORWARD"))]
    assert not heard or heard.endswith(b"\r\n")


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_whatever_the_relay_says_reaches_the_client(said):
    watched = Guard(chunking=True)
    watched.from_client(b"NOOP\r\nDATA\r\n")
    heard = b""
    for octets in said:
        watched.from_store(octets)
        heard += watched.for_client()
    assert heard == b"".join(said)
