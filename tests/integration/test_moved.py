"""A user whose mail has moved to another store, a real one, while a worker still remembers where it was."""

import time

from tests.integration.client import connected
from tests.integration.people import ALICE, BOB, NOBODY_THERE
from tests.integration.scripted import GREETING, scripted
from tests.integration.slapd import BASE, slapd
from tests.integration.waiting import until


def entry(person):
    """Return a person's entry in LDIF; everybody has their mail at the old store."""
    names = f"uid: {person.name}\nmail: {person.user}\nmailHost: {NOBODY_THERE}\n\n"
    return f"dn: uid={person.name},{BASE}\nobjectClass: account\nobjectClass: inetMailUser\n{names}"


class OldStore:
    """Knows nobody any more, and counts how often it has heard of whom."""

    def __init__(self):
        self.heard = []

    def __call__(self, client):
        client.send(GREETING)
        while True:
            tag, words = client.line().split(b" ", 1)
            if words.startswith(b"AUTHENTICATE"):
                self.heard.append(words)
                client.send(tag + b" NO [AUTHENTICATIONFAILED] not here\r\n")
            else:
                client.send(tag + b" OK done\r\n")


def log_in(proxy, person):
    """Return whether a login succeeds."""
    with connected("127.0.0.1", proxy.port("starttls")) as client:
        return client.command(b"a LOGIN %b %b" % (person.user.encode(), person.password))[-1].startswith(b"a OK")


def test_a_login_follows_the_mail_and_a_wrong_password_is_never_said_twice(run_proxy, stores, ports):
    old, asked = OldStore(), []
    with (
        slapd(ports, entry(ALICE) + entry(BOB)) as server,
        scripted(NOBODY_THERE, stores.port, old),
        run_proxy(
            stores.port,
            directory={"kind": "ldap", "ldap": {"urls": [server.url], "base": BASE}},
            login={"restrict_plain_passwords": False},
        ) as proxy,
    ):
        assert not log_in(proxy, ALICE)  # the entry is as it is, and is remembered
        server.change(f"dn: uid={ALICE.name},{BASE}\nchangetype: modify\nreplace: mailHost\nmailHost: {ALICE.store}\n")

        def both():  # for a while an answer is sure enough not to be asked for again
            time.sleep(0.5)
            assert not log_in(proxy, BOB)
            asked.append(BOB)
            return log_in(proxy, ALICE)

        until(both, "Alice is let in where her mail is")
        told = len(old.heard)
        assert log_in(proxy, ALICE)
        assert len(old.heard) == told  # it is known now
        assert (told, len({*old.heard})) == (1 + 2 * len(asked), 2)
        assert proxy.log().count("backend result=refused") == told
