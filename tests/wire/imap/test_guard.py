"""What a logged-in client may say to a store where it could become somebody else, and what must not pass."""

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmp.errors import RemoteProtocolError
from mmp.wire.events import LoggedIn
from mmp.wire.imap.guard import LINE_LIMIT, LITERAL_LIMIT, REFUSED_LIMIT, UNANSWERED_LIMIT, Guard, guard
from tests.strategies import cut

UNAUTHENTICATE = b"x UNAUTHENTICATE\r\n"
REFUSED = b"x NO [CANNOT] Not available here\r\n"
GO = b"+ go\r\n"


def made(*capabilities):
    return guard(LoggedIn(capabilities, b"", b""))


def watching():
    return made(b"IMAP4rev1", b"LITERAL+", b"UNAUTHENTICATE")


class Store:
    """Takes commands as RFC 9051 has it, agrees to no literal of a mailbox called NO, and remembers.

    One for which it is not asked it takes for commands, as Dovecot does behind a mistake.
    """

    def __init__(self):
        self.received = b""
        self.commands = []
        self.texts = b""
        self.awaiting = 0
        self.idling = b""

    def takes(self, octets):
        """Return the answers to what came."""
        self.received += octets
        answers = b""
        while (step := self._step()) is not None:
            answers += step
        return answers

    def _step(self):
        if self.awaiting:
            if len(self.received) < self.awaiting:
                return None
            self.texts += self.received[: self.awaiting]
            self.received, self.awaiting = self.received[self.awaiting :], 0
            return b""
        line, end, self.received = self.received.partition(b"\n")
        if not end:
            self.received = line
            return None
        self.texts += line + end
        literal = re.search(rb"\{([0-9]+)\}\r?\Z", line)
        if literal and b" NO " not in self.texts:
            self.awaiting = int(literal[1])
            return GO
        command, self.texts = self.texts, b""
        if self.idling:
            tag, self.idling = self.idling, b""
            return tag + b" OK idled\r\n"
        self.commands.append(command)
        tag, _, name = command.partition(b" ")
        if name.upper().startswith(b"IDLE"):
            self.idling = tag
            return b"+ idling\r\n"
        return (
            tag.strip() + b" NO no\r\n"
            if b" NO " in command
            else b"* 1 FETCH (X {4}\r\n+ \r\n)\r\n" + tag + b" OK done\r\n"
        )


def has_ended(watched):
    """Whether the guard ends the connection whatever comes."""
    try:
        watched.from_client(b"")
    except RemoteProtocolError:
        return True
    return False


def conversed(octets, places=(), store=None):
    """Let a client say this through a guard; return whether it was let go, the store, and what the client heard.

    It is cut at these places. The store answers at once.
    """
    watched, store, heard = watching(), store or Store(), b""
    for chunk in cut(octets, places):
        try:
            waited = True
            while waited:
                passed, chunk = watched.from_client(chunk), b""  # noqa: PLW2901 - its rest, if it was held back
                heard += watched.answers()
                waited = watched.waits
                heard += watched.from_store(store.takes(passed))
        except RemoteProtocolError:
            break
    return has_ended(watched), store, heard


@pytest.mark.parametrize(
    ("capabilities", "needed"),
    [
        ([b"IMAP4rev1", b"UNAUTHENTICATE"], True),
        ([b"unauthenticate"], True),
        ([b"X-PROXYAUTH"], True),
        ([b"IMAP4rev1", b"IDLE", b"COMPRESS=DEFLATE"], False),
        ([], False),
    ],
)
def test_it_is_needed_where_one_could_become_somebody_else(capabilities, needed):
    assert (made(*capabilities) is not None) is needed


def test_an_ordinary_session_passes_octet_by_octet_but_for_the_plus_of_a_literal():
    said = (
        b'a1 SELECT INBOX\r\na2 UID FETCH 1:* (FLAGS BODY[HEADER.FIELDS ("X" {4+}\r\nDate)])\r\n'
        b'a3 APPEND "we\\"ird {5}" (\\Seen) {12}\r\nx LOGOUT\r\n\r\n\r\na4 IDLE\r\nDONE\r\n'
        b"a5 SEARCH TEXT {3+}\r\n\0\xff\r\r\n"
        b"a6 CREATE {3}\r\nNO \r\na7 NOOP\r\na8 APPEND b ~{2+}\r\nxy\r\na9 LOGOUT\r\n"
    )
    ended, store, heard = conversed(said)
    assert not ended
    assert b"".join(store.commands) == said.replace(b"a4 IDLE\r\nDONE\r\n", b"a4 IDLE\r\n").replace(b"+}", b"}")
    assert heard.count(b" OK ") == 9
    assert heard.count(b"+ go") == 2


@pytest.mark.parametrize("places", [(), range(999)])
def test_a_literal_that_looks_like_a_command_is_left_alone(places):
    said = (
        b"a APPEND INBOX {%d}\r\n" % len(UNAUTHENTICATE)
        + UNAUTHENTICATE
        + b"\r\nb APPEND INBOX {%d+}\r\n" % (len(UNAUTHENTICATE))
    )
    ended, store, heard = conversed(said + UNAUTHENTICATE + b"\r\n", places)
    assert not ended
    assert b"".join(store.commands) == said.replace(b"+}", b"}") + UNAUTHENTICATE + b"\r\n"
    assert heard.count(GO) == 1


@pytest.mark.parametrize(
    "command",
    [
        UNAUTHENTICATE,
        b"x unauthenticate\r\n",
        b"x PROXYAUTH bob\r\n",
        b"x COMPRESS DEFLATE\r\n",
        b"x STARTTLS\r\n",
        b"x AUTHENTICATE PLAIN AHUAcA==\r\n",
        b"x LOGIN {1+}\r\nu {1+}\r\np\r\n",
        b"x LOGIN {1}\r\n",
        b"x XYZZY {16+}\r\nUNAUTHENTICATE\r\n\r\n",
        b"x IDLE {24+}\r\nDONE\r\n" + UNAUTHENTICATE + b"\r\n",
        b"x IDLE {24}\r\n",
        b"x NOOP\n",
        b"x NOOP\rUNAUTHENTICATE\r\n",
        b"x NOOP\0\r\n",
        b" x UNAUTHENTICATE\r\n",
        b"x  UNAUTHENTICATE\r\n",
        b"x\tUNAUTHENTICATE\r\n",
        b'x "UNAUTHENTICATE"\r\n',
        b"x\r\n",
        b"\r\n",
        b"\n",
        b"+ UNAUTHENTICATE\r\n",
        b"* UNAUTHENTICATE\r\n",
        b"* APPEND x {3+}\r\nabc\r\n",
    ],
)
@pytest.mark.parametrize("places", [(), range(999)])
def test_what_must_not_pass_is_answered_here_and_the_next_command_passes(command, places):
    ended, store, heard = conversed(b"a NOOP\r\n" + command + b"b NOOP\r\n", places)
    assert not ended
    assert store.commands == [b"a NOOP\r\n", b"b NOOP\r\n"]
    assert len(re.findall(rb"^(?:x|\*|\+) (?:NO|BAD) .*\r\n", heard, re.MULTILINE)) == 1


@pytest.mark.parametrize("places", [(), range(999)])
@pytest.mark.parametrize("rest", [b"\r\n", b" (X {18+}\r\n" + UNAUTHENTICATE + b")\r\n", b" {3}\r\n"])
def test_a_literal_that_the_store_does_not_agree_to_is_dropped_though_the_client_does_not_wait(places, rest):
    ended, store, heard = conversed(b"a APPEND NO {18+}\r\n" + UNAUTHENTICATE + rest + b"b NOOP\r\n", places)
    assert not ended
    assert store.commands == [b"a APPEND NO {18}\r\n", b"b NOOP\r\n"]
    assert re.findall(rb"^a .*|^\+.*go.*|^x .*", heard, re.MULTILINE) == [b"a NO no\r"]


def test_a_client_that_does_not_wait_hears_no_answer_to_its_literal_however_that_is_cut():
    said = b"* 1 EXISTS\r\n+ go\r\n* 2 EXISTS\r\n+ idling\r\n"
    for place in range(len(said)):
        watched = watching()
        watched.from_client(b"a SEARCH TEXT {1+}\r\n")
        heard = watched.from_store(said[:place]) + watched.from_client(b"")
        heard += watched.from_store(said[place:])
        assert heard == said.replace(GO, b"")
        assert watched.from_client(b"x\r\nb NOOP\r\n") == b"x\r\nb NOOP\r\n"


def test_one_whose_literal_is_dropped_may_say_the_next_command():
    watched = watching()
    assert watched.from_client(b"a APPEND NO {18+}\r\n" + UNAUTHENTICATE[:3]) == b"a APPEND NO {18}\r\n"
    assert watched.waits
    assert watched.from_store(b"a NO no\r\n") == b"a NO no\r\n"
    assert watched.from_client(UNAUTHENTICATE[3:] + b"\r\n" + b"a NOOP\r\n") == b"a NOOP\r\n"
    assert watched.answers() == b""


@pytest.mark.parametrize(
    "line",
    [
        b'x SEARCH "abc {30+}\r\n',
        b"x SEARCH abc{30+}\r\n",
        b"x SEARCH abc{30}\r\n",
        b"x SEARCH abc~{30}\r\n",
        b"x SEARCH ~~{30}\r\n",
        b'x A "{1}\r\n',
        # Zeros in front, or more than 32 bits: a number to one reader, another to the next.
        b"x SEARCH {0000000000000018}\r\n",
        b"x SEARCH {0000000000000018+}\r\n",
        b"x SEARCH {%d}\r\n" % (LITERAL_LIMIT + 1),
        b"x SEARCH {4294967314+}\r\n",
    ],
)
def test_what_may_be_a_literal_or_not_ends_it(line):
    ended, store, heard = conversed(b"a NOOP\r\n" + line + UNAUTHENTICATE)
    assert ended
    assert heard.endswith(b"* BYE Unclear literal\r\n")
    assert store.commands == [b"a NOOP\r\n"]


@pytest.mark.parametrize("rest", [b" x\n", b" x\ry\r\n", b"\0\r\n", b"\r\r\n"])
def test_what_may_be_the_end_of_a_command_or_not_ends_it(rest):
    ended, store, heard = conversed(b"a SEARCH TEXT {3+}\r\nabc" + rest + UNAUTHENTICATE)
    assert ended
    assert heard.endswith(b"* BYE Unclear end of a command\r\n")
    assert store.commands == []


@pytest.mark.parametrize("behind", [UNAUTHENTICATE + b"\r\n", b"x" * 18 + b"\r\nb NOOP\r\n", b"b", b"DONE\r\n"])
def test_what_does_not_wait_for_the_answer_to_a_literal_waits_with_us_and_is_then_what_the_store_takes_it_for(behind):
    announced = b"a APPEND b {18}\r\n"
    for answer in (GO, b"a NO no\r\n", b"a BAD no\r\n", b"* OK + \r\n+ go\r\n"):
        patient, hasty = watching(), watching()
        assert hasty.from_client(announced + behind[:3]) == patient.from_client(announced) == announced
        assert hasty.from_client(behind[3:]) == b""
        assert (hasty.answers(), hasty.waits, patient.waits) == (b"", True, False)
        assert hasty.from_store(answer) == patient.from_store(answer)
        assert not hasty.waits
        assert hasty.from_client(b"") == patient.from_client(behind)
        assert hasty.answers() == patient.answers()


def test_behind_a_literal_that_the_store_refuses_come_commands():
    _, store, heard = conversed(b"a APPEND NO {18}\r\n" + UNAUTHENTICATE + b"b NOOP\r\n")
    assert store.commands == [b"a APPEND NO {18}\r\n", b"b NOOP\r\n"]
    assert heard.startswith(b"a NO no\r\n" + REFUSED)


def test_nothing_else_than_an_answer_to_that_very_literal_lets_it_pass():
    watched = watching()
    watched.from_client(b"a NOOP\r\nb APPEND NO {18}\r\n")
    watched.from_store(b"* 1 FETCH (BODY {11}\r\n+ \r\nb OK \r\n)\r\n* OK + \r\na OK done\r\n")
    assert watched.from_client(UNAUTHENTICATE) == b""
    assert watched.waits
    assert watched.from_store(b"b NO no\r\n") == b"b NO no\r\n"
    assert (watched.from_client(b""), watched.answers()) == (b"", REFUSED)


@pytest.mark.parametrize("second", [b"a APPEND NO {18}\r\n", b"a NOOP\r\n"])
def test_one_tag_for_two_commands_at_a_time_does_not_pass(second):
    watched = watching()
    assert watched.from_client(b"a NOOP\r\n" + second) == b"a NOOP\r\n"
    assert watched.answers() == b"a BAD This tag waits for an answer already\r\n"
    watched.from_store(b"a OK done\r\n")
    assert watched.from_client(b"a NOOP\r\n") == b"a NOOP\r\n"


def test_a_tag_may_be_used_again_though_the_store_has_answered_in_the_middle_of_a_command():
    watched = watching()
    watched.from_client(b"a APPEND b {3}\r\n")
    watched.from_store(GO)
    watched.from_client(b"ab")
    watched.from_store(b"a NO too much\r\n")
    assert watched.from_client(b"c\r\na NOOP\r\n") == b"c\r\na NOOP\r\n"
    assert watched.answers() == b""


@pytest.mark.parametrize("eager", [b"+", b""])
def test_a_command_that_the_store_has_answered_ends_before_its_next_literal(eager):
    """As Dovecot answers an APPEND of two messages when its disk is full at the first; then it says no go-ahead."""
    watched = watching()
    watched.from_client(b"a APPEND x {5}\r\n")
    watched.from_store(GO)
    watched.from_client(b"hello")
    watched.from_store(b"a NO full\r\n")
    rest = b"x UNAU\r\n)\r\n" if eager else b""
    assert watched.from_client(b" {8" + eager + b"}\r\n" + rest + b"b NOOP\r\n") == b"\r\nb NOOP\r\n"
    assert not watched.waits


@pytest.mark.parametrize("line", [UNAUTHENTICATE, b"done \r\n", b"DONE\n", b"a NOOP\r\n"])
def test_in_idle_nothing_passes_but_done(line):
    ended, store, heard = conversed(b"a IDLE\r\n" + line)
    assert ended
    assert heard == b"+ idling\r\n* BYE Expected DONE\r\n"
    assert store.received == b""


def test_an_early_end_of_idle_waits_with_us_so_that_no_literal_is_let_in_by_the_answer_to_it():
    watched = watching()
    assert watched.from_client(b"a IDLE\r\ndone\r\nb APPEND NO {18}\r\n" + UNAUTHENTICATE) == b"a IDLE\r\n"
    assert watched.waits
    assert watched.from_store(b"+ idling\r\n") == b"+ idling\r\n"
    assert watched.from_client(b"") == b"done\r\nb APPEND NO {18}\r\n"
    assert watched.waits
    watched.from_store(b"a OK idled\r\nb NO no\r\n")
    assert (watched.from_client(b""), watched.answers()) == (b"", REFUSED)


def test_the_early_end_of_an_idle_that_the_store_refuses_is_no_command():
    watched = watching()
    watched.from_client(b"a IDLE\r\nDONE\r\nb NOOP\r\n")
    watched.from_store(b"a BAD what\r\n")
    assert watched.from_client(b"") == b"b NOOP\r\n"
    assert watched.answers().startswith(b"DONE BAD ")


def test_an_idle_that_the_store_refuses_is_over():
    watched = watching()
    watched.from_client(b"a IDLE\r\n")
    watched.from_store(b"a BAD what\r\n")
    assert watched.from_client(b"b NOOP\r\n") == b"b NOOP\r\n"


def test_a_refusal_waits_for_the_end_of_a_response():
    watched = watching()
    assert (
        watched.from_client(b"a FETCH 1 BODY[]\r\n" + UNAUTHENTICATE + b"b NOOP\r\n")
        == b"a FETCH 1 BODY[]\r\nb NOOP\r\n"
    )
    assert watched.answers() == REFUSED
    assert watched.from_store(b"* 1 FETCH (BODY[] {8}\r\na OK") == b"* 1 FETCH (BODY[] {8}\r\na OK"
    watched.from_client(UNAUTHENTICATE)
    assert watched.answers() == b""
    assert watched.from_store(b" x\r\n") == b" x\r\n"
    assert watched.from_store(b")") == b")"
    assert watched.from_store(b"\r\na OK done\r\n") == b"\r\n" + REFUSED + b"a OK done\r\n"


def test_text_of_a_status_announces_no_literal():
    watched = watching()
    watched.from_store(b"* OK text {5}\r\n")
    watched.from_client(UNAUTHENTICATE)
    assert watched.answers() == REFUSED


def test_a_line_without_end_ends_it():
    watched = watching()
    for _ in range(LINE_LIMIT // 1000 + 1):
        assert watched.from_client(b"a" * 1000) == b""
    assert watched.answers() == b"* BYE Line too long\r\n"
    assert has_ended(watched)


def test_literals_are_not_kept():
    watched = watching()
    watched.from_client(b"a APPEND INBOX {100000000}\r\n")
    watched.from_store(GO)
    for _ in range(100):
        assert watched.from_client(b"x" * 1_000_000) == b"x" * 1_000_000
    assert watched.from_client(b"\r\n" + UNAUTHENTICATE) == b"\r\n"
    assert watched.answers() == REFUSED


def test_who_insists_is_let_go():
    ended, _, heard = conversed(UNAUTHENTICATE * 1000)
    assert ended
    assert heard == REFUSED * REFUSED_LIMIT + b"* BYE Too many commands\r\n"


def test_very_many_commands_without_an_answer_end_it():
    watched = watching()
    for number in range(UNANSWERED_LIMIT):
        watched.from_client(b"a%d NOOP\r\n" % number)
    assert watched.from_client(b"b NOOP\r\n") == b""
    assert watched.answers() == b"* BYE Too many commands\r\n"


pieces = st.lists(
    st.sampled_from(
        [
            UNAUTHENTICATE,
            b"a%d NOOP\r\n",
            b"a%d IDLE\r\n",
            b"DONE\r\n",
            b"a%d APPEND NO ",
            b"a%d APPEND INBOX ",
            b"a%d SEARCH ",
            b"{3}\r\n",
            b"{18+}\r\n",
            b"{20}\r\n",
            b"{0}\r\n",
            b'"',
            b"abc",
            b"\r\n",
            b"\n",
            b" ",
            b"x",
        ]
    ),
    max_size=25,
).map(lambda drawn: b"".join(piece.replace(b"%d", b"%d" % number) for number, piece in enumerate(drawn)))


@settings(max_examples=300)
@given(pieces, st.sets(st.integers(0, 300), max_size=20))
def test_chunks_make_no_difference(octets, places):
    whole = conversed(octets)
    for cuts in (places, range(len(octets))):
        cut_up = conversed(octets, cuts)
        assert (cut_up[0], cut_up[1].commands) == (whole[0], whole[1].commands)
        if not whole[0]:  # else it is a matter of time what the store could still say
            assert sorted(cut_up[2].splitlines()) == sorted(whole[2].splitlines())


@settings(max_examples=300)
@given(st.one_of(pieces, st.binary(max_size=200)))
def test_whatever_is_said_the_store_hears_no_command_that_must_not_pass(octets):
    _, store, _ = conversed(octets)
    assert not [command for command in store.commands if re.match(rb"\S* *unauthenticate", command, re.IGNORECASE)]


@given(st.lists(st.binary(max_size=30), max_size=20))
def test_whatever_the_store_says_reaches_the_client(said):
    assume(b"CAPABILITY" not in b"".join(said).upper())  # of that, a name is kept until its end has come
    watched = watching()
    watched.from_client(b"a IDLE\r\n")
    assert b"".join(map(watched.from_store, said)) == b"".join(said)


def test_the_largest_literal_passes():
    line = b"a APPEND b {%d}\r\n" % LITERAL_LIMIT
    assert Guard().from_client(line) == line
