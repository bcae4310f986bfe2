"""When a mailbox of ours stands in for the store, and when it does not."""

import socket

import pytest

from mmp.errors import Refused
from mmp.model import Client, Credentials, Endpoint, Refusal, Service
from mmp.session.record import Record
from mmp.stores.spoof import Spoofed
from tests.fakes import Log

CREDENTIALS = Credentials("USER", "alice", b"secret")


class Loop:
    """Knows the streams that were made."""

    def __init__(self):
        self.reactor = self
        self.streams = []

    def addReader(self, stream):  # noqa: N802 - Twisted's name
        self.streams.append(stream)


def attempt(refusal, *refusals):
    """Make an attempt that is refused so; return what becomes of it, the record and the log."""

    async def log_in(record, credentials, ask):
        raise Refused(refusal, "why")

    log, loop = Log(), Loop()
    record = Record(Client("s1", Service.POP3, Endpoint("192.0.2.7", 1), Endpoint("192.0.2.1", 110)), 0.0)
    try:
        Spoofed(log_in, loop, object, log, refusals or (Refusal.BACKEND_UNAVAILABLE,))(record, CREDENTIALS, None).send(
            None
        )
    except StopIteration as returned:
        return returned.value, record, log
    except Refused as refused:
        return refused.refusal, record, log
    finally:
        for stream in loop.streams:
            stream.socket.close()


@pytest.mark.parametrize("refusal", [each for each in Refusal if each is not Refusal.BACKEND_UNAVAILABLE])
def test_every_other_refusal_stays_what_it_is(refusal):
    outcome, _, log = attempt(refusal)
    assert outcome is refusal
    assert not log.events


def test_a_store_that_is_away_is_stood_in_for_and_the_log_says_so():
    relayed, record, log = attempt(Refusal.BACKEND_UNAVAILABLE)
    assert (relayed.backend.name, record.backend) == ("spoof", "spoof")
    (facts,) = log.named("backend")
    assert (facts["result"], facts["reason"]) == ("spoofed", "why")


def test_so_is_an_account_on_hold_if_the_operator_wants_that():
    relayed, record, log = attempt(Refusal.ACCOUNT_ON_HOLD, Refusal.BACKEND_UNAVAILABLE, Refusal.ACCOUNT_ON_HOLD)
    assert (relayed.backend.name, record.backend) == ("spoof", "spoof")
    assert log.named("backend")


def test_without_descriptors_the_refusal_stands(monkeypatch):
    def exhausted(*_):
        raise OSError("too many open files")

    monkeypatch.setattr(socket, "socketpair", exhausted)
    assert attempt(Refusal.BACKEND_UNAVAILABLE)[0] is Refusal.BACKEND_UNAVAILABLE
