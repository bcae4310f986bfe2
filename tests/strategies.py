"""What hypothesis draws for more than one test."""

import itertools

from hypothesis import strategies as st

user_names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=60)
secrets = st.binary(max_size=200).map(lambda octets: octets.replace(b"\0", b"\1"))

_SYNTAX = st.sampled_from([b" ", b"\r\n", b"\r", b"\n", b"\0", b'"', b"\\", *(b"%c" % char for char in b"(){}[]=*+")])
_WORDS = st.sampled_from(
    b"a b2 NOOP CAPABILITY ID LOGIN AUTHENTICATE PLAIN LOGOUT SELECT NIL user AHVzZXIAc2VjcmV0 YQ== OK NO BAD BYE m1"
    b" PREAUTH \xc3\xa9 \xff \x16\x03\x01".split(),
)
_LITERALS = st.sampled_from(
    [b"{%b}\r\n" % inside for inside in b"0 3 3+ 0+ 04+ 70000 70000+ 99999999999 99999999999999999999+ -1 3++".split()],
)
_LONG = st.sampled_from([b"a" * 300, b"a" * 9000, b"a" * 70000])
_COMMANDS = st.sampled_from(
    [
        b"a NOOP\r\n",
        b"a CAPABILITY\r\n",
        b'a ID ("name" NIL)\r\n',
        b"a LOGIN user secret\r\n",
        b'a LOGIN "us\\"er" {3+}\r\nabc\r\n',
        b"a LOGIN {4}\r\nuser {3}\r\nabc\r\n",
        b"a AUTHENTICATE PLAIN\r\n",
        b"a AUTHENTICATE PLAIN AHVzZXIAc2VjcmV0\r\n",
    ],
)
_RESPONSES = st.sampled_from(
    [
        b"* OK hello\r\n",
        b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR ID LITERAL+] hello\r\n",
        b"* CAPABILITY IMAP4rev1\r\n",
        b'* ID ("name" {4}\r\nevil)\r\n',
        b"+ go on\r\n",
        b"m1 OK done\r\n",
        b"m1 OK [CAPABILITY IMAP4rev1 IDLE] in\r\n",
        b"m2 OK done\r\n",
        b"m2 NO [LIMIT] no\r\n",
        b"m2 BAD what\r\n",
        b"* BYE going\r\n",
    ],
)

client_pieces = st.one_of(_COMMANDS, _SYNTAX, _WORDS, _LITERALS, _LONG)
"""What an IMAP client says, whole and in pieces, and what it should not."""
store_pieces = st.one_of(_RESPONSES, _SYNTAX, _WORDS, _LITERALS, _LONG)
"""What an IMAP store says, likewise."""


def cut(octets, places):
    """Return the octets in chunks, cut at these places."""
    edges = [0, *sorted(place for place in places if place < len(octets)), len(octets)]
    return [octets[start:end] for start, end in itertools.pairwise(edges) if start < end]


@st.composite
def chunked(draw, pieces, first=b""):
    """Draw the chunks in which one side says something that begins with ``first``."""
    octets = first + b"".join(draw(st.lists(pieces, max_size=25)))
    return cut(octets, draw(st.sets(st.integers(0, max(1, len(octets))), max_size=30)))
