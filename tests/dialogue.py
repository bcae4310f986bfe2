"""Conversations as the RFCs print them, held with a protocol core of either side.

A line begins with ``C:`` (the client says), ``S:`` (the server says) or ``B:`` (the store says, where it is a third
party); its end is CR LF. ``<TLS …>`` on a line of its own is a handshake. A line without a mark belongs to the one
above it: the RFCs fold for the eye.

What a program reads is compared: tags, conditions, response codes where the transcript has one, and data. The text
behind them is for people and differs (RFC 9051, 7.1); so do the tags that a client chooses. Of a CAPABILITY list the
names that the transcript has must be there.
"""

import re
from typing import NamedTuple

from mmp.model import Offer, Refusal
from mmp.wire.events import Challenge, LoggedIn, Login, Ready, Response, StartTLS

TLS = "TLS"
UNDER_TLS = Offer(mechanisms=("PLAIN",), plaintext=True, starttls=False)

_MARKED = re.compile(r"\s*([CSB]):\s*(.*)")
_STATUS = re.compile(rb"(\S+ (?:OK|NO|BAD|BYE|PREAUTH))(?: (\[[^\]]*\]))?.*")


class Turn(NamedTuple):
    """Who says what; the speaker ``TLS`` says nothing."""

    speaker: str
    line: bytes


def turns(transcript):
    """Return the turns of a transcript."""
    found = []
    for line in transcript.strip("\n").splitlines():
        marked = _MARKED.fullmatch(line)
        if marked:
            found.append(Turn(marked[1], marked[2].encode()))
        elif line.strip().startswith("<TLS"):
            found.append(Turn(TLS, b""))
        elif line.strip():
            speaker, begun = found.pop()
            found.append(Turn(speaker, begun + b" " + line.strip().encode()))
    return found


def hold_as_server(core, transcript, *, answers=(), offer=UNDER_TLS, alike=None):
    """Say the client's lines to a server core, expect the server's; return the events.

    ``answers`` are given to the logins in turn: LoggedIn, a Refusal, or the octets of a challenge; further ones are let
    in. ``alike`` compares an expected line with what was said; without it as in IMAP.
    """
    events, answers, said = [], list(answers), _Lines(core)
    for speaker, line in turns(transcript):
        if speaker == "C":
            said.nothing_more()
            core.receive_data(line + b"\r\n")
            while (event := core.next_event()) is not None:
                events.append(event)
                if isinstance(event, Login | Response):
                    _answer(core, answers.pop(0) if answers else LoggedIn((), b"", b""))
        elif speaker == TLS:
            said.nothing_more()
            assert isinstance(events[-1], StartTLS)
            core.tls_started(offer)
        else:
            assert (alike or _alike)(line, said.next()), f"expected {line!r}, heard {said.last!r}"
    said.nothing_more()
    return events


def hold_as_client(core, transcript, replay, *, tagged=True, responses=()):
    """Say the store's lines to a client core, expect the client's; return the events. Logs in once it may.

    ``responses`` are given to the challenges in turn. Without ``tagged`` commands have no tags that could differ.
    """
    events, tags, said, responses = [], {}, _Lines(core), list(responses)
    for speaker, line in turns(transcript):
        if speaker == "C":
            alike = _same_command(line, said.next(), tags) if tagged else line == said.next()
            assert alike, f"expected {line!r}, heard {said.last!r}"
        elif speaker == TLS:
            said.nothing_more()
            assert isinstance(events[-1], StartTLS)
            core.tls_started()
        else:
            tag, space, rest = line.partition(b" ")
            core.receive_data(tags.get(tag, tag) + space + rest + b"\r\n")
            while (event := core.next_event()) is not None:
                events.append(event)
                if isinstance(event, Ready):
                    core.log_in(replay)
                if isinstance(event, Challenge):
                    core.respond(responses.pop(0))
    said.nothing_more()
    return events


class _Lines:
    """What a core says, line by line."""

    def __init__(self, core):
        self._core = core
        self._waiting = []
        self.last = None

    def next(self):
        self._collect()
        self.last = self._waiting.pop(0) if self._waiting else None
        return self.last

    def nothing_more(self):
        self._collect()
        assert not self._waiting, f"unexpected: {self._waiting!r}"

    def _collect(self):
        if octets := self._core.data_to_send():
            assert octets.endswith(b"\r\n")
            self._waiting += octets[:-2].split(b"\r\n")


def _answer(core, answer):
    if isinstance(answer, bytes):
        core.challenge(answer)
    elif isinstance(answer, Refusal):
        core.refuse(answer)
    else:
        core.accept(answer)


def _alike(expected, said):
    if said is None:
        return False
    if expected.startswith(b"+"):
        return said.startswith(b"+")
    if expected.startswith(b"* CAPABILITY "):
        return set(expected.split()) <= set(said.split())
    wanted, heard = _STATUS.fullmatch(expected), _STATUS.fullmatch(said)
    if wanted is None or heard is None:
        return expected == said
    return wanted[1] == heard[1] and wanted[2] in (None, heard[2])


def _same_command(expected, said, tags):
    if said is None:
        return False
    tag, _, command = expected.partition(b" ")
    own_tag, _, own_command = said.partition(b" ")
    if own_tag in tags.values() or not own_command:
        return expected == said
    tags[tag] = own_tag
    return command == own_command
