"""A session among stand-ins: a real core toward the client, and a login whose every step waits for the test."""

from twisted.python.failure import Failure

from mmp.model import Client, Endpoint, Offer, Service
from mmp.session.login import Login
from mmp.session.record import Record
from mmp.session.session import Session
from mmp.session.throttled import Throttled
from mmp.wire.imap.server import Server
from tests import fakes
from tests.running import started

SECRET = b"s3cret-of-alice"
LOGIN = b"a LOGIN Alice %b\r\n" % SECRET
STEPS = ("hold", "locate", "admit", "connect")


def offer(security):
    return Offer(
        ("PLAIN", "SCRAM-SHA-1") if security.encrypted else (),
        plaintext=security.encrypted,
        starttls=not security.encrypted,
    )


def client():
    return Client("s1", Service.IMAP, Endpoint("192.0.2.7", 51234), Endpoint("192.0.2.1", 993))


class Scene:
    """One session; begun under TLS unless it is told to begin in clear."""

    def __init__(self, *, clear=False, dialer=None, max_failures=3, relayed=False):
        self.gates = fakes.Gates()
        self.core = Server(offer=offer(fakes.Security()), hostname="proxy.example", timestamp=b"<1.2@mail.example.com>")
        self.channel = fakes.Channel(self.gates, self.core)
        self.authenticator = fakes.Authenticator(self.gates)
        self.limits = fakes.Limits(self.gates)
        self.throttle = fakes.Throttle(self.gates)
        self.dialer = dialer(self.gates) if dialer else fakes.Dialer(self.gates)
        self.relays = fakes.Relays()
        self.log = fakes.Log()
        self.record = Record(client(), 0.0)
        session = Session(
            record=self.record,
            channel=self.channel,
            core=self.core,
            implicit_tls=not clear,
            offer=offer,
            log_in=Throttled(self.throttle, Login(self.authenticator, self.limits, self.dialer, relayed)),
            relays=self.relays,
            log=self.log,
            max_failures=max_failures,
        )
        self.ended = []
        self.running = started(session.run())
        self.running.addBoth(self.ended.append)
        if not clear:
            self.gates.open("handshake", fakes.TLS)

    def pass_steps(self, *steps):
        """Let a login go on through these steps."""
        for step in steps:
            self.gates.open(step)

    def log_in(self):
        """Let one login succeed, up to the hand-over."""
        self.channel.say(LOGIN)
        self.pass_steps(*STEPS)

    def refuse(self, refused, at="connect"):
        """Let one login be refused at a step."""
        self.channel.say(LOGIN)
        self.pass_steps(*STEPS[: STEPS.index(at)])
        self.gates.fail(at, refused)

    def outcome(self):
        """Return what the session ended with, or the exception; it must have ended."""
        (result,) = self.ended
        return result.value if isinstance(result, Failure) else result
