"""Every session is told of once, with how it went and why it ended."""

from __future__ import annotations

import sys

from attrs import evolve

from mmp.interfaces import Level
from mmp.model import Client, Endpoint, Security, Service
from mmp.observe.accounting import Accounting
from mmp.session.record import Record

CLIENT = Client("a1", Service.IMAP, Endpoint("192.0.2.1", 51234), Endpoint("198.51.100.1", 143))


class Events:
    def __init__(self) -> None:
        self.written: list[tuple[str, dict[str, object]]] = []

    def heeds(self, level: Level) -> bool:
        return True

    def event(self, name: str, _level: Level = "info", /, **facts: object) -> None:
        self.written.append((name, facts))

    def tell(self, name: str, level: Level, facts: dict[str, object], /) -> None:
        self.event(name, level, **facts)


def test_a_session_that_logged_in_is_told_whole() -> None:
    events, seconds = Events(), iter([100.0, 160.25])
    accounting = Accounting(events, lambda: next(seconds))
    record = accounting.open(CLIENT)
    record.client = evolve(CLIENT, security=Security("TLSv1.3", "TLS_AES_128_GCM_SHA256", 128))
    record.typed, record.user, record.mechanism = "Alice", "alice@example.com", "PLAIN"
    record.backend = "store1:143"
    record.bytes_in += 10
    record.bytes_out += 2000
    accounting.close(record, "client", "end of file")
    assert events.written == [
        (
            "closed",
            {
                "session": "a1",
                "service": "imap",
                "client": Endpoint("192.0.2.1", 51234),
                "server": Endpoint("198.51.100.1", 143),
                "user": "alice@example.com",
                "typed": "Alice",
                "authzid": "",
                "backend": "store1:143",
                "mechanism": "PLAIN",
                "tls": "TLSv1.3",
                "cipher": "TLS_AES_128_GCM_SHA256",
                "duration": 60.25,
                "bytes_in": 10,
                "bytes_out": 2000,
                "who": "client",
                "why": "end of file",
            },
        )
    ]


def test_only_the_first_end_counts() -> None:
    events = Events()
    accounting = Accounting(events, lambda: 0.0)
    record = accounting.open(CLIENT)
    accounting.close(record, "backend", "end of file")
    accounting.close(record, "client", "connection lost")
    assert [facts["who"] for _, facts in events.written] == ["backend"]


def test_an_unknown_user_is_named_as_typed() -> None:
    record = Record(CLIENT, 0.0, typed="mallory")
    assert record.facts()["user"] == "mallory"
    assert record.facts()["typed"] is None


def test_a_record_is_small_since_it_lives_as_long_as_its_session() -> None:
    record = Record(CLIENT, 0.0)
    assert not hasattr(record, "__dict__")
    assert sys.getsizeof(record) <= 136
