"""Following changes at a server that the test plays."""

from types import SimpleNamespace

import pytest
from pyasn1.codec.ber import decoder
from pyasn1.type import namedtype, univ
from twisted.internet.task import Clock

from mmp.directory.changes import MOMENT, REST, Changes
from mmp.directory.ldap.ber import BOOLEAN, ENUMERATED, OCTET_STRING, SEQUENCE, element, integer
from mmp.directory.ldap.controls import CONTENT_SYNCHRONIZATION, PERSISTENT_SEARCH
from mmp.directory.ldap.replica import LDAPURL, Opening
from mmp.directory.ldap.watch import Watch
from tests.directory.ldap import oracle
from tests.directory.ldap.fakes import Connecting, Noted

BASE = "ou=people,dc=example,dc=com"
STATES = [b"20261124000000.000000Z#000000#001#000000", b"20261124000000.000000Z#000000#002#000000"]
NEITHER = "the server offers neither content synchronization nor persistent search"


class SyncRequest(univ.Sequence):
    componentType = namedtype.NamedTypes(  # noqa: N815 - pyasn1's name
        namedtype.NamedType("mode", univ.Enumerated()),
        namedtype.OptionalNamedType("cookie", univ.OctetString()),
        namedtype.DefaultedNamedType("reloadHint", univ.Boolean(False)),
    )


class PersistentSearch(univ.Sequence):
    componentType = namedtype.NamedTypes(  # noqa: N815 - pyasn1's name
        namedtype.NamedType("changeTypes", univ.Integer()),
        namedtype.NamedType("changesOnly", univ.Boolean()),
        namedtype.NamedType("returnECs", univ.Boolean()),
    )


def sync_info(number, kind, content):
    """Return a message of Sync Info (RFC 4533, 2.5)."""
    value = element(0x80, b"1.3.6.1.4.1.4203.1.9.1.4") + element(0x81, element(kind, content))
    return element(SEQUENCE, integer(number) + element(0x79, value))


def refreshed(number):
    """Return the message that ends the refresh."""
    return sync_info(number, 0xA1, element(OCTET_STRING, b"rid=000"))


def notification(number, name, change, previous=None):
    """Return a message of a changed entry with an Entry Change Notification control."""
    value = integer(change, ENUMERATED) + (element(OCTET_STRING, previous.encode()) if previous else b"")
    value = element(OCTET_STRING, element(SEQUENCE, value + integer(7)))
    other = element(SEQUENCE, element(OCTET_STRING, b"1.2.3") + element(BOOLEAN, b"\xff"))
    control = element(SEQUENCE, element(OCTET_STRING, b"2.16.840.1.113730.3.4.7") + value)
    entry = element(0x64, element(OCTET_STRING, name.encode()) + element(SEQUENCE, b""))
    return element(SEQUENCE, integer(number) + entry + element(0xA0, other + control))


class Server:
    """A watch, and the server that it follows."""

    def __init__(self):
        self.clock, self.connector, self.log, self.told = Clock(), Connecting(), Noted(), []
        opening = Opening(LDAPURL.parse("ldap://ldap.example.com"), self.connector, self.clock, 5.0)
        self.watch = Watch([opening], BASE, self.clock, self.log, Changes(self.clock, self.told.append))

    @property
    def wire(self):
        return self.connector.wire

    def begin(self, *offered, contexts=("dc=example,dc=com",)):
        """Let it connect, and tell what the server offers."""
        self.watch.start()
        found = {
            "supportedControl": [each.encode() for each in offered],
            "namingContexts": [c.encode() for c in contexts],
        }
        self.answer(found)

    def answer(self, found):
        """Answer the one search that is asked."""
        number = self.wire.number()
        self.wire.answer(oracle.entry(number, "", found), oracle.done(number))

    def searched(self):
        """Return number, base and the value of the one control of the search that was sent."""
        message, rest = decoder.decode(self.wire.unread, asn1Spec=oracle.LDAPMessage())
        self.wire.unread = rest
        (control,) = message["controls"]
        assert bool(control["criticality"])
        request = message["protocolOp"]["searchRequest"]
        assert (int(request["sizeLimit"]), int(request["timeLimit"])) == (0, 0)
        assert [bytes(each) for each in request["attributes"]] == [b"1.1"]
        return int(message["messageID"]), str(request["baseObject"]), bytes(control["controlValue"])

    def synchronize(self):
        """Let it begin by content synchronization; return the number of the search."""
        self.begin(CONTENT_SYNCHRONIZATION)
        self.answer({"contextCSN": STATES})
        number, _, _ = self.searched()
        self.wire.answer(refreshed(number))
        self.clock.advance(MOMENT)
        assert self.told == [None]
        self.told.clear()
        return number

    def results(self):
        return [(facts["result"], facts["reason"]) for _, _, facts in self.log.events]


@pytest.fixture
def server():
    made = Server()
    yield made
    made.watch.stop()
    assert not made.clock.getDelayedCalls()


def test_only_what_changes_from_the_present_state_on_is_asked_for(server):
    server.begin(CONTENT_SYNCHRONIZATION, PERSISTENT_SEARCH)
    server.answer({"contextCSN": STATES})
    _, base, value = server.searched()
    assert base == BASE
    request, _ = decoder.decode(value, asn1Spec=SyncRequest())
    assert int(request["mode"]) == 3
    assert bytes(request["cookie"]) == b"rid=000,csn=" + b";".join(STATES)


@pytest.mark.parametrize(
    "content", [b"", element(OCTET_STRING, b"rid=000"), element(OCTET_STRING, b"") + element(BOOLEAN, b"\xff")]
)
@pytest.mark.parametrize("kind", [0xA1, 0xA2])
def test_it_has_begun_when_the_server_has_told_what_came_before(server, kind, content):
    server.begin(CONTENT_SYNCHRONIZATION)
    server.answer({"contextCSN": STATES})
    number, _, _ = server.searched()
    server.wire.answer(
        oracle.entry(number, f"uid=early,{BASE}", {}),
        sync_info(number, 0xA3, element(BOOLEAN, b"\xff")),
        sync_info(number, 0xA1, element(BOOLEAN, b"\0")),
        sync_info(number, 0x80, b"rid=000"),
    )
    assert server.results() == []
    server.wire.answer(sync_info(number, kind, content))
    assert server.results() == [("begun", "content synchronization")]
    server.clock.advance(MOMENT)
    assert server.told == [None]


def test_changes_are_told_by_name_from_then_on(server):
    number = server.synchronize()
    server.wire.answer(oracle.entry(number, f"uid=Alice,{BASE}", {}), oracle.entry(number, f"uid=bob,{BASE}", {}))
    server.clock.advance(MOMENT)
    assert server.told == [{f"uid=alice,{BASE}", f"uid=bob,{BASE}"}]


def test_a_set_of_entries_without_names_may_be_any(server):
    number = server.synchronize()
    server.wire.answer(sync_info(number, 0xA3, element(BOOLEAN, b"\xff")))
    server.clock.advance(REST)
    assert server.told == [None]


def test_a_server_that_tells_of_all_that_it_has_is_asked_anew(server):
    server.begin(CONTENT_SYNCHRONIZATION)
    server.answer({"contextCSN": STATES})
    number, _, _ = server.searched()
    for _ in range(1001):
        server.wire.answer(sync_info(number, 0xA3, element(BOOLEAN, b"\0")) if not server.wire.closed else b"")
    assert server.wire.closed
    assert server.results() == [("none", "content synchronization: it does not come to its beginning")]
    server.clock.advance(0.5)
    assert len(server.connector.wires) == 2


def test_a_server_that_never_comes_to_the_changes_is_asked_anew(server):
    server.begin(CONTENT_SYNCHRONIZATION)
    server.answer({"contextCSN": STATES})
    server.clock.advance(5)
    assert server.results() == [("none", "content synchronization: it does not come to its beginning")]


@pytest.mark.parametrize("code", [0, 51, 4096])
def test_an_end_of_the_search_is_a_gap(server, code):
    number = server.synchronize()
    server.wire.answer(oracle.done(number, code))
    assert server.results()[-1][0] == "none"
    server.clock.advance(0.5)
    assert len(server.connector.wires) == 2


def test_a_lost_connection_is_made_again_less_and_less_often(server):
    server.synchronize()
    server.connector.failure = ConnectionRefusedError("refused")
    server.wire.lose()
    attempts = []
    for _ in range(200):
        server.clock.advance(1)
        attempts.append(server.connector.attempts)
    assert attempts[-1] in range(10, 15)
    assert server.results()[1:] == [("none", "connection lost: reset"), ("none", "refused")]


def test_a_server_that_has_gone_without_a_word_is_found_out(server):
    server.synchronize()
    server.clock.advance(30)
    ((_, name),) = server.wire.asked()
    assert name == "searchRequest"
    server.clock.advance(5)
    assert server.wire.closed == "aborted"
    assert server.results()[-1] == ("none", "no answer within 5 s")


def test_a_server_that_answers_is_left_in_peace(server):
    server.synchronize()
    for _ in range(10):
        server.clock.advance(30)
        server.answer({})
        server.clock.advance(5)
    assert not server.wire.closed


def test_persistent_search_is_used_where_there_is_no_other_way(server):
    server.begin(PERSISTENT_SEARCH)
    number, base, value = server.searched()
    assert base == BASE
    request, _ = decoder.decode(value, asn1Spec=PersistentSearch())
    assert (int(request["changeTypes"]), bool(request["changesOnly"]), bool(request["returnECs"])) == (15, True, True)
    assert server.results() == []
    server.answer({})
    assert server.results() == [("begun", "persistent search")]
    server.clock.advance(MOMENT)
    assert server.told == [None]
    server.wire.answer(
        notification(number, f"uid=new,{BASE}", 8, f"uid=old,{BASE}"), notification(number, f"uid=alice,{BASE}", 4)
    )
    server.clock.advance(MOMENT)
    assert server.told[1] == {f"uid=new,{BASE}", f"uid=old,{BASE}", f"uid=alice,{BASE}"}


def test_a_connection_that_is_lost_before_a_persistent_search_has_begun_is_a_failure_like_any_other(server):
    server.begin(PERSISTENT_SEARCH)
    server.wire.lose()
    assert [result for result, _ in server.results()] == ["none"]
    assert not server.told


def test_persistent_search_is_used_where_the_database_has_no_synchronization(server):
    server.begin(CONTENT_SYNCHRONIZATION, PERSISTENT_SEARCH)
    server.answer({"contextCSN": STATES})
    number, _, _ = server.searched()
    server.wire.answer(oracle.done(number, 12, "not here"))
    number, _, _ = server.searched()
    server.answer({})
    assert server.results() == [("begun", "persistent search")]
    server.wire.answer(notification(number, f"uid=alice,{BASE}", 4))
    server.clock.advance(MOMENT)
    assert server.told == [None]
    server.clock.advance(REST)


def test_names_and_states_that_are_no_text_do_no_harm(server):
    server.watch.base = ""
    server.watch.start()
    server.answer(
        {"supportedControl": [CONTENT_SYNCHRONIZATION.encode()], "namingContexts": [b"o=\xff", b"cn=log", b"o=a"]}
    )
    server.answer({"contextCSN": [b"\xff"]})
    _, base, value = server.searched()
    assert base == "o=a"
    assert b"csn=\xff" in value


def test_a_mistake_of_ours_ends_one_attempt_and_not_the_watch(server, monkeypatch):
    told = []
    server.watch._log = SimpleNamespace(failure=told.append)
    monkeypatch.setattr("mmp.directory.ldap.following.synchronize", lambda _: 1 / 0)
    server.begin(CONTENT_SYNCHRONIZATION)
    server.answer({"contextCSN": STATES})
    assert len(told) == 1
    assert server.results() == [("none", "unexpected error")]
    monkeypatch.undo()
    server.clock.advance(300)
    server.told.clear()
    server.answer({"supportedControl": [CONTENT_SYNCHRONIZATION.encode()], "namingContexts": [b"dc=example,dc=com"]})
    server.answer({"contextCSN": STATES})
    server.wire.answer(refreshed(server.searched()[0]))
    assert server.results()[-1][0] == "begun"
    server.clock.advance(MOMENT)


def test_a_server_that_offers_nothing_is_told_of_once_and_seldom_asked_again(server):
    server.begin("1.2.3")
    assert server.results() == [("none", NEITHER)]
    server.clock.advance(299)
    assert server.connector.attempts == 1
    server.clock.advance(1)
    server.answer({})
    assert server.connector.attempts == 2
    assert server.results() == [("none", NEITHER)]


@pytest.mark.parametrize(
    "octets", [b"\x30\x05\x02\x01\x03\x79\x00", b"\x30\x0c\x02\x01\x03\x61\x07\x0a\x01\x00\x04\x00\x04\x00"]
)
def test_responses_that_make_no_sense_do_no_more_than_end_it(server, octets):
    server.begin(CONTENT_SYNCHRONIZATION)
    server.answer({"contextCSN": STATES})
    server.searched()
    server.wire.answer(octets)
    assert not server.told
