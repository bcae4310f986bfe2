"""What one session amounts to: who it was, how it went, and that its end is told once."""

from __future__ import annotations

from typing import Literal

from attrs import define

from mmp.interfaces import Lease
from mmp.model import Client, Credentials, Standing

Who = Literal["client", "backend", "proxy"]


@define(eq=False, weakref_slot=False)
class Record:
    """The facts of one session, filled in as they become known; all that an idle session keeps besides its channels.

    ``started`` and ``finish`` take seconds of one monotonic clock. ``user`` is the canonical name once the directory
    has given it, ``typed`` what the client sent, ``authzid`` whom it asked to act as, if another.
    The relay adds to the counters: ``bytes_in`` came from the client for the store, ``bytes_out`` from the store for
    the client, both counted from the hand-over on. ``note`` is what the line about a login says beside that it went
    well. ``slot`` is what the connection holds as long as it lasts; ``standing`` what the directory has let the user in
    by, if it tells of changes.
    """

    client: Client
    started: float
    user: str = ""
    typed: str = ""
    authzid: str = ""
    backend: str = ""
    mechanism: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    finished: bool = False
    note: str = ""
    slot: Lease | None = None
    standing: Standing | None = None

    def attempt(self, credentials: Credentials) -> None:
        """A login begins: nothing is known yet of who that is, whatever an attempt before it has told."""
        self.typed, self.mechanism = credentials.user, credentials.mechanism
        self.authzid = credentials.authzid if credentials.authzid != credentials.user else ""
        self.user = self.backend = self.note = ""
        self.standing = None

    def facts(self) -> dict[str, object]:
        """Return what every line about this session says."""
        client = self.client
        return {
            "session": client.session,
            "service": client.service.word,
            "client": client.address,
            "server": client.local,
            "user": self.user or self.typed,
            "typed": self.typed if self.user and self.typed != self.user else None,
            "authzid": self.authzid,
            "backend": self.backend,
            "mechanism": self.mechanism,
            "tls": client.security.version,
            "cipher": client.security.cipher,
        }

    def counted(self) -> dict[str, object]:
        """Return what is counted of a line that is not written: a tenth of the work."""
        return {"service": self.client.service.word, "backend": self.backend}

    def finish(self, now: float, who: Who, why: str) -> dict[str, object] | None:
        """Return the facts of the ``closed`` line; None if the end was told already, since the first reason counts."""
        if self.finished:
            return None
        self.finished = True
        facts = self.facts()
        facts["duration"] = round(now - self.started, 3)
        facts["bytes_in"], facts["bytes_out"] = self.bytes_in, self.bytes_out
        facts["who"], facts["why"] = who, why
        return facts
