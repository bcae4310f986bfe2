"""The server cores that the tests of all protocols are held with: a new protocol is a row here."""

from tests.wire.imap.server_side import IMAP
from tests.wire.managesieve.server_side import MANAGESIEVE
from tests.wire.pop3.server_side import POP3
from tests.wire.submission.server_side import SUBMISSION

SERVERS = (IMAP, POP3, SUBMISSION, MANAGESIEVE)
