"""What hypothesis draws of POP3."""

from hypothesis import strategies as st

_SYNTAX = st.sampled_from([b" ", b"\r\n", b"\r", b"\n", b"\0", b".", b"\r\n.\r\n", b"=", b"*", b"[", b"]", b"<"])
_WORDS = st.sampled_from(
    b"CAPA NOOP QUIT USER PASS APOP AUTH PLAIN STAT STLS user AHVzZXIAc2VjcmV0 YQ== +OK -ERR + [AUTH] [SYS/TEMP]"
    b" c4c9334bac560ecc979e58001b3e22fb \xc3\xa9 \xff \x16\x03\x01".split(),
)
_LONG = st.sampled_from([b"a" * 200, b"a" * 300, b"a" * 9000, b"a" * 70000])
_COMMANDS = st.sampled_from(
    [
        b"NOOP\r\n",
        b"CAPA\r\n",
        b"AUTH\r\n",
        b"USER user\r\n",
        b"USER user\r\nPASS secret\r\n",
        b"PASS  x \xff \r\n",
        b"APOP user c4c9334bac560ecc979e58001b3e22fb\r\n",
        b"XCLIENT ADDR=192.0.2.7 TTL=3\r\n",
        b"AUTH PLAIN\r\n",
        b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n",
        b"AHVzZXIAc2VjcmV0\r\n",
    ],
)
_RESPONSES = st.sampled_from(
    [
        b"+OK hello\r\n",
        b"+OK\r\nTOP\r\nSASL PLAIN\r\n.\r\n",
        b"+OK\r\n.\r\n",
        b"+ \r\n",
        b"+ YQ==\r\n",
        b"-ERR\r\n",
        b"-ERR [AUTH] no\r\n",
        b"-ERR [SYS/TEMP] later\r\n",
    ],
)

client_pieces = st.one_of(_COMMANDS, _SYNTAX, _WORDS, _LONG)
"""What a client says, whole and in pieces, and what it should not."""
store_pieces = st.one_of(_RESPONSES, _SYNTAX, _WORDS, _LONG)
"""What a store says, likewise."""
