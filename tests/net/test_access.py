"""Who gets to the door, and how the host names are found that decide it."""

import socket
import threading

import pytest

from mmp.errors import Refused
from mmp.model import Client, Endpoint, Refusal, Service, TLSMode
from mmp.net import reverse
from mmp.net.access import AccessDoor
from mmp.net.reverse import PATIENCE, UNDER_WAY, HostNames
from mmp.policy.access import AccessRules, Rule
from mmp.policy.admission import NoLease, OpenDoor
from tests.directory.outcomes import finished, run, started


def admit(rules, name=None, tls=TLSMode.STARTTLS, address="192.0.2.7"):
    door = AccessDoor(AccessRules(tuple(map(Rule.parse, rules)), closed=False), tls, name, OpenDoor())
    client = Client("s1", Service.IMAP, Endpoint(address, 1), Endpoint("192.0.2.99", 143))
    try:
        assert isinstance(run(door.admit(client, lambda: False)), NoLease)
    except Refused as refused:
        return refused.refusal, refused.reason
    return None


def named(name):
    async def find(address):
        assert address == "192.0.2.7"
        return name

    return find


async def never(_address):
    raise AssertionError("a name was looked up")


@pytest.mark.parametrize(
    ("rules", "tls", "let_in"),
    [
        ([], TLSMode.NONE, True),
        (["+imap:10.0.0.0/8"], TLSMode.NONE, True),  # nothing is denied
        (["-imap:192.0.2.0/24"], TLSMode.NONE, False),
        (["+imap:192.0.2.7", "-ALL:ALL"], TLSMode.NONE, True),
        (["-imaps:ALL"], TLSMode.NONE, True),
        (["-imaps:ALL"], TLSMode.STARTTLS, False),
        (["-imap:ALL"], TLSMode.STARTTLS, False),
        (["-imap:ALL"], TLSMode.IMPLICIT, True),
        (["-pop:ALL"], TLSMode.NONE, True),
    ],
)
def test_rules_about_addresses_need_no_name(rules, tls, let_in):
    assert (admit(rules, never, tls) is None) is let_in


def test_who_is_kept_out_is_told_by_the_rule():
    assert admit(["-imap:ALL"]) == (Refusal.ACCESS_DENIED, "access: -imap:ALL")


@pytest.mark.parametrize(
    ("name", "let_in"), [("a.example.com", True), ("a.example.org", False), ("", False), (None, False)]
)
def test_a_name_decides_where_a_rule_has_names(name, let_in):
    assert (admit(["+imap:.example.com", "-ALL:ALL"], named(name)) is None) is let_in


@pytest.mark.parametrize(
    ("name", "let_in"), [("a.example.com", False), ("a.example.org", True), ("", True), (None, False)]
)
def test_a_name_that_is_not_known_is_kept_out_where_names_are(name, let_in):
    assert (admit(["-imap:.example.com"], named(name)) is None) is let_in


class System:
    """The system's resolver: names by address and addresses by name; it answers when it is let."""

    def __init__(self):
        self.names = {"192.0.2.7": "Mail.Example.com.", "192.0.2.8": "liar.example.com"}
        self.addresses = {"Mail.Example.com.": "192.0.2.7", "liar.example.com": "192.0.2.1"}
        self.asked = []
        self.let = threading.Event()
        self.let.set()

    def getnameinfo(self, address, flags):
        assert flags == socket.NI_NAMEREQD
        self.asked.append(address[0])
        assert self.let.wait(20)
        if address[0] == "192.0.2.66":
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        if address[0] not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "no name")
        return self.names[address[0]], "0"

    def getaddrinfo(self, name, port, type):  # noqa: A002 - its name there
        return [(socket.AF_INET, type, 6, "", (self.addresses[name], 0))]


@pytest.fixture
def system(monkeypatch):
    made = System()
    monkeypatch.setattr(reverse.socket, "getnameinfo", made.getnameinfo)
    monkeypatch.setattr(reverse.socket, "getaddrinfo", made.getaddrinfo)
    yield made
    made.let.set()


@pytest.fixture
def names(turning, system):
    made = HostNames(turning.reactor)
    yield made
    system.let.set()
    made.close()


@pytest.mark.parametrize(
    ("address", "name"),
    [("192.0.2.7", "mail.example.com"), ("192.0.2.8", None), ("192.0.2.9", ""), ("192.0.2.66", None)],
)
def test_a_name_is_believed_if_it_leads_back(turning, names, address, name):
    asked = started(names.name(address))
    turning.until(lambda: asked.called)
    assert finished(asked) == name


def test_an_address_is_asked_about_once_by_all_and_then_remembered(turning, names, system):
    system.let.clear()
    asked = [started(names.name("192.0.2.7")) for _ in range(5)]
    asked[0].addErrback(lambda _: None)
    asked[0].cancel()
    system.let.set()
    turning.until(lambda: asked[4].called)
    assert [finished(each) for each in asked[1:]] == ["mail.example.com"] * 4
    assert finished(started(names.name("192.0.2.7"))) == "mail.example.com"
    assert system.asked == ["192.0.2.7"]


def test_of_more_addresses_than_may_be_asked_about_nothing_is_known(names, system):
    system.let.clear()
    asked = [started(names.name(f"10.0.{number >> 8}.{number & 255}")) for number in range(UNDER_WAY)]
    for each in asked:
        each.addErrback(lambda _: None)
    assert finished(started(names.name("10.9.9.9"))) is None
    for each in asked:
        each.cancel()


def test_nobody_waits_for_a_name_longer_than_the_patience(turning, names, system, monkeypatch):
    monkeypatch.setattr(reverse, "PATIENCE", PATIENCE / 100)
    system.let.clear()
    asked = started(names.name("192.0.2.7"))
    turning.until(lambda: asked.called)
    assert finished(asked) is None
