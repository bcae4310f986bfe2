"""Whatever becomes of a login, and however it goes wrong, the log at its most talkative has nothing of the secret."""

import hmac
from base64 import b64encode
from contextlib import contextmanager
from functools import partial

import pytest

from tests.integration.client import connected
from tests.integration.people import BOB
from tests.integration.test_giving_up import DIALECTS

SECRET = b'Wr0ng "quoted" \\back\\ but-N0-one-May-read-it'
USER = BOB.user.encode()
TOKEN = SECRET.replace(b" ", b"-").replace(b'"', b"+").replace(b"\\", b"~")
"""As a bearer token may be spelled (RFC 6750, 2.1)."""
RESPONSES = {
    "PLAIN": [b"\0%b\0%b" % (USER, SECRET)],
    "LOGIN": [USER, SECRET],
    "XOAUTH2": [b"user=%b\1auth=Bearer %b\1\1" % (USER, TOKEN), b""],
    "OAUTHBEARER": [b"n,a=%b,\1auth=Bearer %b\1\1" % (USER, TOKEN), b"\1"],
    "SCRAM-SHA-256": [b"n,,n=%b,r=%b" % (USER, TOKEN), b"c=biws,r=%b,p=%b" % (TOKEN, b64encode(SECRET))],
    "CRAM-MD5": [b"%b %b" % (USER, hmac.digest(SECRET, b"x", "md5").hex().encode())],
}
"""What a client with a wrong secret answers to each challenge."""
QUOTED = b'"%b"' % SECRET.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
COMMANDS = {
    "imap": [
        b"a LOGIN %b %b" % (USER, QUOTED),
        b"a LOGIN %b %b superfluous" % (USER, QUOTED),
        b"a LOGIN %b {%d+}\r\n%b" % (USER, len(SECRET), SECRET),
        b"a LOGIN %b {%d}" % (b"x" * 1000, len(SECRET)),
        b"LOGIN %b" % QUOTED,
        b"%b a LOGIN" % TOKEN,
    ],
    "pop3": [b"USER %b\r\nPASS %b" % (USER, SECRET), b"PASS %b" % SECRET, b"APOP %b %b" % (USER, SECRET), SECRET],
    "managesieve": [b'AUTHENTICATE "PLAIN" %b' % QUOTED, b"LOGIN %b" % QUOTED, SECRET],
    "submission": [b"AUTH PLAIN %b" % SECRET, b"AUTH %b" % SECRET, b"MAIL FROM:<%b>" % TOKEN, SECRET],
}
"""Logins without SASL, and mistakes of programs and people that put a secret where it does not belong."""


def forms(secret):
    """Return what of a secret might be seen: as it is, escaped, in hexadecimal, and in base64 from any place on."""
    yield from (secret, repr(secret)[2:-1].encode(), secret.replace(b'"', b'\\"'), QUOTED[1:-1])
    yield secret.hex().encode()
    for before in range(3):
        encoded = b64encode(b"\0" * before + secret)
        yield encoded[4 if before else 0 : -4]


@contextmanager
def visited(port, ca, dialect):
    """Connect, and get to where a login may begin."""
    with connected("127.0.0.1", port, ca, greeting=False) as client:
        client.until(dialect.greeting)
        client.line()
        if dialect.service == "submission":
            client.send(b"EHLO laptop.example.org\r\n")
            client.until(b"\r\n250 ")
            client.line()
        yield client


def exchange(client, dialect, mechanism, responses):
    """Go through an exchange, with these answers to whatever is asked for, until nothing is any more."""
    client.send(dialect.authenticate % mechanism.encode() + b"\r\n")
    for response in responses:
        if not client.line().startswith((b"+ ", b"334", b'"')):
            return
        client.send(dialect.response % b64encode(response) + b"\r\n")
    client.line()


def say(client, command):
    """Say a command, or two, and hear what it is answered."""
    client.send(command + b"\r\n")
    for _ in range(2 if command.startswith(b"USER") else 1):
        client.line()


@pytest.mark.parametrize("verify", ["backend", "directory"])
def test_no_form_of_a_secret_is_in_the_log_whatever_went_wrong(run_whole_proxy, certificates, verify):
    with run_whole_proxy(verify=verify) as proxy:
        for dialect in DIALECTS:
            visiting = partial(visited, proxy.port("implicit", service=dialect.service), certificates.ca, dialect)
            for mechanism, responses in RESPONSES.items():
                for steps in range(1, len(responses) + 1):
                    with visiting() as client:
                        exchange(client, dialect, mechanism, responses[:steps])
            for command in COMMANDS[dialect.service]:
                with visiting() as client:
                    say(client, command)
        for service in COMMANDS:
            assert proxy.logged("login result=bad-credentials", f"service={service}")
        written = proxy.log().encode()
        assert [form for secret in (SECRET, TOKEN) for form in forms(secret) if form in written] == []
