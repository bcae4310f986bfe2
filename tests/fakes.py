"""Stand-ins for the parts around a session, which a test holds still and lets go one step at a time."""

from twisted.internet.defer import Deferred

from mmp.model import Account, Security
from mmp.wire.events import LoggedIn

TLS = Security("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256)


async def never_asked(challenge):
    """Be the client of a mechanism that is over with its first message."""
    raise AssertionError(challenge)


class Gates:
    """Named places at which somebody waits until the test opens them."""

    def __init__(self):
        self.waiting = {}
        self.passed = []

    def at(self, name):
        """Return what is to be awaited there."""
        gate = Deferred(lambda _: self.waiting.pop(name))
        assert name not in self.waiting
        self.waiting[name] = gate
        return gate

    def open(self, name, result=None):
        """Let whoever waits there go on, with a result or an exception."""
        self.passed.append(name)
        self.waiting.pop(name).callback(result)

    def fail(self, name, error):
        """Raise the error where somebody waits."""
        self.waiting.pop(name).errback(error)


class Channel:
    """Our end of a connection: what was written, and whether it was closed."""

    def __init__(self, gates, core):
        self.gates = gates
        self.core = core
        self.written = b""
        self.closed = self.aborted = 0

    def write(self, octets):
        self.written += octets

    def more(self):
        return self.gates.at("more")

    def start_tls(self):
        return self.gates.at("handshake")

    def close(self):
        self.closed += 1

    def abort(self):
        self.aborted += 1

    def say(self, octets):
        """Send something as the other end."""
        self.core.receive_data(octets)
        self.gates.open("more")

    def said(self):
        """Return and forget what was written."""
        written, self.written = self.written, b""
        return written


class Stream:
    """A transport that only remembers what was done to it."""

    def __init__(self):
        self.written = b""
        self.closed = self.aborted = 0
        self.reading = True
        self.socket = self

    def getpeername(self):
        return "192.0.2.9", 143

    def write(self, octets):
        self.written += octets

    def pauseProducing(self):  # noqa: N802 - Twisted's name
        self.reading = False

    def resumeProducing(self):  # noqa: N802 - Twisted's name
        self.reading = True

    def loseConnection(self):  # noqa: N802 - Twisted's name
        self.closed += 1

    def abortConnection(self):  # noqa: N802 - Twisted's name
        self.aborted += 1


class Slot:
    """A lease."""

    def __init__(self):
        self.closed = 0

    def close(self):
        self.closed += 1


class Authenticator:
    """Knows everybody, as soon as the test lets it."""

    def __init__(self, gates):
        self.gates = gates
        self.moved = None
        self.reconsidered = 0

    async def locate(self, client, credentials, ask):
        await self.gates.at("locate")
        return Account(credentials.user.lower(), credentials.user, "store1")

    async def reconsider(self, client, credentials, ask, account):
        self.reconsidered += 1
        if self.moved is not None:
            await self.gates.at("reconsider")
        if isinstance(self.moved, Exception):
            raise self.moved
        return self.moved


class Limits:
    """Grants leases."""

    def __init__(self, gates):
        self.gates = gates
        self.granted = []

    async def admit(self, client, account):
        await self.gates.at("admit")
        self.granted.append(Slot())
        return self.granted[-1]


class Throttle:
    """Remembers what became of attempts."""

    def __init__(self, gates):
        self.gates = gates
        self.outcomes = []
        self.closed = 0

    async def hold(self, client, credentials):
        await self.gates.at("hold")
        return self

    def failed(self):
        self.outcomes.append("failed")

    def succeeded(self):
        self.outcomes.append("succeeded")

    def close(self):
        self.closed += 1


class Backend:
    """A store connection on which somebody is logged in."""

    name = "store1"

    def __init__(self, channel=None, trailing=b""):
        self.channel = channel or Channel(None, None)
        self.logged_in = LoggedIn((b"IMAP4rev1", b"IDLE"), b"Welcome", trailing)


class Dialer:
    """Logs in at a store."""

    def __init__(self, gates):
        self.gates = gates
        self.backends = []

    async def connect(self, client, account, credentials, ask):
        """Ask what the test says to ask, until it has nothing more to ask."""
        while challenge := await self.gates.at("connect"):
            self.gates.passed.append(await ask(challenge))
        self.backends.append(Backend())
        return self.backends[-1]


class Relays:
    """Takes over, unless a connection is already lost."""

    def __init__(self):
        self.taken = []
        self.lost = False

    def take_over(self, channel, relayed, trailing, record):
        if self.lost:
            raise ConnectionError("connection lost")
        self.taken.append((channel, relayed, trailing, record))


class Log:
    """Remembers events."""

    def __init__(self):
        self.events = []

    def heeds(self, level):
        """Heed everything."""
        return True

    def event(self, name, level="info", /, **facts):
        self.tell(name, level, facts)

    def tell(self, name, level, facts, /):
        self.events.append((name, level, facts))

    def named(self, name):
        """Return the facts of all events of that name."""
        return [facts for event, _, facts in self.events if event == name]
