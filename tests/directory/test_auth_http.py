from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred

from mmp.directory.auth_http import AuthHTTP
from mmp.directory.availability import Availability, Pace
from mmp.directory.names import Naming
from mmp.errors import Refused
from mmp.model import Account, Credentials, Refusal, Security, Service
from mmp.observe.measured import MeasuredRequests
from mmp.observe.metrics import Counts
from mmp.wire.http import ResponseReader
from tests.directory.outcomes import finished, pending, refusal, run, started
from tests.directory.people import CLIENT, credentials
from tests.fakes import Log, never_asked

WHERE = ("Auth-Server: 192.0.2.1", "Auth-Port: 1143")


class Server:
    """A server that gives one answer, and remembers what it was asked."""

    def __init__(self, *fields, status="200 OK", failure=None):
        self.answer = "\r\n".join((f"HTTP/1.1 {status}", *fields, "Content-Length: 0", "", "")).encode()
        self.failure = failure
        self.asked = []
        self.slept = []
        self.sleeping = None
        self.log = Log()

    async def ask(self, request):
        self.asked.append(request)
        if self.failure:
            raise self.failure
        return ResponseReader().feed(self.answer)

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.sleeping = Deferred()
        return self.sleeping

    def authenticator(self, url="http://auth.example.com:9000/auth?x=1", **options):
        naming = Naming(default_domain="example.com")
        availability = Availability("directory", "error", "http://auth.example.com:9000", self.log)
        return AuthHTTP(self, urlsplit(url), naming, self.sleep, availability, **options)

    def fields(self, number=-1):
        _, *lines = self.asked[number].removesuffix(b"\r\n\r\n").split(b"\r\n")
        return dict(line.decode("latin-1").split(": ", 1) for line in lines)


def locate(server, client=CLIENT, given=None):
    return run(server.authenticator().locate(client, given or credentials(), never_asked))


def refused(server, given=None):
    return refusal(started(server.authenticator().locate(CLIENT, given or credentials(), never_asked)))


def test_the_server_says_where_the_mail_is():
    located = locate(Server("Auth-Status: OK", *WHERE))
    assert located == Account("alice@example.com", "alice@example.com", "192.0.2.1", judged=True, port=1143)


def test_it_may_say_another_name_and_password_for_the_store():
    located = locate(Server("Auth-Status: OK", *WHERE, "Auth-User: Al", "Auth-Pass: another secret"))
    assert (located.user, located.replay_user, located.secret) == ("al", "Al", b"another secret")
    assert "another secret" not in repr(located)


def test_the_server_is_asked_with_all_that_is_known():
    server = Server("Auth-Status: OK", *WHERE)
    client = evolve(CLIENT, security=Security("TLSv1.3", "TLS_AES_128_GCM_SHA256", 128), greeting="laptop")
    locate(server, client)
    assert server.asked[0].startswith(b"GET /auth?x=1 HTTP/1.1\r\nHost: auth.example.com:9000\r\n")
    assert server.fields() == {
        "Host": "auth.example.com:9000",
        "Auth-Method": "plain",
        "Auth-User": "alice@example.com",
        "Auth-Pass": "secret",
        "Auth-Protocol": "imap",
        "Auth-Login-Attempt": "1",
        "Client-IP": "192.0.2.7",
        "Client-Host": "laptop",
        "Auth-SSL": "on",
        "Auth-SSL-Protocol": "TLSv1.3",
        "Auth-SSL-Cipher": "TLS_AES_128_GCM_SHA256",
    }


@pytest.mark.parametrize(
    ("service", "protocol"), [("imap", "imap"), ("pop3", "pop3"), ("submission", "smtp"), ("managesieve", "sieve")]
)
def test_every_service_has_a_name_there(service, protocol):
    server = Server("Auth-Status: OK", *WHERE)
    locate(server, evolve(CLIENT, service=Service(service)))
    assert server.fields()["Auth-Protocol"] == protocol


@pytest.mark.parametrize(
    ("secret", "escaped"),
    [
        (b"a b", "a%20b"),
        (b"100%", "100%25"),
        (b"a\r\nAuth-User: root", "a%0D%0AAuth-User:%20root"),
        (b"\x00\x7f", "%00%7F"),
        (b"\xff", "\xff"),
    ],
)
def test_no_password_becomes_a_field_of_its_own(secret, escaped):
    server = Server("Auth-Status: OK", *WHERE)
    locate(server, given=Credentials("PLAIN", "alice", secret))
    assert server.fields()["Auth-Pass"] == escaped


def test_the_server_is_shown_who_asks():
    server = Server("Auth-Status: OK", *WHERE)
    authenticator = server.authenticator(secret=("X-Auth-Key", b"hunter2"))
    run(authenticator.locate(CLIENT, credentials(), never_asked))
    assert server.fields()["X-Auth-Key"] == "hunter2"
    assert "hunter2" not in repr(authenticator)


def test_tokens_are_asked_by_their_mechanism():
    server = Server("Auth-Status: OK", *WHERE)
    locate(server, given=Credentials("XOAUTH2", "alice", b"token"))
    assert (server.fields()["Auth-Method"], server.fields()["Auth-Pass"]) == ("xoauth2", "token")


@pytest.mark.parametrize(
    "given",
    [
        Credentials("CRAM-MD5", "alice", b"", proves=lambda _: True),
        Credentials("SCRAM-SHA-256", "alice", b"n,,n=alice,r=x"),
        Credentials("EXTERNAL", "alice", b""),
        Credentials("PLAIN", "alice", b"secret", "bob"),
    ],
)
def test_what_the_protocol_has_no_words_for_is_not_asked(given):
    server = Server("Auth-Status: OK", *WHERE)
    assert refused(server, given).refusal is Refusal.NOT_AUTHORIZED
    assert not server.asked


def test_a_login_that_is_turned_down_is_a_wrong_password_with_the_servers_reason_for_the_log():
    why = refused(Server("Auth-Status: Invalid login or password"))
    assert (why.refusal, why.reason) == (Refusal.BAD_CREDENTIALS, "'Invalid login or password'")


def test_one_that_is_turned_down_for_now_is_no_wrong_password():
    assert refused(Server("Auth-Status: busy", "Auth-Error-Code: 451 4.3.0")).refusal is Refusal.DIRECTORY_UNAVAILABLE


@pytest.mark.parametrize(("wait", "seconds"), [("3", 3), ("100", 60), ("99999999999", 60)])
def test_a_refusal_waits_as_long_as_the_server_wants_it(wait, seconds):
    server = Server("Auth-Status: no", f"Auth-Wait: {wait}")
    located = started(server.authenticator().locate(CLIENT, credentials(), never_asked))
    assert pending(located)
    assert server.slept == [seconds]
    server.sleeping.callback(None)
    assert refusal(located).refusal is Refusal.BAD_CREDENTIALS


def test_attempts_are_counted_until_one_succeeds():
    server = Server("Auth-Status: no")
    authenticator = server.authenticator()
    for _ in range(3):
        refusal(started(authenticator.locate(CLIENT, credentials(), never_asked)))
    refusal(started(authenticator.locate(evolve(CLIENT, session="s-2"), credentials(), never_asked)))
    assert [server.fields(number)["Auth-Login-Attempt"] for number in range(4)] == ["1", "2", "3", "1"]
    server.answer = Server("Auth-Status: OK", *WHERE).answer
    run(authenticator.locate(CLIENT, credentials(), never_asked))
    assert not authenticator._attempts.get(CLIENT.session)


@pytest.mark.parametrize(
    "fields",
    [
        ("Auth-Port: 143",),
        ("Auth-Server: ", "Auth-Port: 143"),
        ("Auth-Server: store/../x", "Auth-Port: 143"),
        ("Auth-Server: 192.0.2.1:143", "Auth-Port: 143"),
        ("Auth-Server: a b", "Auth-Port: 143"),
        ("Auth-Server: 192.0.2.1",),
        ("Auth-Server: 192.0.2.1", "Auth-Port: 0"),
        ("Auth-Server: 192.0.2.1", "Auth-Port: 65536"),
        ("Auth-Server: 192.0.2.1", "Auth-Port: 143x"),
        ("Auth-Server: 192.0.2.1", "Auth-Port: -1"),
        (*WHERE, "Auth-User: a\0b"),
        (*WHERE, "Auth-User: a\x01b"),
    ],
)
def test_nothing_that_the_server_says_is_believed_unseen(fields):
    assert refused(Server("Auth-Status: OK", *fields)).refusal is Refusal.BACKEND_UNAVAILABLE


def test_the_store_may_be_told_by_name():
    assert (
        locate(Server("Auth-Status: OK", "Auth-Server: store1.example.com", "Auth-Port: 143")).host
        == "store1.example.com"
    )


@pytest.mark.parametrize(
    "server",
    [
        Server(),
        Server("Auth-Status: OK", *WHERE, status="500 Oops"),
        Server("Auth-Status: OK", *WHERE, status="302 Found"),
        Server(failure=ConnectionRefusedError("refused")),
        Server(failure=TimeoutError("no answer")),
    ],
)
def test_a_server_that_cannot_say_is_an_outage_and_no_wrong_password(server):
    assert refused(server).refusal is Refusal.DIRECTORY_UNAVAILABLE


def test_the_log_hears_once_that_the_server_is_away_and_once_that_it_is_back():
    server, url = Server("Auth-Status: OK", *WHERE), "http://auth.example.com:9000"
    authenticator, answer = server.authenticator(), server.answer

    def log_in():
        return started(authenticator.locate(CLIENT, credentials(), never_asked))

    finished(log_in())
    assert not server.log.events
    server.failure = ConnectionRefusedError("refused")
    refusal(log_in())
    server.failure, server.answer = None, Server(status="502 Bad Gateway").answer
    refusal(log_in())
    assert server.log.events == [("directory", "error", {"result": "down", "url": url, "reason": "refused"})]
    server.answer = answer
    finished(log_in())
    finished(log_in())
    assert server.log.events[1:] == [("directory", "info", {"result": "up", "url": url})]


def test_a_server_that_refuses_for_now_is_not_away():
    server = Server("Auth-Status: busy", "Auth-Error-Code: 451 4.3.0")
    refused(server)
    assert not server.log.events


def test_an_answer_that_does_not_say_anything_of_the_login_is_none():
    server = Server(status="500 Oops")
    refused(server)
    assert [facts["reason"] for facts in server.log.named("directory")] == ["answered 500 without Auth-Status"]


def test_a_name_that_can_be_nobodys_is_not_asked_for():
    server = Server("Auth-Status: OK", *WHERE)
    with pytest.raises(Refused):
        locate(server, given=credentials("ali\0ce"))
    assert not server.asked


def test_what_became_of_each_question_is_counted():
    told = []
    for server in (Server("Auth-Status: OK", *WHERE), Server("Auth-Status: no"), Server(status="502 Bad Gateway")):
        with suppress(Refused):
            run(server.authenticator(tell=told.append).locate(CLIENT, credentials(), never_asked))
    assert told == ["miss", "miss", "error"]


def test_answers_are_measured_and_those_that_take_long_are_told():
    server, counts, clock = Server("Auth-Status: OK", *WHERE), Counts(), iter((0.0, 2.0, 2.0)).__next__
    measured = MeasuredRequests(server, counts, clock, Pace("http://a", server.log, lambda: 2.0))
    run(measured.ask(b""))
    assert counts.histograms["directory_seconds",][-1] == 2.0
    assert [facts["result"] for facts in server.log.named("directory")] == ["slow"]
