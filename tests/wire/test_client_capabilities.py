"""What each core toward a store tells of what the store offers before a login."""

import pytest

from mmp.model import Offer
from mmp.wire.events import Ready
from mmp.wire.imap import replies as imap
from mmp.wire.imap.client import Client as IMAPClient
from mmp.wire.managesieve import replies as managesieve
from mmp.wire.managesieve.client import Client as ManageSieveClient
from mmp.wire.pop3 import replies as pop3
from mmp.wire.pop3.client import Client as POP3Client
from mmp.wire.submission import replies as submission
from mmp.wire.submission.client import Client as SubmissionClient

OFFER = Offer(mechanisms=("PLAIN",), plaintext=True, starttls=False)


def ready(core, *said):
    for octets in said:
        core.receive_data(octets)
        event = core.next_event()
    assert event == Ready()
    return core


def test_an_imap_store_tells_capabilities_of_which_those_that_are_for_us_are_not_passed_on():
    core = ready(
        IMAPClient(starttls=False),
        b"* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ COMPRESS=DEFLATE UNAUTHENTICATE"
        b" auth=plain AUTH=XOAUTH2] hello\r\n",
    )
    assert core.mechanisms == {b"PLAIN", b"XOAUTH2"}
    assert imap.capabilities(OFFER, core.capabilities) == b"IMAP4rev1 SASL-IR ID LITERAL+ ENABLE IDLE AUTH=PLAIN"


def test_a_pop3_store_likewise():
    core = ready(
        POP3Client(starttls=False),
        b"+OK hello\r\n",
        b"+OK\r\nTOP\r\nUIDL\r\nUSER\r\nSTLS\r\nIMPLEMENTATION x\r\nSASL plain XOAUTH2\r\nXCLIENT\r\n"
        b"EXPIRE 60\r\n.\r\n",
    )
    assert core.mechanisms == {b"PLAIN", b"XOAUTH2"}
    listed = list(pop3.capabilities(OFFER, core.capabilities))
    assert listed == [b"RESP-CODES", b"AUTH-RESP-CODE", b"TOP", b"UIDL", b"EXPIRE 60", b"USER", b"SASL PLAIN"]


def test_a_relay_likewise():
    core = ready(
        SubmissionClient(starttls=False, hostname="proxy"),
        b"220 hello\r\n250-r\r\n250-SIZE 5\r\n250-XCLIENT ADDR\r\n250 AUTH PLAIN xoauth2\r\n",
    )
    assert core.mechanisms == {b"PLAIN", b"XOAUTH2"}
    assert list(submission.keywords(OFFER, core.capabilities)) == [b"SIZE 5", b"AUTH PLAIN"]


def test_a_managesieve_store_likewise():
    core = ready(
        ManageSieveClient(starttls=False),
        b'"IMPLEMENTATION" "x"\r\n"SIEVE" "fileinto vacation"\r\n"NOTIFY" "mailto"\r\n"MAXREDIRECTS" "5"\r\n'
        b'"SASL" "PLAIN xoauth2"\r\n"XCLIENT"\r\n"ODD" {3}\r\na\r\n\r\n"UNAUTHENTICATE"\r\nOK\r\n',
    )
    assert core.mechanisms == {b"PLAIN", b"XOAUTH2"}
    listed = list(managesieve.capabilities(OFFER, core.capabilities))
    assert listed == [
        b'"IMPLEMENTATION" "mmp"',
        b'"SIEVE" "fileinto vacation"',
        b'"NOTIFY" "mailto"',
        b'"MAXREDIRECTS" "5"',
        b'"SASL" "PLAIN"',
        b'"VERSION" "1.0"',
        b'"XCLIENT"',
    ]


@pytest.mark.parametrize(
    ("render", "odd"),
    [
        (imap.capabilities, [b"A]B", b"A B", b'A"', b"A\xe9", b"A\r", b"x" * 101, b""]),
        (pop3.capabilities, [b"A\r", b"A\0B", b"A\xe9", b"x" * 501, b" A", b""]),
        (submission.keywords, [b"DSN\r", b"DSN \xe9", b"DSN " + b"x" * 501]),
        (
            managesieve.capabilities,
            [b'"A" {3}\r\na\r\n', b'"A\\"B"', b'"A', b"A", b'"A" "B" "C"', b'"' + b"x" * 101 + b'"', b""],
        ),
    ],
)
def test_what_no_client_expects_is_not_passed_on(render, odd):
    def listed(others):
        return render(OFFER, others) if render is imap.capabilities else list(render(OFFER, others))

    assert listed(tuple(odd)) == listed(())
