"""What a logged-in client may say to a store that has UNAUTHENTICATE, and what must not pass."""

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmp.errors import RemoteProtocolError
from mmp.wire.events import LoggedIn
from mmp.wire.managesieve.guard import NAME_LIMIT, REFUSED_LIMIT, SCRIPT_LIMIT, UNANSWERED_LIMIT, guard
from mmp.wire.managesieve.reader import LINE_LIMIT
from tests.strategies import cut

UNAUTHENTICATE = b"UNAUTHENTICATE\r\n"
REFUSED = b'NO "Not available here"\r\n'
LISTED = b'"SIEVE" ""\r\n"UNAUTHENTICATE"\r\n"VERSION" "1.0"\r\nOK\r\n'


def watching():
    return guard(LoggedIn((b"SIEVE", b"UNAUTHENTICATE", b"VERSION"), b"", b""))


class Store:
    """Takes commands as Cyrus does, the least forgiving: behind a mistake it begins anew, in the same line even."""

    TOKEN = re.compile(rb'"((?:[^"\\\r\n\0\x80-\xff]|\\["\\])*)"|\{([0-9]+)\+\}\r\n|[A-Za-z]+|[0-9]+| |\r?\n')

    def __init__(self):
        self.heard = b""
        self.responses = b""

    def takes(self, octets):
        """Return the answers to what came: one for each line that is whole, literals included."""
        self.heard += octets
        answered = self.commands()[1]
        answers, self.responses = answered[len(self.responses) :], answered
        return answers

    def commands(self):
        """Return the first words of all commands there are, and the responses to them."""
        names, responses, place, words = [], b"", 0, []
        while match := self.TOKEN.match(self.heard, place):
            word, place = match[0], match.end()
            if match[2]:
                if place + int(match[2]) > len(self.heard):
                    break
                place += int(match[2])
            elif word.endswith(b"\n"):
                if words:
                    names.append(words[0])
                    responses += LISTED if words[0] == b"CAPABILITY" else b'"%b"\r\nOK\r\n' % words[0]
                words = []
            elif word != b" ":
                words.append(word.upper())
            if not match[2] and not word.endswith(b"\n") and b"UNAUTHENTICATE" in words:
                names.append(b"UNAUTHENTICATE")
            if place < len(self.heard) and not self.TOKEN.match(self.heard, place) and b"\n" in self.heard[place:]:
                place = self.heard.index(b"\n", place) + 1
                names.append(b"?")
                responses, words = responses + b"NO\r\n", []
        return names, responses


def has_ended(watched):
    """Whether the guard ends the connection whatever comes."""
    try:
        watched.from_client(b"")
    except RemoteProtocolError:
        return True
    return False


def conversed(octets, places=()):
    """Let a client say this through a guard, cut at these places; return whether it was let go, store and answers."""
    watched, store, heard = watching(), Store(), b""
    for chunk in cut(octets, places):
        try:
            passed = watched.from_client(chunk)
            heard += watched.answers()
            heard += watched.from_store(store.takes(passed))
        except RemoteProtocolError:
            break
    return has_ended(watched), store, heard


@pytest.mark.parametrize(
    ("capabilities", "needed"),
    [((b"SIEVE", b"UNAUTHENTICATE"), True), ((b"SIEVE", b"XUNAUTHENTICATE", b"VERSION"), False), ((), False)],
)
def test_it_is_needed_where_one_could_become_somebody_else(capabilities, needed):
    assert (guard(LoggedIn(capabilities, b"", b"")) is not None) is needed


@pytest.mark.parametrize("places", [(), range(999)])
def test_an_ordinary_session_passes_octet_by_octet(places):
    said = (
        b'CAPABILITY\r\nlistscripts\r\nNOOP\r\nNOOP "tag"\r\nNOOP {3+}\r\na\r\n\r\n'
        b'HAVESPACE "a {5+}" 9999\r\nHAVESPACE {2+}\r\n\xc3\xa9 1\r\n'
        b'PUTSCRIPT "we\\"i\\\\rd" {16+}\r\n'
        + UNAUTHENTICATE
        + b'\r\nPUTSCRIPT "a" "keep;"\r\nPUTSCRIPT "" {0+}\r\n\r\n'
        b"PUTSCRIPT {1+}\r\na {%d+}\r\n"
        % (len(UNAUTHENTICATE) + 2)
        + b"\r\n"
        + UNAUTHENTICATE
        + b'\r\nCHECKSCRIPT {3+}\r\n\0\xff\r\r\nCHECKSCRIPT "keep;"\r\nGETSCRIPT "\xc3\xa9"\r\nSETACTIVE ""\r\n'
        b'SETACTIVE {1+}\r\na\r\nRENAMESCRIPT "a" {2+}\r\nbc\r\nRENAMESCRIPT {1+}\r\na "b"\r\nDELETESCRIPT "b"\r\n'
        b"LOGOUT\r\n"
    )
    ended, store, heard = conversed(said, places)
    assert not ended
    assert store.heard == said
    assert b"UNAUTHENTICATE" not in store.commands()[0]
    assert heard == store.responses.replace(b'"UNAUTHENTICATE"\r\n', b"")


@pytest.mark.parametrize("places", [(), range(999)])
@pytest.mark.parametrize(
    "command",
    [
        UNAUTHENTICATE,
        b"unAuthenticate\r\n",
        b"STARTTLS\r\n",
        b'AUTHENTICATE "PLAIN" "AHUAcA=="\r\n',
        b"XCLIENT ADDR=192.0.2.1\r\n",
        b"CAPABILITY UNAUTHENTICATE\r\n",
        b"CAPABILITY(UNAUTHENTICATE\r\n",
        b'NOOP "a" UNAUTHENTICATE\r\n',
        b"NOOP  UNAUTHENTICATE\r\n",
        b'NOOP"a"\r\n',
        b'SETACTIVE "a"UNAUTHENTICATE\r\n',
        b'HAVESPACE "a" 1 UNAUTHENTICATE\r\n',
        b'HAVESPACE "a" 99999999999\r\n',
        b'GETSCRIPT "a\\n"\r\n',
        b'"UNAUTHENTICATE"\r\n',
        b" UNAUTHENTICATE\r\n",
        b"\tUNAUTHENTICATE\r\n",
        b"XYZZY\r\n",
    ],
)
def test_what_must_not_pass_is_answered_here_and_the_next_command_passes(command, places):
    ended, store, heard = conversed(b"NOOP\r\n" + command + b"LOGOUT\r\n", places)
    assert not ended
    assert store.heard == b"NOOP\r\nLOGOUT\r\n"
    assert sorted(heard.splitlines()) == sorted((store.responses + REFUSED).splitlines())


@pytest.mark.parametrize("places", [(), range(999)])
@pytest.mark.parametrize(
    "command",
    [
        b"NOOP\n",
        b"\n",
        b"NOOP\rUNAUTHENTICATE\r\n",
        b"NOOP\0\r\n",
        b"PUTSCRIPT {16}\r\n",
        b'PUTSCRIPT "a" {16}\r\n',
        b'PUTSCRIPT "a {16+}\r\n',
        b'PUTSCRIPT "a\\b" {16+}\r\n',
        b'PUTSCRIPT "a"{16+}\r\n',
        b'PUTSCRIPT "a" {016+}\r\n',
        b'PUTSCRIPT "a" {16+}\n',
        b'PUTSCRIPT "a" {16+}}\r\n',
        b'PUTSCRIPT "a" "b" {16+}\r\n',
        b"XYZZY {16+}\r\n",
        b"CAPABILITY {16+}\r\n",
        b'HAVESPACE "a" {16+}\r\n',
        b"UNAUTHENTICATE {16+}\r\n",
        b'AUTHENTICATE "PLAIN" {16+}\r\n',
        b'PUTSCRIPT "a" {%d+}\r\n' % (SCRIPT_LIMIT + 1),
        b'PUTSCRIPT "a" {%b+}\r\n' % (b"9" * 5000),
        b'PUTSCRIPT "%b" {16+}\r\n' % (b"a" * NAME_LIMIT),
        b"RENAMESCRIPT {%d+}\r\n" % (NAME_LIMIT + 1),
        b'RENAMESCRIPT "a" {%d+}\r\n' % (NAME_LIMIT + 1),
    ],
)
def test_what_may_be_taken_for_something_else_ends_it(command, places):
    ended, store, heard = conversed(b"NOOP\r\n" + command + UNAUTHENTICATE, places)
    assert ended
    assert store.heard in {b"NOOP\r\n", b""}
    assert re.search(rb'(\A|\n)BYE "(Unclear command|Too long)"\r\n\Z', heard)


@pytest.mark.parametrize("places", [(), range(999)])
@pytest.mark.parametrize("rest", [b"UNAUTHENTICATE\r\n", b" UNAUTHENTICATE\r\n", b"\n", b" {16+}\r\n", b' "b"\r\n'])
def test_a_command_that_goes_wrong_behind_a_literal_ends_it_though_the_store_answers_nothing(rest, places):
    ended, store, heard = conversed(b"SETACTIVE {1+}\r\na" + rest + UNAUTHENTICATE, places)
    assert ended
    assert b"SETACTIVE {1+}\r\na".startswith(store.heard)
    assert heard == b'BYE "Unclear command"\r\n'


@pytest.mark.parametrize("places", [(), range(999)])
def test_a_name_that_cyrus_does_not_read_in_quotes_does_not_make_commands_of_the_script(places):
    ended, store, _ = conversed(b'PUTSCRIPT "\xc3\xa9\\"" {16+}\r\n' + UNAUTHENTICATE + b"\r\nNOOP\r\n", places)
    assert not ended
    assert store.heard == b'PUTSCRIPT {3+}\r\n\xc3\xa9" {16+}\r\n' + UNAUTHENTICATE + b"\r\nNOOP\r\n"
    assert store.commands()[0] == [b"PUTSCRIPT", b"NOOP"]


def test_an_empty_line_is_nothing():
    assert conversed(b"\r\nNOOP\r\n\r\n")[1].heard == b"NOOP\r\n"
    assert conversed(b"\r\n" * 100)[2] == b""


def test_a_refusal_waits_for_the_responses_before_it():
    watched = watching()
    assert watched.from_client(b'GETSCRIPT "a"\r\nNOOP\r\n' + UNAUTHENTICATE + b"NOOP\r\n") == (
        b'GETSCRIPT "a"\r\nNOOP\r\nNOOP\r\n'
    )
    for said in (b"{9}\r\nOK\r\nOK\r\nx\r\n", b"OK\r\n", b"NO {4}\r\n", b"OK\r\n"):
        assert (watched.answers(), watched.from_store(said)) == (b"", said)
    assert watched.from_store(b"\r\nOK\r\n") == b"\r\n" + REFUSED + b"OK\r\n"


def test_one_with_nothing_before_it_is_said_at_once_but_not_within_a_line():
    watched = watching()
    watched.from_client(UNAUTHENTICATE)
    assert watched.answers() == REFUSED
    heard = watched.from_store(b"BYE ")
    watched.from_client(UNAUTHENTICATE)
    assert watched.answers() == b""
    assert heard + watched.from_store(b'"x"\r\n') == b'BYE "x"\r\n' + REFUSED


@pytest.mark.parametrize(
    ("line", "passes"),
    [
        (b'"UNAUTHENTICATE"', False),
        (b'"unauthenticate" {3}\r\nabc', False),
        (b'"STARTTLS"', False),
        (b'"UNAUTHENTICATED"', True),
        (b'"NOTIFY" "UNAUTHENTICATE"', True),
        (b'"X" {18}\r\n"UNAUTHENTICATE"\r\n', True),
        (b"x" * 100, True),
    ],
)
def test_a_list_of_capabilities_is_without_what_is_not_to_be_had_however_it_is_cut(line, passes):
    said = b'"SIEVE" ""\r\n' + line + b'\r\n"VERSION" "1.0"\r\nOK "done"\r\n'
    for command in (b"CAPABILITY\r\n", b"capability\r\n", b""):  # the last is a list unasked
        for places in (*((place,) for place in range(len(said))), range(len(said))):
            watched = watching()
            watched.from_client(command)
            heard = b"".join(map(watched.from_store, cut(said, places)))
            assert heard == (said if passes else said.replace(line + b"\r\n", b""))


def test_a_script_may_have_that_name():
    watched = watching()
    watched.from_client(b"LISTSCRIPTS\r\nCAPABILITY\r\nLISTSCRIPTS\r\n")
    scripts = b'"UNAUTHENTICATE"\r\n"STARTTLS" ACTIVE\r\nOK\r\n'
    assert watched.from_store(scripts + LISTED + scripts) == (
        scripts + LISTED.replace(b'"UNAUTHENTICATE"\r\n', b"") + scripts
    )


def test_a_line_without_end_ends_it():
    watched = watching()
    for _ in range(LINE_LIMIT // 1000 + 1):
        assert watched.from_client(b"a" * 1000) == b""
    assert watched.answers() == b'BYE "Line too long"\r\n'
    assert has_ended(watched)


def test_scripts_are_not_kept():
    watched = watching()
    watched.from_client(b'PUTSCRIPT "a" {100000000+}\r\n')
    for _ in range(100):
        assert watched.from_client(b"x" * 1_000_000) == b"x" * 1_000_000
    assert watched.from_client(b"\r\nNOOP\r\n") == b"\r\nNOOP\r\n"


def test_the_largest_script_passes():
    line = b'PUTSCRIPT "a" {%d+}\r\n' % SCRIPT_LIMIT
    assert watching().from_client(line) == line


def test_who_insists_is_let_go():
    ended, store, heard = conversed(UNAUTHENTICATE * 1000, range(0, 16_000, 16))
    assert ended
    assert (store.heard, heard) == (b"", REFUSED * REFUSED_LIMIT + b'BYE "Too many commands"\r\n')


def test_very_many_commands_without_an_answer_end_it():
    watched = watching()
    assert watched.from_client(b"NOOP\r\n" * UNANSWERED_LIMIT) == b"NOOP\r\n" * UNANSWERED_LIMIT
    assert watched.from_client(b"NOOP\r\n") == b""
    assert watched.answers() == b'BYE "Too many commands"\r\n'


pieces = st.lists(
    st.sampled_from(
        [
            UNAUTHENTICATE,
            b"NOOP\r\n",
            b"NOOP ",
            b"CAPABILITY\r\n",
            b'PUTSCRIPT "a" ',
            b'PUTSCRIPT "\xc3\xa9" ',
            b"RENAMESCRIPT ",
            b"SETACTIVE ",
            b"{3+}\r\nabc",
            b"{16+}\r\n",
            b"{16}\r\n",
            b"{0+}\r\n",
            b'"',
            b'"a"',
            b"\r\n",
            b"\n",
            b" ",
            b"x",
        ]
    ),
    max_size=25,
).map(b"".join)


@settings(max_examples=300)
@given(pieces, st.sets(st.integers(0, 300), max_size=20))
def test_chunks_make_no_difference(octets, places):
    whole = conversed(octets)
    for cuts in (places, range(len(octets))):
        cut_up = conversed(octets, cuts)
        assert cut_up[:1] == whole[:1]
        if not whole[0]:  # else it is a matter of time what the store could still say
            assert cut_up[1].heard == whole[1].heard
            assert sorted(cut_up[2].splitlines()) == sorted(whole[2].splitlines())


@settings(max_examples=300)
@given(st.one_of(pieces, st.binary(max_size=200)))
def test_whatever_is_said_the_store_hears_no_command_that_must_not_pass(octets):
    assert b"UNAUTHENTICATE" not in conversed(octets)[1].commands()[0]


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_whatever_the_store_says_reaches_the_client(said):
    octets = b"".join(said) + b"x" * 40  # of a line, the beginning is held back
    assume(b"UNAUTH" not in octets.upper())
    watched = watching()
    heard = b"".join(map(watched.from_store, [*said, b"x" * 40]))
    assert octets.startswith(heard)
    assert len(octets) - len(heard) < 40
