"""Who has mail where, and their passwords."""

from base64 import b64encode

from attrs import frozen

FIRST, SECOND, NOBODY_THERE = "127.0.0.2", "127.0.0.3", "127.0.0.9"


@frozen
class Person:
    """A user, in the directory as ``name``@example.com; the stores know them as ``name``."""

    name: str
    store: str
    password: bytes

    @property
    def user(self):
        """The name to log in with."""
        return f"{self.name}@example.com"

    @property
    def sasl_plain(self):
        """The response of the mechanism PLAIN, in base64."""
        return b64encode(b"\0" + self.user.encode() + b"\0" + self.password)


ALICE = Person("alice", FIRST, b"wonder1and-Secret")
BOB = Person("bob", SECOND, b"builder-Secret")
ODD = Person("odd", FIRST, b'odd "quoted" \\back\\ {5} %U *')
LATIN = Person("latin", SECOND, b"not \xff\xfe UTF-8")
LOST = Person("lost", NOBODY_THERE, b"nowhere-Secret")
PEOPLE = (ALICE, BOB, ODD, LATIN, LOST)
PASSWORDS = {person.name: person.password for person in PEOPLE}
MASTERS = {"admin": b"adm1n-Secret"}
"""Who may act as anybody at the stores."""
MAIL_HOSTS = {person.user: person.store for person in PEOPLE}


def secrets():
    """Return every form in which a password could come into a log."""
    yield from (password.decode() for password in MASTERS.values())
    for person in PEOPLE:
        text = person.password.decode(errors="backslashreplace")
        yield from (text, repr(person.password)[2:-1], person.sasl_plain.decode(), b64encode(person.password).decode())
