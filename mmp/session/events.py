"""Waiting for what a protocol core reports next."""

from __future__ import annotations

from typing import Protocol, TypeVar

from mmp.interfaces import Channel

Event_co = TypeVar("Event_co", covariant=True)


class Core(Protocol[Event_co]):
    """What the cores of both sides have in common."""

    def next_event(self) -> Event_co | None:
        """Return the next event, or None when more bytes are needed."""

    def data_to_send(self) -> bytes:
        """Return and forget what is to be written."""


async def next_event(channel: Channel, core: Core[Event_co]) -> Event_co:
    """Send what the core has to say, and return its next event; RemoteProtocolError, ConnectionError."""
    while True:
        event = core.next_event()
        if octets := core.data_to_send():
            channel.write(octets)
        if event is not None:
            return event
        await channel.more()
