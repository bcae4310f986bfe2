"""How ManageSieve's transcripts are held: what a program reads is compared, the words for people are not."""

import re

from mmp.wire.managesieve.client import Client
from mmp.wire.managesieve.server import Server
from tests.dialogue import UNDER_TLS, hold_as_client, hold_as_server

_STATUS = re.compile(rb"(OK|NO|BYE)(?: (\([^)]*\)))?.*", re.IGNORECASE)


def alike(expected, said):
    """Whether two lines say the same to a program."""
    if said is None:
        return False
    wanted, heard = _STATUS.fullmatch(expected), _STATUS.fullmatch(said)
    if wanted is None or heard is None:
        return expected == said
    return wanted[1].upper() == heard[1] and wanted[2] in (None, heard[2])


def hold_with_client(transcript, *, offer=UNDER_TLS, greeted=True, answers=(), capabilities=(), after_tls=UNDER_TLS):
    """Hold a transcript as the server; return the events."""
    core = Server(offer=offer, hostname="mail.example.com", timestamp=b"<1@example.com>", capabilities=capabilities)
    core.greet()
    if greeted:
        core.data_to_send()
    return hold_as_server(core, transcript, answers=answers, alike=alike, offer=after_tls)


def hold_with_store(transcript, replay, *, starttls=False, responses=()):
    """Hold a transcript as the client; return the events."""
    return hold_as_client(Client(starttls=starttls), transcript, replay, tagged=False, responses=responses)
