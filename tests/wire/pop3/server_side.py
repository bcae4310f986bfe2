"""What the tests of every server core need to know of POP3."""

import base64

from mmp.wire.events import LoggedIn
from mmp.wire.pop3.server import SECRET_LIMIT, Server
from tests.wire.pop3.pieces import client_pieces
from tests.wire.server_side import ServerSide

POP3 = ServerSide(
    name="pop3",
    core=Server,
    mechanisms=("PLAIN", "CRAM-MD5"),
    pieces=client_pieces,
    noop=b"NOOP\r\n",
    noop_ok=b"+OK Still here\r\n",
    login=lambda password: b"AUTH PLAIN %b\r\n" % base64.b64encode(b"\0user\0" + password),
    exchange=b"AUTH PLAIN\r\n",
    starttls=b"STLS\r\n",
    starttls_spoilt=b"-ERR Bytes behind STLS\r\n",
    logout=b"QUIT\r\n",
    logout_ok=b"+OK Logging out\r\n",
    later=b"STAT\r\n",
    let_in=LoggedIn((), b"Welcome", b""),
    welcome=b"+OK Welcome\r\n",
    refused=b"-ERR ",
    cancelled=b"-ERR ",
    turned_away=b"-ERR ",
    shutting_down=b"-ERR [SYS/TEMP] ",
    squeamish=(
        b"USER user\r\nPASS squeamish\r\n",
        b"AUTH PLAIN AHVzZXIAc3F1ZWFtaXNo\r\n",
        b"AUTH PLAIN\r\nAHVzZXIAc3F1ZWFtaXNo\r\n",
    ),
    squeamish_unfinished=(b"USER user\r\nPASS squeamish", b"AUTH PLAIN squeamish", b"PASS squeamish\n"),
    conversation=b"CAPA\r\nUSER user\r\nPASS wrong\r\nAUTH PLAIN\r\nAHVzZXIAc2VjcmV0\r\nYQ==\r\nSTAT\r\n",
    flood=(
        [b"x" * 1000],
        [b"PASS ", b"x" * 1000],
        [b"AUTH ", b"x" * 1000],
        [b"AUTH PLAIN\r\n", b"x" * 1000],
        [b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n", b"x" * 1000],
        [b"USER u\r\nPASS s\r\n"],
        [b"NOOP\r\n"],
        [b"XYZZY\r\n"],
    ),
    held=lambda core: [(core.buffered, SECRET_LIMIT)],
)
