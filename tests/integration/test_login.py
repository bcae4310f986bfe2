"""Every form of login, on every kind of listener, to the user's own store."""

import imaplib
import re
import ssl
import subprocess

import pytest

from tests.integration.client import connected
from tests.integration.people import ALICE, BOB, LATIN, LOST, ODD

FORMS = {
    "LOGIN with atoms": lambda person: [b"a LOGIN %b %b" % (person.user.encode(), person.password)],
    "LOGIN with quoted strings": lambda person: [b"a LOGIN %b %b" % (quoted(person.user.encode()), quoted(person.password))],
    "LOGIN with literals": lambda person: [
        b"a LOGIN {%d}" % len(person.user),
        b"%b {%d}" % (person.user.encode(), len(person.password)),
        person.password,
    ],
    "LOGIN with a quoted name and a literal": lambda person: [
        b'a LOGIN "%b" {%d}' % (person.user.encode(), len(person.password)),
        person.password,
    ],
    "AUTHENTICATE PLAIN": lambda person: [b"a AUTHENTICATE PLAIN", person.sasl_plain],
    "AUTHENTICATE PLAIN with an initial response": lambda person: [b"a AUTHENTICATE PLAIN " + person.sasl_plain],
}


def quoted(octets):
    return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def log_in(client, lines):
    """Say the lines of a login, each after the server's continuation; return its last answer."""
    for line in lines[:-1]:
        client.send(line + b"\r\n")
        assert client.line().startswith(b"+ ")
    return client.command_lines(lines[-1])


def store_of(client):
    """Return the address of the store that a logged-in client talks to."""
    answer = b"\n".join(client.command(b"i ID NIL"))
    return re.search(rb'"support-url" "([^"]*)"', answer)[1].decode()
