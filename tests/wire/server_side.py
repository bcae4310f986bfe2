"""What the tests of every server core need to know of one protocol, and how such a core is driven."""

import enum
from collections.abc import Callable, Iterable
from typing import Any

from attrs import frozen
from hypothesis.strategies import SearchStrategy

from mmp.errors import RemoteProtocolError
from mmp.model import Offer, Refusal
from mmp.wire.events import LoggedIn, Login, Response
from mmp.wire.toward_client import State

CLEAR = Offer(mechanisms=(), plaintext=False, starttls=True)
OPEN = Offer(mechanisms=("PLAIN",), plaintext=True, starttls=False)


@frozen(kw_only=True)
class ServerSide:
    """One protocol's words, states and bounds."""

    name: str
    core: Callable[..., Any]
    mechanisms: tuple[str, ...]
    pieces: SearchStrategy[bytes]
    """What hypothesis draws of what clients say."""

    prelude: bytes = b""
    """What a client says before it may log in."""
    noop: bytes
    noop_ok: bytes
    login: Callable[[bytes], bytes]
    """One command that logs in ``user`` with this password."""
    exchange: bytes
    """Begins a PLAIN exchange without an initial response."""
    starttls: bytes
    starttls_spoilt: bytes
    """The answer where bytes follow STARTTLS."""
    logout: bytes
    logout_ok: bytes
    later: bytes
    """A command of after the login."""

    let_in: LoggedIn
    welcome: bytes
    """The answer to a login that ``let_in`` was accepted for."""
    refused: bytes | tuple[bytes, ...]
    cancelled: bytes
    turned_away: bytes
    shutting_down: bytes
    """How a goodbye for SHUTTING_DOWN begins."""
    goodbye_answers_login: bool = False
    """Whether a pending login has an answer of its own before the goodbye."""

    squeamish: tuple[bytes, ...]
    """Ways to log in with the password ``squeamish``."""
    squeamish_unfinished: tuple[bytes, ...]
    """Ways to have said it without having logged in."""

    conversation: bytes
    """Ends with ``later``, logged in by an exchange of more than one step."""
    flood: tuple[list[bytes], ...]
    """What a client says once, and then without end."""
    held: Callable[[Any], Iterable[tuple[int, int]]]
    """How much a core holds, and how much it may beside the last chunk."""
    reply_limit: int = 200


def named(value):
    """Name a row, or a state, in the names of tests; pytest names the rest."""
    return value.name if isinstance(value, ServerSide | enum.Enum) else None


def made(side, offer=OPEN):
    """Return a core that has said nothing yet."""
    return side.core(offer=offer, hostname="mail.example.com", timestamp=b"<1@mail.example.com>")


def greeted(side, offer=OPEN):
    """Return a core that listens to its first command."""
    core = made(side, offer)
    core.greet()
    core.data_to_send()
    return core


def introduced(side, offer=OPEN):
    """Return a core that is ready for a login."""
    core = greeted(side, offer)
    core.receive_data(side.prelude)
    assert core.next_event() is None
    core.data_to_send()
    return core


def logging_in(side, behind=b""):
    """Return a core with a pending login that these octets have come behind."""
    core = introduced(side)
    core.receive_data(side.login(b"secret") + behind)
    assert isinstance(core.next_event(), Login)
    return core


def in_state(side, state):
    """Return a core that is in this state, with nothing left to say."""
    if state is State.CONNECTED:
        return made(side)
    core = introduced(side, CLEAR if state is State.STARTING_TLS else OPEN)
    login = side.login(b"secret")
    core.receive_data(
        {
            State.AUTHENTICATING: side.exchange,
            State.LOGGING_IN: login,
            State.RESPONDING: login,
            State.STARTING_TLS: side.starttls,
            State.AUTHENTICATED: login,
            State.ENDED: side.logout,
        }.get(state, b""),
    )
    core.next_event()
    if state is State.RESPONDING:
        core.challenge(b"more")
    if state is State.AUTHENTICATED:
        core.accept(side.let_in)
    core.data_to_send()
    assert core._talk.state is state
    return core


def answer(side, core, event):
    """Ask more of PLAIN, let in who has a long password and who answers, refuse others."""
    if isinstance(event, Response):
        if event.octets is None:
            core.refuse(Refusal.CANCELLED)
        else:
            core.accept(side.let_in)
    elif isinstance(event, Login):
        if event.credentials.mechanism == "PLAIN":
            core.challenge(b"more")
        elif len(event.credentials.secret) > 5:
            core.accept(side.let_in)
        else:
            core.refuse(Refusal.BAD_CREDENTIALS)


def served(side, chunks, offer):
    """Return the events, what was said, and what is for the store, when a client sends these chunks."""
    core = greeted(side, offer)
    events, said, trailing = [], b"", b""
    for chunk in chunks:
        core.receive_data(chunk)
        try:
            while (event := core.next_event()) is not None:
                events.append(event)
                answer(side, core, event)
        except RemoteProtocolError as error:
            events.append(str(error))
        said += core.data_to_send()
    if core._talk.state is State.AUTHENTICATED:
        trailing = core.trailing()
    return events, said, trailing


def whole_lines(said):
    """Return the lines of what was said, which nothing but CR LF ends."""
    lines = said.split(b"\r\n")
    assert lines.pop() == b""
    assert not any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)
    return lines
