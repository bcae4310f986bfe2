"""Hosts that share a store in the test's own memory, each with its workers, on one clock."""

from twisted.internet.task import Clock

from mmp.model import Account
from mmp.shared.elsewhere import Likewise
from mmp.shared.hosts import Hosts, Terms
from mmp.shared.kept_bans import KeptBans
from tests import fakes
from tests.directory.outcomes import finished
from tests.running import started
from tests.shared.desks import HERE, Host, client, credentials
from tests.shared.shelf import Shelf, ShelfStore

LEASE = 30.0


class Site:
    """One host of several, with its workers, and its use of the store."""

    def __init__(self, shelf, name, *, refusing=False, workers=1, state="/nowhere/state", **rules):
        self.log = fakes.Log()
        self.state = state
        self._make = lambda: Host(workers, clock=shelf.clock, **rules)
        self.host = self._make()
        self.join(shelf, name, refusing=refusing)

    def restart(self, shelf, name):
        """End, and begin anew with what is in the file of the state."""
        self.hosts.stop()
        self.bans.close()
        self.host = self._make()
        self.join(shelf, name, away=self.store.away)

    def join(self, shelf, name, *, refusing=False, away=False, untold=()):
        """Begin to share; a host that has been down has another name afterwards."""
        self.store = ShelfStore(shelf, name, LEASE, away=away)
        home = self.host.home
        self.bans = KeptBans(shelf.clock, home, self.log, self.state, shelf.clock.seconds)
        self.bans.open()
        self.bans.restore(untold)
        self.kicks = []
        likewise = Likewise(self.bans, self.kicks.append)
        terms = Terms("mmp", LEASE, refusing)
        self.hosts = Hosts(shelf.clock, self.store, home, self.log, terms, elsewhere=likewise)
        home.others = self.hosts
        self.hosts.start()
        self.settle()
        self.store.asked.clear()

    def settle(self):
        """Let everything through that is on its way, without time passing."""
        for _ in range(4):
            self.host.turn()
            self.host.clock.advance(0)

    def ask(self, coroutine):
        asked = started(coroutine)
        self.settle()
        return asked

    def admit(self, address=HERE):
        return self.ask(self.host.workers[0].admit(address))

    def user(self, name="alice", store="store1"):
        return self.ask(self.host.workers[0].limits.admit(client(), Account(name, name, store)))

    def hold(self, secret=b"wrong-1", user="alice", address=HERE):
        return self.ask(self.host.workers[0].throttle.hold(client(address), credentials(user, secret)))

    def fail(self, secret, user="alice", address=HERE):
        finished(self.hold(secret, user, address)).failed()
        self.settle()

    def told(self):
        return [facts["result"] for facts in self.log.named("shared")]


class Sites:
    """Two or more of them on one clock and one shelf."""

    def __init__(self, count=2, *, refusing=False, folder="/nowhere", **rules):
        self.clock = Clock()
        self.shelf = Shelf(self.clock)
        self.sites = [
            Site(self.shelf, f"host{number}", refusing=refusing, state=f"{folder}/state{number}", **rules)
            for number in range(count)
        ]
        for site in self.sites[1:]:  # one secret for all, so that they can compare
            site.host.home.key = self.sites[0].host.home.key
            for worker in site.host.workers:
                worker.desk.key = site.host.home.key

    def pass_time(self, seconds):
        """Let time pass, in steps in which everything gets through."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self.clock.advance(min(1.0, end - self.clock.seconds()))
            for site in self.sites:
                site.settle()
