"""Logging in to a store on an open connection."""

from __future__ import annotations

from typing import Final

from mmp.errors import Refused
from mmp.interfaces import Channel, ClientCore
from mmp.session.events import next_event
from mmp.wire.events import Challenge, LoggedIn, LoginRefused, Ready, StartTLS

_ANSWERS: Final = (LoggedIn, Challenge)


async def make_ready(channel: Channel, core: ClientCore) -> None:
    """Take the connection to where a login may be sent: greeting, STARTTLS if asked for, capabilities.

    RemoteProtocolError if the store is no use, ConnectionError if it goes.
    """
    while True:
        event = await next_event(channel, core)
        if isinstance(event, Ready):
            return
        if isinstance(event, StartTLS):
            await channel.start_tls()
            core.tls_started()


async def answer(channel: Channel, core: ClientCore) -> LoggedIn | Challenge:
    """Return what the store answers to the login that was queued, or to a response; Refused if it says no.

    RemoteProtocolError if the store is no use, ConnectionError if it goes.
    """
    while True:
        event = await next_event(channel, core)
        if isinstance(event, _ANSWERS):
            return event
        if isinstance(event, LoginRefused):
            raise Refused(event.refusal, f"store: {event.text}")
