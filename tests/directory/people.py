"""Who logs in, in these tests."""

from mmp.directory.entry import Entry
from mmp.directory.names import Naming
from mmp.model import Client, Credentials, Endpoint, Service

CLIENT = Client("s-1", Service.IMAP, Endpoint("192.0.2.7", 40000), Endpoint("198.51.100.1", 143))
ALICE = Entry(
    "uid=alice,dc=example,dc=com",
    {"uid": ("alice",), "mail": ("alice@example.com",), "mailhost": ("store1.example.com",)},
)
BOB = Entry("uid=bob,dc=example,dc=com", {"uid": ("bob",), "mailhost": ("store2.example.com",)})


def names(typed="alice@example.com", **naming):
    """Return what a login name is taken apart into."""
    return Naming(**naming).names(CLIENT, typed)


def credentials(user="alice@example.com", authzid=""):
    """Return credentials for PLAIN."""
    return Credentials("PLAIN", user, b"secret", authzid)
