"""What the tests of every server core need to know of IMAP."""

from mmp.wire.events import LoggedIn
from mmp.wire.imap.command import COMMAND_LIMIT, LINE_LIMIT, LITERAL_LIMIT, Command
from mmp.wire.imap.server import Server
from tests.strategies import client_pieces
from tests.wire.server_side import ServerSide


def _held(core):
    command = core._reader._command or Command()  # none has begun
    yield core.buffered + len(command.text) + sum(map(len, command.literals)), COMMAND_LIMIT + LINE_LIMIT
    yield core.buffered, LITERAL_LIMIT


IMAP = ServerSide(
    name="imap",
    core=Server,
    mechanisms=("PLAIN",),
    pieces=client_pieces,
    noop=b"n NOOP\r\n",
    noop_ok=b"n OK NOOP completed\r\n",
    login=lambda password: b"a LOGIN user %b\r\n" % password,
    exchange=b"a AUTHENTICATE PLAIN\r\n",
    starttls=b"a STARTTLS\r\n",
    starttls_spoilt=b"a BAD Nothing may follow STARTTLS\r\n* BYE Bytes behind STARTTLS\r\n",
    logout=b"a LOGOUT\r\n",
    logout_ok=b"* BYE Logging out\r\na OK LOGOUT completed\r\n",
    later=b"b SELECT inbox\r\n",
    let_in=LoggedIn((b"IMAP4rev1",), b"Welcome", b""),
    welcome=b"a OK [CAPABILITY IMAP4rev1] Welcome\r\n",
    refused=b"a NO ",
    cancelled=b"a BAD ",
    turned_away=b"* BYE ",
    shutting_down=b"* BYE ",
    goodbye_answers_login=True,
    squeamish=(
        b"a LOGIN user squeamish\r\n",
        b'a LOGIN user "squeamish"\r\n',
        b"a LOGIN {4+}\r\nuser {9+}\r\nsqueamish\r\n",
        b"a AUTHENTICATE PLAIN AHVzZXIAc3F1ZWFtaXNo\r\n",
        b"a AUTHENTICATE PLAIN\r\nAHVzZXIAc3F1ZWFtaXNo\r\n",
    ),
    squeamish_unfinished=(
        b"a LOGIN {9+}\r\nsqueamish {99999+}\r\n",
        b"a LOGIN user squeamish x\r\n",
        b"a LOGIN user {9+}\r\nsqueamish",
    ),
    conversation=b'z NOOP\r\na ID ("f" {3+}\r\nx\r\n)\r\na LOGIN "u" {1+}\r\np\r\nb AUTHENTICATE PLAIN\r\n'
    b"AHVzZXIAc2VjcmV0\r\nYQ==\r\nb SELECT inbox\r\n",
    flood=(
        [b"x" * 1000],
        [b"a LOGIN {65536+}\r\n", b"x" * 1000],
        [b"a LOGIN {65536+}\r\n" + b"x" * 65536 + b" {60000+}\r\n", b"x" * 1000],
        [b"a ID (", b'"f" {60000+}\r\n' + b"x" * 60000 + b" "],
        [b"a NOOP {60000+}\r\n", b"x" * 60000 + b" {5000+}\r\n" + b"x" * 5000],
        [b"a AUTHENTICATE PLAIN\r\n", b"x" * 1000],
        [b"a LOGIN u s\r\n"],
        [b"a NOOP\r\n"],
        [b"a {1}\r\n"],
    ),
    held=_held,
)
