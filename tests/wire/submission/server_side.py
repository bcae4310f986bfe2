"""What the tests of every server core need to know of submission."""

import base64

from mmp.wire.events import LoggedIn
from mmp.wire.submission.server import AUTH_LIMIT, Server
from tests.wire.server_side import ServerSide
from tests.wire.submission.pieces import client_pieces

SUBMISSION = ServerSide(
    name="submission",
    core=Server,
    mechanisms=("PLAIN", "LOGIN", "CRAM-MD5"),
    pieces=client_pieces,
    prelude=b"EHLO client\r\n",
    noop=b"NOOP\r\n",
    noop_ok=b"250 2.0.0 Still here\r\n",
    login=lambda password: b"AUTH PLAIN %b\r\n" % base64.b64encode(b"\0user\0" + password),
    exchange=b"AUTH PLAIN\r\n",
    starttls=b"STARTTLS\r\n",
    starttls_spoilt=b"421 4.7.0 Bytes behind STARTTLS\r\n",
    logout=b"QUIT\r\n",
    logout_ok=b"221 2.0.0 Goodbye\r\n",
    later=b"MAIL FROM:<>\r\n",
    let_in=LoggedIn((), b"Welcome", b""),
    welcome=b"235 2.7.0 Welcome\r\n",
    refused=(b"4", b"5"),
    cancelled=b"501 5.0.0 ",
    turned_away=b"421 4.",
    shutting_down=b"421 4.3.2 ",
    squeamish=(
        b"AUTH PLAIN AHVzZXIAc3F1ZWFtaXNo\r\n",
        b"AUTH PLAIN\r\nAHVzZXIAc3F1ZWFtaXNo\r\n",
    ),
    squeamish_unfinished=(b"AUTH PLAIN squeamish", b"AUTH PLAIN squeamish\n", b"AUTH PLAIN\r\nsqueamish"),
    conversation=b"EHLO c\r\nMAIL FROM:<x>\r\nBDAT 6 LAST\r\nQUIT\r\nAUTH LOGIN\r\ndQ==\r\ncA==\r\n"
    b"AUTH PLAIN AHUAcA==\r\nYQ==\r\nMAIL FROM:<>\r\n",
    flood=(
        [b"x" * 1000],
        [b"MAIL ", b"x" * 1000],
        [b"AUTH ", b"x" * 1000],
        [b"EHLO c\r\nAUTH PLAIN\r\n", b"x" * 1000],
        [b"EHLO c\r\nAUTH PLAIN AHVzZXIAc2VjcmV0\r\n", b"x" * 1000],
        [b"BDAT 1000000\r\n", b"x" * 1000],
        [b"EHLO c\r\nAUTH LOGIN dQ==\r\ncA==\r\n"],
        [b"NOOP\r\n"],
        [b"XYZZY\r\n"],
    ),
    held=lambda core: [(core.buffered, AUTH_LIMIT)],
)
