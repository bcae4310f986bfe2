"""A home with workers' desks before it, joined by links that the test can hold still."""

from collections import deque

from twisted.internet.task import Clock

from mmp.model import Client, Credentials, Endpoint, Service
from mmp.shared.admission import Door, Limits, Throttle
from mmp.shared.desk import Desk
from mmp.shared.guest import Guest
from mmp.shared.link import Kind
from mmp.shared.local import Home, Rules
from mmp.shared.metering import Meter
from tests import fakes
from tests.running import started

HERE, THERE = "192.0.2.1", "192.0.2.2"


def client(address=HERE, session="s1"):
    return Client(session, Service.IMAP, Endpoint(address, 50000), Endpoint("192.0.2.99", 143))


def credentials(user="alice", secret=b"wrong-1", mechanism="PLAIN"):
    return Credentials(mechanism, user, secret)


class Deadlines:
    """Remembers whose stand still."""

    def __init__(self):
        self.paused = []

    def pause(self, session):
        self.paused.append(session)

    def resume(self, session):
        self.paused.remove(session)


class Answers(list):
    """What a meter has told, and how often it has called since that was late."""

    def __init__(self, meter):
        super().__init__()
        self._meter = meter
        self.late = 0
        meter.go_on = self._count

    def _count(self):
        self.late += 1

    def ask(self, times=1):
        """Ask for so many."""
        for _ in range(times):
            self._meter.ask("messages_per_hour", self.append)


class Joined:
    """One worker: its desk, what asks there, and the home's guest for it; frames wait until they are let through."""

    def __init__(self, host):
        self.host = host
        self.log = fakes.Log()
        self.deadlines = Deadlines()
        self.up, self.down = deque(), deque()
        self.guest = Guest(host.home, lambda *frame: self.down.append(frame))
        own = Home(host.rules, host.clock.seconds)
        self.desk = Desk(host.clock, self._send, self._send, self.log, own)
        self.desk.received(Kind.KEY, host.home.key)
        self.door, self.limits = Door(self.desk, self.log), Limits(self.desk, self.log)
        self.throttle = Throttle(self.desk, host.clock, self.deadlines, self.log)

    def _send(self, *frame):
        self.up.append(frame)

    def admit(self, address=HERE, *, make_room=lambda: False):
        """Ask for a connection's slot."""
        return self.door.admit(client(address), make_room)

    def meter(self, user="alice"):
        """Return what counts the submissions of a user's session, with the answers that it has had and their number."""
        meter = Meter(self.desk, frozenset({"messages_per_hour"}), self.log, {"user": user})
        return meter, Answers(meter)

    def turn(self):
        """Let through what is on its way, and say whether there was anything."""
        moved = bool(self.up or self.down)
        while self.up:
            assert self.guest.received(*self.up.popleft())
        while self.down:
            assert self.desk.received(*self.down.popleft())
        return moved

    def ask(self, coroutine):
        """Begin something and let its frames through; return the Deferred."""
        asked = started(coroutine)
        self.host.turn()
        return asked


class Host:
    """A home and its workers, on one clock."""

    def __init__(self, workers=2, *, clock=None, **rules):
        self.clock = clock or Clock()
        self.rules = Rules(**rules)
        self.home = Home(self.rules, self.clock.seconds)
        self.workers = [Joined(self) for _ in range(workers)]

    def turn(self):
        """Let everything through, and what comes of it."""
        while sum(worker.turn() for worker in self.workers):
            pass

    def is_empty(self):
        """Tell whether nothing is held and nobody is in line."""
        return not len(self.home.counts) and not self.home.throttle.waiting and not self.home.queued
