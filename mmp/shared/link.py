"""The link between the supervisor and another process of this host: small frames over a SOCK_SEQPACKET socket.

A packet holds one or more frames, each a kind, a length and a payload. Descriptors travel beside a packet and belong
to its only frame. Both ends run code that agrees on ``VERSION``, which a worker's HELLO carries.
"""

from __future__ import annotations

import enum
import fcntl
import os
import socket
import struct
import termios
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReadWriteDescriptor
from zope.interface import implementer

VERSION = 1
PACKET = 32768
"""Bytes in a packet at most; well under what a socket buffer takes at once."""
ALONG = 0.01
"""Seconds that a frame waits which nobody waits for."""
DESCRIPTORS = 4
"""Descriptors beside a packet at most."""
PACKETS_A_TURN = 64
"""Read at most before others have their turn; more than a socket's buffer usually holds."""


class Kind(enum.IntEnum):
    """What a frame says; its payload is given behind each."""

    PREPARE = 1
    """To the zygote, with a memory file: a number (u32) for the settings to make contexts and workers from."""
    PREPARED = 2
    """From the zygote: it can fork with the settings of this number (u32)."""
    FORK = 3
    """To the zygote, with the worker's end of a new link: the number of the settings, a serial number (u32 each)."""
    FORKED = 4
    """From the zygote, with a pidfd: both of these, pid (u32 each)."""
    FORGET = 6
    """To the zygote: the settings of this number (u32) are not needed again."""
    DIED = 5
    """From the zygote: pid, exit code as ``os.waitstatus_to_exitcode`` gives it (u32, i32)."""
    HELLO = 10
    """From a worker, first of all: VERSION (u32)."""
    LOG = 11
    """To a worker, with a descriptor to write the log to."""
    LISTEN = 12
    """To a worker, with a listening socket: a number (u32) whose remainder, divided by how many listeners the
    configuration has, is the listener's index in it."""
    RENEW = 19
    """To a worker, with a memory file: certificates and keys that have changed, a pickled mapping by file name."""
    SERVE = 17
    """To a worker: that was all of them."""
    SERVING = 13
    """From a worker: it accepts on all that it was given."""
    RETIRE = 18
    """To a worker that others have replaced: close what listens, end when the last session does; or end those after so
    many seconds (f64, which may be infinite)."""
    DRAIN = 14
    """Likewise when the service ends: who is not logged in yet is sent away."""
    PING = 15
    """To a worker: answer."""
    PONG = 16
    """From a worker: sessions before login, sessions relayed (u32 each)."""
    ASK = 20
    """To a worker: the number of a question (u32), and the question in JSON."""
    MORE = 21
    """To a worker: the number of a question of which the next page is wanted (u32)."""
    ENOUGH = 22
    """Likewise, of which no more is wanted."""
    PAGE = 23
    """From a worker: the number of the question, a ``Part`` (u32, u8), and a piece of a page, which is a JSON list."""
    DISABLED = 24
    """To a worker: the stores that no login may go to, a JSON list."""
    WATCH = 26
    """To a worker: follow the changes of the directory, and tell of them."""
    CHANGED = 27
    """From the worker that does, and then to all: entries that have changed, as ``mmp.directory.changes`` packs it."""
    COUNTS = 25
    """From a worker, before each PONG and at its end: some of what it has counted, a JSON list of keys and numbers."""
    KEY = 40
    """To a worker, before it listens: the key under which passwords are compared (32 octets)."""
    DOOR = 41
    """From a worker: may a connection be held? A number that the worker gives the lease (u32), whether it is held
    already (u8), the address (4 or 16 octets)."""
    ACCOUNT = 42
    """From a worker: may a session? As before; then the user, a zero octet, the store."""
    ATTEMPT = 43
    """From a worker: may somebody try to log in? A number (u32), digests of the user and of user and password (8 octets
    each), the address."""
    GIVE = 44
    """From a worker: what has this number (u32) is given back, or no longer asked for."""
    OUTCOME = 45
    """From a worker: what came of the attempt of this number (u32), an ``Outcome`` (u8)."""
    GRANTED = 46
    """To a worker: the lease of this number (u32); then the limits that would have refused, zero octets between."""
    DENIED = 47
    """To a worker: what has this number (u32) is refused, and would be for so many seconds (f64); then the limit."""
    WAIT = 48
    """To a worker: the attempt of this number (u32) waits so many seconds (f64), infinite until another WAIT is sent,
    or would if it were more than observed (u8); then the limit that would have refused it, if any."""
    BAD = 49
    """To a worker: the attempt of this number (u32), which has failed, leaves its address with this badness in seconds
    (f64) after so many failures (u32); none, if this very one has been counted before."""
    METER = 50
    """From a worker: may a user submit one more? A number (u32), the limit, a zero octet, the user. OUTCOME then tells
    that the relay has accepted it, GIVE that it has not."""
    BAN = 51
    """To a worker: a network is banned for so many seconds (f64, perhaps infinite; 0 lifts the ban): bits of its prefix
    (u8), its address."""


class Part(enum.IntEnum):
    """What follows a piece of a page."""

    GOES_ON = 0
    """The rest of the page."""
    MORE = 1
    """Another page, once it is wanted."""
    LAST = 2
    """Nothing."""


_KINDS = {int(kind): kind for kind in Kind}
_HEADER = struct.Struct("!BH")
_DESCRIPTOR = struct.Struct("i")
_BESIDE = socket.CMSG_LEN(DESCRIPTORS * _DESCRIPTOR.size)
NUMBER = struct.Struct("!I")
TWO_NUMBERS = struct.Struct("!II")
THREE_NUMBERS = struct.Struct("!III")
EXIT = struct.Struct("!Ii")
SECONDS = struct.Struct("!d")
PIECE = struct.Struct("!IB")
LEASE = struct.Struct("!IB")
ATTEMPT = struct.Struct("!I8s8s")
OUTCOME = struct.Struct("!IB")
DENIED = struct.Struct("!Id")
WAIT = struct.Struct("!IdB")
BAD = struct.Struct("!IdI")
BAN = struct.Struct("!dB")


def frame(kind: Kind, payload: bytes = b"") -> bytes:
    """Return a frame's bytes."""
    return _HEADER.pack(kind, len(payload)) + payload


def frames(packet: bytes) -> Iterator[tuple[Kind, bytes]]:
    """Yield the frames of a packet."""
    at = 0
    while at < len(packet):
        kind, length = _HEADER.unpack_from(packet, at)
        at += _HEADER.size
        yield _KINDS[kind], packet[at : at + length]
        at += length


def pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a new link."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def receive(link: socket.socket) -> tuple[bytes, list[int]]:
    """Read one packet and its descriptors; no bytes at the end, BlockingIOError if there is nothing yet."""
    packet, beside, _, _ = link.recvmsg(PACKET, _BESIDE)
    if not beside:
        return packet, []
    descriptors = [descriptor for *_, octets in beside for (descriptor,) in _DESCRIPTOR.iter_unpack(octets)]
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's signature
    return packet, descriptors


def _waits(link: socket.socket) -> bool:
    """Say whether a packet can be read; the end of the link is none."""
    octets = bytearray(_DESCRIPTOR.size)
    fcntl.ioctl(link, termios.FIONREAD, octets)
    return any(octets)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


@implementer(IReadWriteDescriptor)
class Link:
    """One end of a link on a reactor; what is sent during one turn goes out in as few packets as hold it."""

    def __init__(
        self,
        reactor: Any,
        link: socket.socket,
        received: Callable[[Kind, bytes, list[int]], None],
        lost: Callable[[], None],
    ) -> None:
        """``received`` gets kind, payload and descriptors, of which it takes those that it wants out of the list.

        ``lost`` is told once of the end.
        """
        link.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self._reactor = reactor
        self._link = link
        self._received = received
        self._lost = lost
        self.closed = False
        """Whether either end has closed it."""
        self._frames: list[bytes] = []
        """What is said behind the packets below, and not in one yet."""
        self._packets: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._soon = getattr(reactor, "soon", None)
        """Our own reactor calls us back before it waits, which costs less than to ask for writability."""
        self._flushing = False
        self._along: IDelayedCall | None = None
        reactor.addReader(self)

    def send(self, kind: Kind, payload: bytes = b"", descriptors: Sequence[int] = ()) -> None:
        """Queue a frame. The descriptors are duplicated: the caller keeps its own. Dropped once the link is closed."""
        if self.closed:
            return
        octets = _HEADER.pack(kind, len(payload)) + payload
        if descriptors:
            self._pack()
            self._packets.append((octets, tuple(map(os.dup, descriptors))))
        else:
            self._frames.append(octets)
        if self._flushing:
            return
        if self._soon is None:
            self._reactor.addWriter(self)
        else:
            self._flushing = True
            self._soon(self.flush)

    def send_along(self, kind: Kind, payload: bytes) -> None:
        """Queue a frame for which nobody waits: it goes with the next one, or by itself after a moment."""
        if self.closed:
            return
        self._frames.append(_HEADER.pack(kind, len(payload)) + payload)
        if self._along is None and not self._flushing:
            self._along = self._reactor.callLater(ALONG, self._send_what_waits)

    def _pack(self) -> None:
        """Have as few packets as hold what has been said."""
        frames, self._frames = self._frames, []
        packet = b"".join(frames)
        if len(packet) > PACKET:
            packet = b""
            for octets in frames:
                if packet and len(packet) + len(octets) > PACKET:
                    self._packets.append((packet, ()))
                    packet = b""
                packet += octets
        if packet:
            self._packets.append((packet, ()))

    def _send_what_waits(self) -> None:
        self._along = None
        self.flush()

    def flush(self) -> None:
        """Send what is queued; what the kernel does not take now follows when it does."""
        self._flushing = False
        if not self._send_queued():
            self._reactor.addWriter(self)

    def doWrite(self) -> None:  # noqa: N802 - Twisted's name
        """Go on sending what is queued."""
        if self._send_queued():
            self._reactor.removeWriter(self)

    def _send_queued(self) -> bool:
        """Say whether all of it is sent."""
        while self._packets or self._frames:
            if not self._packets:
                self._pack()
            octets, descriptors = self._packets[0]
            try:
                if descriptors:
                    socket.send_fds(self._link, [octets], descriptors)
                else:
                    self._link.send(octets)
            except BlockingIOError:
                return False
            except OSError:
                pass  # the reading side will see the end
            _close_all(descriptors)
            self._packets.popleft()
        return True

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Hand on the frames of the packets that are there: what is told first counts for whoever comes after it."""
        flushing, self._flushing = self._flushing, True
        try:
            for _ in range(PACKETS_A_TURN):
                if self.closed or not self._take_packet():
                    break
        finally:
            if not flushing:
                self.flush()  # all answers at once

    def _take_packet(self) -> bool:
        """Hand on the frames of one packet; say whether there is another.

        The kernel is asked for that, since one more read takes twice as long and mostly finds none.
        """
        try:
            packet, descriptors = receive(self._link)
        except BlockingIOError:
            return False
        except OSError:
            packet, descriptors = b"", []
        if not packet:
            self.close()
            self._lost()
            return False
        try:
            for kind, payload in frames(packet):
                if not self.closed:
                    self._received(kind, payload, descriptors)
        finally:
            _close_all(descriptors)
        return not self.closed and _waits(self._link)

    def finish(self) -> None:
        """Say no more, and let the other end see so; what it still says is heard until its own end."""
        self._send_queued()
        with suppress(OSError):  # it is gone already
            self._link.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close our end; ``lost`` is not told."""
        self.closed = True
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        if self._along is not None:
            self._along.cancel()
            self._along = None
        for _, descriptors in self._packets:
            _close_all(descriptors)
        self._frames.clear()
        self._packets.clear()
        self._link.close()

    @property
    def waits(self) -> bool:
        """Whether something is queued that the kernel has not taken."""
        return bool(self._packets or self._frames)

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self._link.fileno()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """Return a name for the log."""
        return "link"

    def connectionLost(self, reason: object) -> None:  # noqa: ARG002, N802 - Twisted's name
        """The reactor found the descriptor broken."""
        if not self.closed:
            self.close()
            self._lost()
