"""What hypothesis draws of submission."""

from hypothesis import strategies as st

_SYNTAX = st.sampled_from([b" ", b"\r\n", b"\r", b"\n", b"\0", b".", b"\r\n.\r\n", b"=", b"*", b"<", b">", b"-"])
_WORDS = st.sampled_from(
    b"EHLO HELO AUTH PLAIN LOGIN MAIL RCPT DATA BDAT STARTTLS NOOP RSET QUIT user AHVzZXIAc2VjcmV0 YQ== 250 334 235"
    b" 5.7.8 XCLIENT \xc3\xa9 \xff \x16\x03\x01".split(),
)
_LONG = st.sampled_from([b"a" * 200, b"a" * 600, b"a" * 9000, b"a" * 70000])
_COMMANDS = st.sampled_from(
    [
        b"EHLO client.example.com\r\n",
        b"HELO [192.0.2.7]\r\n",
        b"NOOP\r\n",
        b"RSET\r\n",
        b"HELP\r\n",
        b"VRFY user\r\n",
        b"MAIL FROM:<user@example.com> SIZE=5\r\n",
        b"DATA\r\n",
        b"BDAT 12 LAST\r\nAUTH PLAIN\r\n",
        b"BDAT 3\r\n",
        b"AUTH PLAIN\r\n",
        b"AUTH LOGIN dXNlcg==\r\n",
        b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n",
        b"AHVzZXIAc2VjcmV0\r\n",
        b"*\r\n",
    ],
)
_RESPONSES = st.sampled_from(
    [
        b"220 hello\r\n",
        b"220-hello\r\n220 there\r\n",
        b"250-store\r\n250-SIZE 5\r\n250 AUTH PLAIN\r\n",
        b"250-store\r\n250-XCLIENT ADDR LOGIN\r\n250 AUTH PLAIN\r\n",
        b"250 store\r\n",
        b"334 \r\n",
        b"334 YQ==\r\n",
        b"235 2.7.0 in\r\n",
        b"535 5.7.8 no\r\n",
        b"454 4.7.0 later\r\n",
        b"421 4.3.2 going\r\n",
    ],
)

client_pieces = st.one_of(_COMMANDS, _SYNTAX, _WORDS, _LONG)
"""What a client says, whole and in pieces, and what it should not."""
store_pieces = st.one_of(_RESPONSES, _SYNTAX, _WORDS, _LONG)
"""What a store says, likewise."""
