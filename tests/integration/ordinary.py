"""What goes on as ever beside whatever a test does to a proxy."""

from tests.integration.client import connected
from tests.integration.people import ALICE

PLAIN = {"restrict_plain_passwords": False, "default_domain": "example.com"}
"""The table [login] with which a test may log in without TLS."""


def login_of(person):
    """Return the command, without its end."""
    return b"a LOGIN %b %b" % (person.user.encode(), person.password)


def logs_in(proxy, person=ALICE):
    """See that somebody can log in, and is answered."""
    with connected("127.0.0.1", proxy.port("starttls")) as client:
        assert client.command(login_of(person))[-1].startswith(b"a OK")
        assert client.command(b"b NOOP")[-1].startswith(b"b OK")


def the_worker(proxy):
    """Return the id of the only worker, once it serves."""
    proxy.logged(" serving ", "workers=1")
    (pid,) = proxy.workers()
    return pid
