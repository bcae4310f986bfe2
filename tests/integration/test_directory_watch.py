"""Following the changes of a real OpenLDAP, over our own transport."""

import pytest

from mmp.directory.changes import Changes
from mmp.directory.ldap.replica import LDAPURL, Opening
from mmp.directory.ldap.watch import Watch
from mmp.net.connect import Connector, TLSConnector
from mmp.net.tls import ClientTLS
from tests.directory.ldap.fakes import Noted
from tests.integration.slapd import BASE, slapd
from tests.net.turning import Turning


class Loopback:
    """A resolver without threads."""

    async def addresses(self, host):
        return ("127.0.0.1",)


def person(uid, base=BASE):
    """Return the LDIF of a user."""
    classes = "objectClass: account\nobjectClass: inetMailUser\nobjectClass: inetUser\n"
    return f"dn: uid={uid},{base}\n{classes}uid: {uid}\nmailHost: store1\n\n"


def status(uid, value):
    """Return the LDIF of a change."""
    return f"dn: uid={uid},{BASE}\nchangetype: modify\nreplace: inetUserStatus\ninetUserStatus: {value}\n"


PEOPLE = person("alice") + person("bob")


class Watching:
    """A watch on an event loop that the test turns, and what it has told."""

    def __init__(self):
        self.turning = Turning()
        self.log = Noted()
        self.told = []

    def begin(self, *urls, base=BASE):
        reactor = self.turning.reactor
        tls = ClientTLS(ca=b"")
        connector = TLSConnector(Connector(self.turning.loop, Loopback()), tls, implicit=False)
        openings = [Opening(LDAPURL.parse(url), connector, reactor, 5.0) for url in urls]
        self.watch = Watch(openings, base, reactor, self.log, Changes(reactor, self.told.append))
        self.watch.start()

    def until_told(self, changed):
        self.turning.until(lambda: changed in self.told)

    def results(self):
        return [(facts["result"], facts["reason"]) for _, _, facts in self.log.events]


@pytest.fixture
def watching():
    made = Watching()
    yield made
    made.watch.stop()
    made.turning.close()


@pytest.fixture
def server(ports):
    with slapd(ports, PEOPLE, synchronized=True) as running:
        yield running


def test_each_change_is_told_by_the_name_of_its_entry(watching, server):
    watching.begin(server.url)
    watching.until_told(None)
    assert watching.results() == [("begun", "content synchronization")]
    server.change(status("alice", "inactive"))
    watching.until_told({f"uid=alice,{BASE}"})
    server.change(f"dn: uid=bob,{BASE}\nchangetype: delete\n")
    watching.until_told({f"uid=bob,{BASE}"})
    server.change(person("carol").replace("objectClass", "changetype: add\nobjectClass", 1))
    watching.until_told({f"uid=carol,{BASE}"})
    server.change(f"dn: uid=carol,{BASE}\nchangetype: modrdn\nnewrdn: uid=caroline\ndeleteoldrdn: 1\n")
    watching.until_told({f"uid=caroline,{BASE}"})


def test_nothing_of_a_directory_is_sent_that_does_not_change(watching, ports):
    with slapd(ports, "".join(person(f"user{number}") for number in range(2000)), synchronized=True) as server:
        watching.begin(server.url)
        watching.until_told(None)
        server.change(status("user7", "inactive"))
        watching.until_told({f"uid=user7,{BASE}"})
        assert watching.told == [None, {f"uid=user7,{BASE}"}]


def test_a_server_that_was_restarted_is_followed_again_and_anything_may_have_changed(watching, server):
    watching.begin(server.url)
    watching.until_told(None)
    watching.told.clear()
    server.stop()
    server.start()
    watching.until_told(None)
    assert [result for result, _ in watching.results()] == ["begun", "none", "begun"]
    server.change(status("alice", "inactive"))
    watching.until_told({f"uid=alice,{BASE}"})


def test_the_second_server_is_followed_while_the_first_is_away(watching, server, ports):
    watching.begin(f"ldap://127.0.0.1:{ports.free()}", server.url)
    watching.until_told(None)
    assert watching.results()[-1] == ("begun", "content synchronization")


def test_a_server_without_a_way_to_tell_is_told_of_once(watching, ports):
    with slapd(ports, PEOPLE) as silent:
        watching.begin(silent.url)
        watching.turning.until(watching.results)
        why = "the server offers neither content synchronization nor persistent search"
        assert watching.results() == [("none", why)]
        assert watching.told == []


def test_without_a_base_every_database_of_the_server_is_followed(watching, server):
    watching.begin(server.url, base="")
    watching.until_told(None)
    server.change(status("alice", "inactive"))
    watching.until_told({f"uid=alice,{BASE}"})


def test_a_state_that_may_not_be_read_is_the_reason_for_no_watch(watching, ports):
    with slapd(ports, PEOPLE, synchronized=True, others="none") as closed:
        watching.begin(closed.url)
        watching.turning.until(watching.results)
        assert watching.results() == [
            ("none", f"content synchronization: no contextCSN at {BASE} that we can read"),
        ]
