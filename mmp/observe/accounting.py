"""Accounting: one ``closed`` line for every session, with how long it lasted, what it moved and why it ended."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from mmp.interfaces import Log
from mmp.model import Client
from mmp.session.record import Record, Who


@frozen
class Accounting:
    """Opens a record for each session and writes it to the log when the session ends; ``now`` is a monotonic clock."""

    log: Log
    now: Callable[[], float]

    def open(self, client: Client) -> Record:
        """Return the record of a session that begins now."""
        return Record(client, self.now())

    def close(self, record: Record, who: Who, why: str) -> None:
        """Write the record and give its slot back. What is said about the end of a session later is not heard."""
        facts = record.finish(self.now(), who, why)
        if facts is not None:
            self.log.tell("closed", "info", facts)
            if record.slot is not None:
                record.slot.close()
