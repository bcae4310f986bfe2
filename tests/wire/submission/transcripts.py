"""How submission's transcripts are held: what a program reads is compared, the words for people are not."""

import re

from mmp.wire.submission.client import Client
from mmp.wire.submission.server import Server
from tests.dialogue import UNDER_TLS, hold_as_client, hold_as_server

TIMESTAMP = b"<1896.697170952@mail.example.com>"

_REPLY = re.compile(rb"([2-5]\d\d[ -])(?:([245]\.\d+\.\d+)(?= |$))?(.*)")


def alike(expected, said):
    """Whether two lines say the same to a program: code, status if the transcript has one, EHLO's lines, challenges."""
    if said is None:
        return False
    wanted, heard = _REPLY.fullmatch(expected if expected[3:] else expected + b" "), _REPLY.fullmatch(said)
    if wanted is None or heard is None or wanted[1] != heard[1] or wanted[2] not in (None, heard[2]):
        return False
    exact = wanted[1] in (b"334 ", b"250-") or heard[2] is None
    return not exact or not wanted[3].strip() or wanted[3].strip() == heard[3].strip()


def hold_with_client(transcript, *, offer=UNDER_TLS, greeted=True, answers=(), capabilities=()):
    """Hold a transcript as the server; return the events."""
    core = Server(offer=offer, hostname="mail.example.com", timestamp=TIMESTAMP, capabilities=capabilities)
    core.greet()
    if greeted:
        core.data_to_send()
    return hold_as_server(core, transcript, answers=answers, alike=alike)


def hold_with_store(transcript, replay, *, starttls=False, responses=()):
    """Hold a transcript as the client; return the events."""
    core = Client(starttls=starttls, hostname="proxy.example.com")
    return hold_as_client(core, transcript, replay, tagged=False, responses=responses)
