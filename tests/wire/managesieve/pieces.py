"""What hypothesis draws of ManageSieve."""

from hypothesis import strategies as st

_SYNTAX = st.sampled_from([b" ", b"\r\n", b"\r", b"\n", b"\0", b'"', b"\\", b"{", b"}", b"(", b")", b"+", b"*"])
_WORDS = st.sampled_from(
    b'NOOP LOGOUT AUTHENTICATE "PLAIN" "AHVzZXIAc2VjcmV0" LISTSCRIPTS OK NO BYE (TRYLATER) (SASL "SASL" "SIEVE" ""'
    b" \xc3\xa9 \xff \x16\x03\x01".split(),
)
_LITERALS = st.sampled_from(
    [b"{%b}\r\n" % inside for inside in b"0 0+ 3 3+ 04+ 70000 99999 99999999999999999999+ -1 3++".split()],
)
_LONG = st.sampled_from([b"a" * 300, b"a" * 9000, b"a" * 70000])
_COMMANDS = st.sampled_from(
    [
        b"NOOP\r\n",
        b'NOOP {3+}\r\na"b\r\n',
        b"CAPABILITY\r\n",
        b'AUTHENTICATE "PLAIN"\r\n',
        b'AUTHENTICATE "PLAIN" "AHVzZXIAc2VjcmV0"\r\n',
        b'AUTHENTICATE "PLAIN" {16+}\r\nAHVzZXIAc2VjcmV0\r\n',
        b'"AHVzZXIAc2VjcmV0"\r\n',
        b'"*"\r\n',
    ],
)
_RESPONSES = st.sampled_from(
    [
        b'"SIEVE" "fileinto"\r\n',
        b'"SASL" {5}\r\nPLAIN\r\n',
        b'"XCLIENT"\r\n',
        b"OK\r\n",
        b'OK "in"\r\n',
        b'OK (SASL "dj0x") "in"\r\n',
        b"NO (TRYLATER) {3}\r\nx\r\n\r\n",
        b'"Ym4="\r\n',
        b'BYE "bye"\r\n',
    ],
)

client_pieces = st.one_of(_COMMANDS, _SYNTAX, _WORDS, _LITERALS, _LONG)
"""What a client says, whole and in pieces, and what it should not."""
store_pieces = st.one_of(_RESPONSES, _SYNTAX, _WORDS, _LITERALS, _LONG)
"""What a store says, likewise."""
