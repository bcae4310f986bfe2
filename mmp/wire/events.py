"""The few events that every protocol core reports, so that one session serves them all."""

from __future__ import annotations

from attrs import frozen

from mmp.model import Credentials, Refusal


@frozen
class StartTLS:
    """Turn TLS on now: the agreeing reply is in ``data_to_send()`` (client side) or was read (store side)."""


@frozen
class Login:
    """The client asks to be logged in; answer with ``accept``, ``refuse``, or ``challenge`` if the mechanism goes on.

    ``greeting`` is the name that the client gave itself in EHLO or HELO; ``ttl`` how many more proxies may be gone
    through, where the client is one and says so.
    """

    credentials: Credentials
    greeting: str = ""
    ttl: int | None = None


@frozen
class Response:
    """What the client answered to ``challenge``; None if it gave the exchange up, and then ``refuse`` is due."""

    octets: bytes | None


@frozen
class Logout:
    """The client said goodbye; the reply is in ``data_to_send()``; close once it is flushed."""


@frozen
class Ready:
    """The store has greeted us, TLS is as configured, its capabilities are known: a login may be sent."""


@frozen
class Challenge:
    """The store wants more of the client than we know: answer with ``respond``."""

    octets: bytes


@frozen
class LoggedIn:
    """The store let the user in.

    ``capabilities`` are those after login, of ManageSieve the names alone, ``text`` the human-readable end of its
    reply, ``trailing`` the bytes it already sent behind that reply: they belong to the client.
    """

    capabilities: tuple[bytes, ...]
    text: bytes
    trailing: bytes


@frozen
class LoginRefused:
    """The store did not let the user in; ``text`` is its own wording, for the log only."""

    refusal: Refusal
    text: str


ClientEvent = StartTLS | Login | Response | Logout
BackendEvent = StartTLS | Ready | Challenge | LoggedIn | LoginRefused
