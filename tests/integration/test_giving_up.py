"""Clients that give up at some step of an exchange: each hears why and may go on, and nobody else notices."""

import hmac
import re
from base64 import b64decode, b64encode
from contextlib import contextmanager

import pytest
from attrs import frozen

from tests.integration.client import Client, connected
from tests.integration.people import BOB
from tests.integration.processes import descriptor_count
from tests.integration.waiting import until
from tests.wire.sasl.test_scram import client as scram_response

USER = BOB.name.encode()
FIRST_MESSAGE = b"n,,n=%b,r=rOprNGfwEbeRWgbNEkqO" % USER


@frozen
class Dialect:
    """How a protocol says what all of them say; answers are known by how they begin."""

    service: str
    greeting: bytes
    authenticate: bytes
    challenge: bytes
    """A pattern with the base64 as its group."""
    response: bytes
    accepted: bytes
    cancelled: bytes
    refused: bytes
    noop: bytes = b"NOOP"


DIALECTS = [
    Dialect("imap", b"* OK ", b"a AUTHENTICATE %b", rb"\+ (.*)", b"%b", b"a OK ", b"a BAD ", b"a NO [AUTH", b"a NOOP"),
    Dialect("pop3", b"+OK ", b"AUTH %b", rb"\+ (.*)", b"%b", b"+OK", b"-ERR ", b"-ERR [AUTH] "),
    Dialect("managesieve", b"\nOK ", b'AUTHENTICATE "%b"', rb'"(.*)"', b'"%b"', b"OK ", b'NO "', b'NO "User name'),
    Dialect("submission", b"220 ", b"AUTH %b", rb"334 (.*)", b"%b", b"235 ", b"501 5.", b"535 5.7.8 "),
]
NONSENSE = b64encode(b"nonsense")


def responses(mechanism):
    """Return how to answer each challenge of a mechanism."""
    if mechanism == "CRAM-MD5":
        return [lambda challenge: USER + b" " + hmac.new(BOB.password, challenge, "md5").hexdigest().encode()]
    return [
        lambda _: FIRST_MESSAGE,
        lambda challenge: scram_response(mechanism, BOB.password, FIRST_MESSAGE, challenge),
        lambda _: b"",
    ]


@frozen
class Visitor:
    """A client that has been greeted."""

    dialect: Dialect
    client: Client

    def say(self, line):
        """Say a line; return the one that answers it."""
        self.client.send(line + b"\r\n")
        return self.client.line()

    def begin(self, mechanism, steps=None):
        """Go so many steps into a mechanism's exchange, or to its end; return the line that is said then."""
        line = self.say(self.dialect.authenticate % mechanism.encode())
        return self.answer(line, responses(mechanism)[:steps])

    def answer(self, line, responses):
        """Answer the challenge in a line, and those that follow; return the line that is said then."""
        for response in responses:
            line = self.say(self.dialect.response % b64encode(response(self.challenge(line))))
        return line

    def challenge(self, line):
        """Return the challenge in a line."""
        found = re.fullmatch(self.dialect.challenge, line)
        assert found, line
        return b64decode(found[1])

    def gives_up(self, mechanism, step, said):
        """Say that, in place of the right response at a step; return what is heard."""
        self.challenge(self.begin(mechanism, step))
        return self.say(self.dialect.response % said)

    def is_in(self, line):
        """See that this line tells of success, and that commands reach the store and nothing else comes from it."""
        assert line.startswith(self.dialect.accepted), line
        assert self.say(self.dialect.noop).startswith((self.dialect.accepted, b"250 "))
        assert not self.client.received


@pytest.fixture(scope="module", params=["backend", "directory"])
def proxy(run_whole_proxy, request):
    """A proxy whose stores judge logins by SCRAM, or that does so itself."""
    with run_whole_proxy(verify=request.param) as proxy:
        yield proxy


@pytest.fixture(params=DIALECTS, ids=[dialect.service for dialect in DIALECTS])
def visit(proxy, certificates, request):
    """Connects a visitor who speaks one of the protocols."""
    dialect = request.param
    port = proxy.port("implicit", service=dialect.service)

    @contextmanager
    def visiting():
        with connected("127.0.0.1", port, certificates.ca, greeting=False) as client:
            client.until(dialect.greeting)
            client.line()
            if dialect.service == "submission":
                client.send(b"EHLO laptop.example.org\r\n")
                client.until(b"\r\n250 ")
                client.line()
            yield Visitor(dialect, client)

    return visiting


at_each_step = pytest.mark.parametrize(
    ("mechanism", "step"),
    [("SCRAM-SHA-256", 0), ("SCRAM-SHA-256", 1), ("SCRAM-SHA-256", 2), ("CRAM-MD5", 0)],
)


@at_each_step
def test_who_gives_up_is_told_so_and_may_log_in_and_others_are_not_disturbed(visit, mechanism, step):
    with visit() as settled, visit() as waiting, visit() as leaving:
        settled.is_in(settled.begin(mechanism))
        pending = waiting.begin(mechanism, step)
        for said in (b"*", b"!"):
            answer = leaving.gives_up(mechanism, step, said)
            assert answer.startswith(leaving.dialect.cancelled), answer
            assert not answer.startswith(leaving.dialect.refused), answer
        waiting.is_in(waiting.answer(pending, responses(mechanism)[step:]))
        leaving.is_in(leaving.begin(mechanism))
        settled.is_in(settled.dialect.accepted)


@pytest.mark.parametrize(
    ("mechanism", "step", "heard"),
    [("SCRAM-SHA-256", 0, "cancelled"), ("SCRAM-SHA-256", 1, "refused"), ("CRAM-MD5", 0, "cancelled")],
)
def test_who_talks_nonsense_is_told_of_a_fault_or_of_a_wrong_password(visit, mechanism, step, heard):
    with visit() as visitor:
        answer = visitor.gives_up(mechanism, step, NONSENSE)
        assert answer.startswith(getattr(visitor.dialect, heard)), answer
        visitor.is_in(visitor.begin(mechanism))


@at_each_step
def test_who_is_gone_leaves_nothing_behind_and_others_are_not_disturbed(proxy, visit, mechanism, step):
    (worker,) = proxy.workers()
    with visit() as waiting:
        pending = waiting.begin(mechanism, step)
        before = descriptor_count(worker)
        with visit() as leaving:
            leaving.begin(mechanism, step)
            address = "{}:{}".format(*leaving.client.connection.getsockname())
        proxy.logged(" closed ", f"client={address} ", "who=client")
        until(lambda: descriptor_count(worker) <= before, "its connection to the store is closed too")
        waiting.is_in(waiting.answer(pending, responses(mechanism)[step:]))
