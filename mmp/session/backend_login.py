"""Logging in to a store on an open connection."""

from __future__ import annotations

from mmp.errors import Refused
from mmp.interfaces import Channel, ClientCore
from mmp.model import Replay
from mmp.session.events import next_event
from mmp.wire.events import LoggedIn, LoginRefused, Ready, StartTLS


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


async def log_in(channel: Channel, core: ClientCore, replay: Replay) -> LoggedIn:
    """Log in as the user; Refused if the store says no."""
    core.log_in(replay)
    while True:
        event = await next_event(channel, core)
        if isinstance(event, LoggedIn):
            return event
        if isinstance(event, LoginRefused):
            raise Refused(event.refusal, f"store: {event.text}")
