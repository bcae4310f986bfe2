"""What a logged-in client may say to a relay that trusts us, and what must not pass."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmp.errors import RemoteProtocolError
from mmp.wire.events import LoggedIn
from mmp.wire.submission.guard import LINE_LIMIT, REFUSED_LIMIT, UNANSWERED_LIMIT, Guard, guard
from tests.strategies import cut

XCLIENT = b"XCLIENT ADDR=127.0.0.1 LOGIN=root\r\n"
REFUSED = b"502 5.5.1 Not available here\r\n"
OUT_OF_STEP = b"421 4.3.0 The relay is out of step\r\n"
NO_CHUNKS = b"502 5.5.1 No chunks here, but DATA\r\n"
OK = b"250 2.0.0 Ok\r\n"
GO = b"354 End data with <CR><LF>.<CR><LF>\r\n"


class Relay:
    """Answers what comes as Postfix does, as strictly as the RFCs allow, and remembers commands and messages.

    What stands behind BDAT it takes for commands, as Exim does after a mistake.
    """

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


def made(*capabilities):
    return guard(LoggedIn(capabilities, b"", b""))


def conversed(octets, relay=None, watched=None, places=()):
    """Let a client say this through a guard; return whether it was let go, the relay, and what the client heard.

    It is cut at these places. The relay answers at once.
    """
    watched = watched or made(b"XCLIENT ADDR", b"CHUNKING")
    relay = relay or Relay()
    heard = b""
    for chunk in cut(octets, places):
        try:
            waited = True
            while waited:
                passed, chunk = watched.from_client(chunk), b""  # noqa: PLW2901 - its rest, if it was held back
                heard += watched.answers()
                waited = watched.waits
                heard += watched.from_store(relay.takes(passed))
        except RemoteProtocolError:
            break
    return has_ended(watched), relay, heard


def has_ended(watched):
    """Whether the guard ends the connection whatever comes."""
    try:
        watched.from_client(b"")
    except RemoteProtocolError:
        return True
    return False


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
    assert (made(*capabilities) is not None) is needed


def test_ordinary_mail_passes_octet_by_octet():
    said = (
        b"EHLO client\r\nMAIL FROM:<a@example.com> SIZE=5\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"
        b"Subject: x\r\n\r\n..stuffed\r\n.x\r\nbare\nlf\rcr \0\xff\r\n.\r\nMAIL FROM:<a>\r\n"
        b"BURL imap://a@example.com/x LAST\r\nHELP\r\nETRN a\r\nRSET\r\nNOOP x\r\nVRFY a\r\nQUIT\r\n"
    )
    ended, relay, heard = conversed(said)
    assert relay.commands[-4:] == [b"RSET", b"NOOP x", b"VRFY a", b"QUIT"]
    assert relay.messages == [b"Subject: x\r\n\r\n..stuffed\r\n.x\r\nbare\nlf\rcr \0\xff\r\n"]
    assert heard == b"250-one\r\n250 two\r\n" + OK * 2 + GO + OK * 9
    assert not ended
    watched, end = Guard(), said.index(b"Subject")
    assert watched.from_client(said[:end]) == said[:end]
    assert watched.from_store(OK * 3 + GO) == OK * 3 + GO
    assert watched.from_client(said[end:]) == said[end:]


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
        b"SEND FROM:<a@example.com>\r\n",
        b"XEXCH50 9 2\r\n",
        b"X-EXPS NTLM\r\n",
        b"BDAT 0\r\n",
        b"BDAT 26\r\nRSET\r\nXCLIENT LOGIN=root\r\n",
        b"BDAT 0 LAST\r\n",
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
    _, relay, heard = conversed(b"NOOP 1\r\n" + command + b"NOOP 2\r\n")
    assert relay.commands == [b"NOOP 1", b"NOOP 2"]
    first, second, third = heard.splitlines(keepends=True)
    assert (first, third) == (OK, OK)
    assert second.startswith(b"50")


def test_a_refusal_has_its_place_among_pipelined_replies():
    watched = Guard()
    passed = watched.from_client(b"MAIL FROM:<a>\r\n" + XCLIENT + b"RCPT TO:<b>\r\n" + XCLIENT + XCLIENT + b"NOOP\r\n")
    assert passed == b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nNOOP\r\n"
    assert watched.answers() == b""
    assert watched.from_store(b"250-2.1.0 long\r\n25") == b"250-2.1.0 long\r\n25"
    assert watched.from_store(b"0 2.1.0 Ok\r\n550 5.1.1 no\r\n") == (
        b"0 2.1.0 Ok\r\n" + REFUSED + b"550 5.1.1 no\r\n" + REFUSED * 2
    )
    assert watched.from_store(OK) == OK
    assert watched.from_client(XCLIENT) == b""
    assert watched.answers() == REFUSED


def test_text_that_looks_like_a_command_is_left_alone():
    body = XCLIENT + b"STARTTLS\r\nBDAT 5\r\n"
    said = b"DATA\r\n" + body + b".\r\nBDAT %d LAST\r\n" % len(body) + body + b"NOOP\r\n"
    _, relay, heard = conversed(said)
    assert relay.messages == [body]
    assert heard == GO + OK + NO_CHUNKS + OK


def test_behind_a_data_that_is_refused_text_is_commands():
    _, relay, heard = conversed(b"DATA\r\n" + XCLIENT + b"NOOP\r\n.\r\n", Relay(invites=False))
    assert relay.commands == [b"DATA", b"NOOP"]
    assert heard.startswith(b"503 5.5.1 no recipients\r\n" + REFUSED + OK + b"500 ")


@pytest.mark.parametrize("behind", [XCLIENT, b"text\r\n.\r\nNOOP\r\n", b".", b"BDAT 5\r\nXCLIENT\r\n"])
def test_what_does_not_wait_for_the_answer_to_data_waits_with_us_and_is_then_what_the_relay_takes_it_for(behind):
    for go, place in ((GO, b"DATA\r\n"), (b"503 5.5.1 no recipients\r\n", b"")):
        patient, hasty = Guard(), Guard()
        assert hasty.from_client(b"NOOP\r\nDATA\r\n" + behind[:3]) == b"NOOP\r\nDATA\r\n"
        assert hasty.from_client(behind[3:]) == b""
        assert (hasty.from_store(OK), hasty.waits) == (OK, True)
        assert (hasty.from_store(go), hasty.waits) == (go, False)
        patient.from_client(place)
        patient.from_store(GO if place else b"")
        assert hasty.from_client(b"") == patient.from_client(behind)
        assert hasty.answers() == patient.answers()
        assert not has_ended(hasty)


def test_a_client_that_waits_for_the_answer_to_data_is_read():
    watched = Guard()
    watched.from_client(b"DATA\r\n")
    assert not watched.waits


def test_an_empty_message_ends_at_once():
    _, relay, heard = conversed(b"DATA\r\n.\r\n" + XCLIENT)
    assert relay.messages == [b""]
    assert heard == GO + OK + REFUSED


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r\r\n", b"\r.\r\n", b"\n.\rX", b"\r\n.\rX"]
)
@pytest.mark.parametrize("before", [b"", b"text"])
@pytest.mark.parametrize("places", [(), range(99)])
def test_an_end_of_message_that_readers_disagree_about_ends_the_connection(end, before, places):
    ended, relay, heard = conversed(b"DATA\r\n" + before + end + XCLIENT + b".\r\n", places=places)
    assert ended
    assert heard.startswith(GO + b"521 5.5.2 ")
    assert heard.count(b"\r\n") == 2
    assert relay.messages == []
    assert XCLIENT.strip() not in relay.received


@pytest.mark.parametrize("first", [b".\n", b".\rX"])
def test_so_does_one_at_the_very_beginning(first):
    ended, relay, _ = conversed(b"DATA\r\n" + first + XCLIENT)
    assert ended
    assert relay.messages == []


@pytest.mark.parametrize(
    "body", [b"\r\r\n", b"a\rb\n", b"..\r\n", b". \r\n", b".\0\r\n", b"\n\n..\n", b"x.\r\n", b"\n.x\n"]
)
@pytest.mark.parametrize("places", [(), range(99)])
def test_other_odd_text_passes(body, places):
    ended, relay, heard = conversed(b"DATA\r\n" + body + b"\r\n.\r\nNOOP\r\n", places=places)
    assert not ended
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
    ended, relay, heard = conversed(b"NOOP\r\n" + command + XCLIENT)
    assert ended
    assert heard.startswith(OK + b"501 5.5.4 ")
    assert relay.commands == [b"NOOP"]


@pytest.mark.parametrize("places", [(), range(999)])
def test_no_chunk_passes_whatever_the_relay_has_said_before_it(places):
    said = b"".join(b"BDAT %d%b\r\n" % (len(XCLIENT), last) + XCLIENT for last in (b"", b" LAST", b" last"))
    _, relay, heard = conversed(said + b"NOOP\r\n", places=places)
    assert relay.commands == [b"NOOP"]
    assert heard == NO_CHUNKS * 3 + OK


def test_a_chunk_of_many_octets_is_neither_kept_nor_let_through():
    watched = Guard()
    watched.from_client(b"BDAT 4294967396\r\n")
    for _ in range(100):
        assert watched.from_client(XCLIENT * 10_000) == b""
    assert watched.answers() == NO_CHUNKS
    assert len(watched._received) == 0


def test_a_message_is_not_kept():
    watched = Guard()
    watched.from_client(b"DATA\r\n")
    watched.from_store(GO)
    for _ in range(100):
        assert watched.from_client(b"x" * 10_000) == b"x" * 10_000


def test_a_line_without_end_ends_the_connection():
    watched = Guard()
    for _ in range(LINE_LIMIT // 1000):
        assert watched.from_client(b"a" * 1000) == b""
    assert watched.from_client(b"a" * 1000) == b""
    assert watched.answers() == b"500 5.5.2 Line too long\r\n"
    assert has_ended(watched)
    assert len(watched._received) == 0


def test_who_insists_is_let_go():
    ended, _, heard = conversed(XCLIENT * 1000)
    assert ended
    assert heard == REFUSED * REFUSED_LIMIT + b"421 4.7.0 Too many commands\r\n"


def test_a_goodbye_waits_for_its_turn():
    watched = Guard()
    watched.from_client(b"NOOP\r\nBDAT x\r\n")
    assert watched.answers() == b""
    assert not has_ended(watched)
    assert watched.from_store(OK).startswith(OK + b"501 ")
    assert has_ended(watched)


def test_very_many_commands_without_an_answer_end_the_connection():
    watched = Guard()
    assert watched.from_client(b"NOOP\r\n" * (UNANSWERED_LIMIT + 500)) == b"NOOP\r\n" * UNANSWERED_LIMIT
    assert watched.from_store(OK * UNANSWERED_LIMIT) == OK * UNANSWERED_LIMIT + b"421 4.7.0 Too many commands\r\n"
    assert has_ended(watched)


def test_what_the_relay_says_unasked_passes():
    watched = Guard()
    assert watched.from_store(b"421 4.4.2 Timeout\r\n") == b"421 4.4.2 Timeout\r\n"
    assert watched.from_store(b"421-4.3.2 go") == b"421-4.3.2 go"
    watched.from_client(XCLIENT)
    assert watched.answers() == b""
    assert watched.from_store(b"ing\r\n421 x\r\n") == b"ing\r\n421 x\r\n" + REFUSED


@pytest.mark.parametrize("asked", [b"", b"DATA\r\n"])
def test_a_reply_to_nothing_ends_the_connection_since_every_further_one_would_be_taken_for_another(asked):
    watched = Guard()
    watched.from_client(asked)
    watched.from_store(GO if asked else b"")
    assert watched.from_client(b"NOOP\r\nN").startswith(b"NOOP\r\n")
    early = b"552-5.3.4 Too\r\n552 5.3.4 large\r\n"
    assert watched.from_store(OK * (not asked) + early) == OK * (not asked) + early + OUT_OF_STEP
    assert has_ended(watched)


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
    whole = conversed(octets, Relay(invites))
    for cuts in (places, range(len(octets))):
        cut_up = conversed(octets, Relay(invites), places=cuts)
        assert whole[2] == cut_up[2]
        assert (whole[1].commands, whole[1].messages) == (cut_up[1].commands, cut_up[1].messages)


@settings(max_examples=300)
@given(st.one_of(pieces, st.binary(max_size=200)), st.booleans())
def test_whatever_is_said_the_relay_hears_no_command_with_our_standing(octets, invites):
    _, relay, heard = conversed(octets, Relay(invites))
    assert not [command for command in relay.commands if command.upper().startswith((b"XCLIENT", b"XFORWARD"))]
    assert not heard or heard.endswith(b"\r\n")


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_whatever_the_relay_says_reaches_the_client(said):
    watched = Guard()
    watched.from_client(b"NOOP\r\n" * 500)
    assert b"".join(map(watched.from_store, said)) == b"".join(said)


MAIL, RCPT = b"MAIL FROM:<a>\r\n", b"RCPT TO:<b>\r\n"
TOO_MANY_MESSAGES = b"450 4.7.1 Too many messages in too short a time, try again later\r\n"
TOO_MANY_RECIPIENTS = b"450 4.7.1 Too many recipients in too short a time, try again later\r\n"


class Meter:
    """Has so much room for each; answers when it is let, or at once."""

    def __init__(self, messages=9, recipients=9, at_once=True):
        self.limits = {"messages_per_hour", "recipients_per_hour"}
        self.room = {"messages_per_hour": messages, "recipients_per_hour": recipients}
        self.at_once = at_once
        self.asked = []
        self.settled = []

    def ask(self, limit, told):
        self.asked.append((limit, told))
        if self.at_once:
            self.answer()

    def answer(self):
        limit, told = self.asked.pop()
        self.room[limit] -= 1
        told(self.room[limit] >= 0)

    def settle(self, *, accepted):
        self.settled.append(accepted)


def test_with_a_meter_every_relay_is_guarded():
    assert guard(LoggedIn((), b"", b""), Meter()) is not None


def test_what_is_submitted_beyond_the_limit_is_refused_in_its_place():
    watched = Guard(meter=Meter(messages=1, recipients=2))
    passed = watched.from_client(MAIL + RCPT * 3 + b"DATA\r\n")
    assert passed == MAIL + RCPT * 2 + b"DATA\r\n"
    assert watched.answers() == b""
    assert watched.from_store(OK * 3) == OK * 3 + TOO_MANY_RECIPIENTS
    assert watched.from_store(GO) == GO
    assert watched.from_client(b"text\r\n.\r\nMAIL FROM:<c>\r\nNOOP\r\n") == b"text\r\n.\r\nNOOP\r\n"
    assert watched.from_store(OK) == OK + TOO_MANY_MESSAGES
    assert watched.from_store(OK) == OK


def test_what_the_relay_does_not_accept_is_told_to_the_meter():
    meter = Meter()
    watched = Guard(meter=meter)
    watched.from_client(MAIL + RCPT + XCLIENT + b"NOOP\r\n" + RCPT)
    watched.from_store(b"250 ok\r\n550-no such\r\n550 user\r\n250 ok\r\n250 ok\r\n")
    assert meter.settled == [True, False, True]


def test_what_comes_behind_a_command_that_the_meter_is_asked_about_waits():
    meter = Meter(recipients=1, at_once=False)
    watched = Guard(meter=meter)
    assert watched.from_client(b"NOOP\r\n" + MAIL + RCPT * 2 + b"NOOP\r\n") == b"NOOP\r\n"
    passed = b""
    while watched.waits:
        meter.answer()
        passed += watched.from_client(b"")
    assert passed == MAIL + RCPT + b"NOOP\r\n"
    assert watched.from_store(OK * 3) == OK * 3 + TOO_MANY_RECIPIENTS
    assert watched.from_store(OK) == OK


def test_an_answer_of_the_meter_that_refuses_what_nothing_is_owed_before_is_said_at_once():
    meter = Meter(messages=0, at_once=False)
    watched = Guard(meter=meter)
    assert watched.from_client(MAIL) == b""
    meter.answer()
    assert (watched.from_client(b""), watched.answers()) == (b"", TOO_MANY_MESSAGES)


def test_a_limit_that_there_is_not_is_not_asked_about():
    meter = Meter(recipients=0)
    meter.limits = {"messages_per_hour"}
    watched = Guard(meter=meter)
    assert watched.from_client(MAIL + RCPT) == MAIL + RCPT


def test_refusals_of_the_meter_that_nobody_waits_for_are_bounded():
    watched = Guard(meter=Meter(recipients=0))
    watched.from_client(b"NOOP\r\n")
    for _ in range(UNANSWERED_LIMIT + 5):
        watched.from_client(RCPT)
    assert watched.from_store(OK).endswith(TOO_MANY_RECIPIENTS + b"421 4.7.0 Too many commands\r\n")
    assert has_ended(watched)


@given(
    commands=st.lists(st.sampled_from([MAIL, RCPT, b"NOOP\r\n", XCLIENT]), max_size=12),
    at_once=st.booleans(),
    data=st.data(),
)
def test_every_command_has_one_answer_in_its_turn_however_much_room_there_is(commands, at_once, data):
    said = b"".join(commands)
    meter = Meter(data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3)), at_once=at_once)
    watched, relay, heard = Guard(meter=meter), Relay(), b""
    room = {MAIL: meter.room["messages_per_hour"], RCPT: meter.room["recipients_per_hour"]}
    refused = {MAIL: TOO_MANY_MESSAGES, RCPT: TOO_MANY_RECIPIENTS, XCLIENT: REFUSED}
    expected = b""
    for command in commands:
        room[command] = room.get(command, 0 if command == XCLIENT else 99) - 1
        expected += OK if room[command] >= 0 else refused[command]
    for chunk in cut(said, data.draw(st.sets(st.integers(0, len(said))))):
        passed = watched.from_client(chunk)
        while watched.waits:
            meter.answer()
            passed += watched.from_client(b"")
        heard += watched.answers() + watched.from_store(relay.takes(passed))
    assert heard == expected
    assert meter.settled == [True] * sum(line in (MAIL.strip(), RCPT.strip()) for line in relay.commands)
