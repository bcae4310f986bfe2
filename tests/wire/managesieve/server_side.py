"""What the tests of every server core need to know of ManageSieve."""

import base64

from mmp.wire.events import LoggedIn
from mmp.wire.managesieve.reader import LINE_LIMIT, SIZE_LIMIT
from mmp.wire.managesieve.server import Server
from tests.wire.managesieve.pieces import client_pieces
from tests.wire.server_side import ServerSide


def _held(core):
    reader = core._reader
    yield core.buffered + len(reader._text) + sum(map(len, reader._literals)), SIZE_LIMIT + LINE_LIMIT


MANAGESIEVE = ServerSide(
    name="managesieve",
    core=Server,
    mechanisms=("PLAIN",),
    pieces=client_pieces,
    noop=b"NOOP\r\n",
    noop_ok=b'OK "NOOP completed"\r\n',
    login=lambda password: b'AUTHENTICATE "PLAIN" "%b"\r\n' % base64.b64encode(b"\0user\0" + password),
    exchange=b'AUTHENTICATE "PLAIN"\r\n',
    starttls=b"STARTTLS\r\n",
    starttls_spoilt=b'BYE "Bytes behind STARTTLS"\r\n',
    logout=b"LOGOUT\r\n",
    logout_ok=b'OK "Logging out"\r\n',
    later=b"LISTSCRIPTS\r\n",
    let_in=LoggedIn((), b"Welcome", b""),
    welcome=b'OK "Welcome"\r\n',
    refused=b"NO ",
    cancelled=b"NO ",
    turned_away=b"BYE ",
    shutting_down=b"BYE (TRYLATER) ",
    squeamish=(
        b'AUTHENTICATE "PLAIN" "AHVzZXIAc3F1ZWFtaXNo"\r\n',
        b'AUTHENTICATE "PLAIN" {20+}\r\nAHVzZXIAc3F1ZWFtaXNo\r\n',
        b'AUTHENTICATE "PLAIN"\r\n{20+}\r\nAHVzZXIAc3F1ZWFtaXNo\r\n',
    ),
    squeamish_unfinished=(
        b'AUTHENTICATE "PLAIN" {20+}\r\nsqueamish',
        b'AUTHENTICATE "PLAIN" {9+}\r\nsqueamish {99999+}\r\n',
    ),
    conversation=b'NOOP {3+}\r\nx\r\n\r\nAUTHENTICATE "PLAIN"\r\n'
    b'{16+}\r\nAHVzZXIAc2VjcmV0\r\n"YQ=="\r\nLISTSCRIPTS\r\n',
    flood=(
        [b"x" * 1000],
        [b"NOOP {90000+}\r\n", b"x" * 1000],
        [b"NOOP {60000+}\r\n" + b"x" * 60000 + b" {30000+}\r\n", b"x" * 1000],
        [b'AUTHENTICATE "PLAIN"\r\n', b"x" * 1000],
        [b'AUTHENTICATE "PLAIN" "AHVzZXIAc2VjcmV0"\r\n'],
        [b"NOOP {1000+}\r\n" + b"\0" * 1000 + b"\r\n"],
        [b"XYZZY\r\n"],
    ),
    held=_held,
    reply_limit=1100,
)
