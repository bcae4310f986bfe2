"""Taking the connections of a logged-in session over: relays begin here, and are accounted for here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType

from mmp import interfaces
from mmp.interfaces import Guard, Lease, Meter
from mmp.model import Service
from mmp.net.channel import Channel
from mmp.net.end import End
from mmp.net.loop import Loop
from mmp.net.relay import Relay
from mmp.net.stream import Stream
from mmp.session.login import Relayed
from mmp.session.record import Record, Who
from mmp.wire.events import LoggedIn

MakeGuard = Callable[[LoggedIn, Meter | None], Guard | None]

_NO_GUARDS: Mapping[Service, MakeGuard] = MappingProxyType({})


def _open(channel: Channel) -> Stream:
    stream = channel.stream
    if stream is None or not stream.open:
        raise ConnectionError("connection lost")
    return stream


class Relays:
    """All relays of a worker: they begin here, and their records, leases and places in the books end here."""

    def __init__(
        self,
        loop: Loop,
        idle: Mapping[Service, float],
        ended: Callable[[Record, Who, str], None],
        guards: Mapping[Service, MakeGuard] = _NO_GUARDS,
        meter: Callable[[Record], Meter | None] = lambda _record: None,
        *,
        begun: Callable[[Record, Guard | None], Guard | None] = lambda _record, guard: guard,
    ) -> None:
        """``idle``: seconds without traffic, by service; ``ended`` is told each session's record, once.

        ``guards`` make what watches over a session, if what its store has said of itself calls for it, or ``meter`` has
        made what counts its submissions; ``begun`` may put another in its place that looks on.
        """
        self._loop = loop
        self._idle = idle
        self._ended = ended
        self._guards = guards
        self._make_meter = meter
        self._begun = begun
        self._running: dict[Relay, tuple[tuple[Lease, ...], Record]] = {}

    def take_over(self, channel: interfaces.Channel, relayed: Relayed, trailing: bytes, record: Record) -> None:
        """Own both connections, the lease and the record from now on; what was left over is written first.

        ConnectionError, and nothing is taken, if either connection is already lost; RemoteProtocolError likewise if the
        guard ends the session at once.
        """
        store = relayed.backend.channel
        assert isinstance(channel, Channel)  # noqa: S101 - there is one transport
        assert isinstance(store, Channel)  # noqa: S101 - likewise
        meter = self._make_meter(record)
        try:
            guard = self._write_first(channel, relayed, trailing, record, meter)
            client, backend = _open(channel), _open(store)
        except BaseException:
            if meter is not None:
                meter.close()
            raise
        relay = Relay(self._loop, self._finished, guard)
        if meter is not None:
            meter.go_on = relay.go_on
        self._running[relay] = (relayed.lease,) if meter is None else (relayed.lease, meter), record
        make = partial(End, relay)
        relay.start(client.hand_over(make), backend.hand_over(make), self._idle[record.client.service])
        if guard is not None:
            relay.heed_guard()

    def _write_first(
        self, channel: Channel, relayed: Relayed, trailing: bytes, record: Record, meter: Meter | None
    ) -> Guard | None:
        """Write what was left over from the login, and return who watches over what follows."""
        logged_in = relayed.backend.logged_in
        make = self._guards.get(record.client.service)
        guard = self._begun(record, make(logged_in, meter) if make is not None else None)
        if guard is None:
            if trailing:
                relayed.backend.channel.write(trailing)
            if logged_in.trailing:
                channel.write(logged_in.trailing)
        else:
            channel.write(guard.from_store(logged_in.trailing))
            relayed.backend.channel.write(guard.from_client(trailing))
            channel.write(guard.answers())
        return guard

    def _finished(self, relay: Relay) -> None:
        leases, record = self._running.pop(relay)
        for lease in leases:
            lease.close()
        record.bytes_in, record.bytes_out = relay.client.received, relay.backend.received
        self._ended(record, relay.who, relay.why)

    def __len__(self) -> int:
        return len(self._running)

    def sessions(self) -> Iterator[tuple[Relay, Record]]:
        """Yield those that run, each with its record; none may begin or end meanwhile."""
        return ((relay, record) for relay, (_, record) in self._running.items())

    def close_all(self, why: str) -> None:
        """End all of them in order."""
        for relay in tuple(self._running):
            relay.close(why)
