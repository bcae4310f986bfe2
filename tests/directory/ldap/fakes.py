"""A directory server played by the test, in memory."""

from twisted.internet.defer import Deferred, fail, succeed

from mmp.model import Security
from tests.directory.ldap.oracle import read


class Wire:
    """Our transport, and behind it the server: what it was sent, and how it answers."""

    def __init__(self, receiver):
        self.receiver = receiver
        self.unread = b""
        self.closed = ""
        self.secured_for = None

    def write(self, octets):
        assert not self.closed
        self.unread += octets

    def loseConnection(self):  # noqa: N802 - Twisted's name
        self.closed = self.closed or "in order"

    def abortConnection(self):  # noqa: N802 - Twisted's name
        self.closed = self.closed or "aborted"

    def asked(self):
        """Return what was sent since the last call, as (number, operation)."""
        messages, self.unread = read(self.unread), b""
        return [(number, name) for number, name, _ in messages]

    def number(self):
        """Return the number of the one operation that was sent since the last call."""
        ((number, _),) = self.asked()
        return number

    def answer(self, *messages):
        """Send messages, in one piece."""
        self.receiver.dataReceived(b"".join(messages))

    def lose(self, why="reset"):
        """Lose the connection."""
        self.closed = self.closed or "lost"
        self.receiver.connectionLost(ConnectionResetError(why))


class Connecting:
    """A connector whose attempts succeed at once, fail, or hang, as the test has it."""

    def __init__(self, failure=None, hanging=False, handshake=None):
        self.failure = failure
        self.hanging = hanging
        self.handshake = handshake
        self.attempts = 0
        self.given_up = 0
        self.wires = []

    @property
    def wire(self):
        """The newest connection."""
        return self.wires[-1]

    def connect(self, endpoint, receiver):
        self.attempts += 1
        self.endpoint = endpoint
        if self.hanging:
            return Deferred(self._give_up)
        if self.failure:
            return fail(self.failure)
        self.wires.append(Wire(receiver))
        return succeed(self.wire)

    def start_tls(self, transport, host):
        if self.handshake:
            return fail(self.handshake)
        transport.secured_for = host
        return succeed(Security("TLSv1.3", "any", 128))

    def _give_up(self, _):
        self.given_up += 1


class Noted:
    """A log that remembers."""

    def __init__(self):
        self.events = []

    def heeds(self, level):
        """Heed everything."""
        return True

    def event(self, name, level="info", /, **facts):
        self.tell(name, level, facts)

    def tell(self, name, level, facts, /):
        self.events.append((name, level, facts))

    def results(self):
        """Return what was told of the directory's servers."""
        return [(facts["url"], facts["result"]) for _, _, facts in self.events]
