"""What operators follow of sessions: of the right ones, bounded, and nothing once they have gone."""

import pytest

from mmp.errors import RemoteProtocolError
from mmp.model import Client, Endpoint, Refusal, Service
from mmp.observe.trace import KEPT, MOST_ENTRIES, MOST_SESSIONS, PAGE, Trace, Traces
from mmp.session.record import Record


class Core:
    """A core that says what it is told to."""

    onlooker = None

    def overhear(self, onlooker):
        self.onlooker = onlooker


class Written:
    """A log, and where its lines go at present."""

    def __init__(self):
        self.events = []
        self.to = self

    def tell(self, name, _level, _facts, /):
        self.events.append(name)


class Scene:
    """What a worker has of it."""

    def __init__(self):
        self.log = Written()
        self.seconds = 0.0
        self.traces = Traces(self.log, self._divert, lambda: "now", lambda: self.seconds)
        self.going_to = self.log
        self._number = 0

    def _divert(self, log):
        self.going_to = log

    def session(self, typed=""):
        self._number += 1
        client = Client(f"s{self._number}", Service.IMAP, Endpoint("192.0.2.1", 4711), Endpoint("198.51.100.1", 143))
        record, core = Record(client, 0.0), Core()
        self.traces.begin(record, core)
        record.typed = typed
        return record, core


@pytest.fixture
def scene():
    return Scene()


def told(page):
    return [(entry["session"], entry["from"], entry["to"], entry["text"]) for entry in page]


def test_a_session_is_told_from_its_beginning_once_it_is_known_whose_it_is(scene):
    with scene.traces.opened("Alice@Example.com", 60) as trace:
        record, core = scene.session()
        core.onlooker.said(b"* OK hello\r\n")
        core.onlooker.heard(b"LOGIN ***")
        assert trace.page() == []
        record.typed = "alice@example.COM"
        store = Core()
        scene.traces.dialling("s1", store)
        store.onlooker.heard(b"* OK store")
        assert told(trace.page()) == [
            ("s1", "proxy", "client", "* OK hello"),
            ("s1", "client", "proxy", "LOGIN ***"),
            ("s1", "store", "proxy", "* OK store"),
        ]


def test_the_name_that_the_directory_has_counts_as_well_and_other_users_do_not(scene):
    with scene.traces.opened("alice", 60) as trace:
        for typed, user in (("al", "alice"), ("bob", "bob"), ("alicea", "")):
            record, core = scene.session(typed)
            record.user = user
            core.onlooker.heard(b"LOGIN ***")
        assert [entry["session"] for entry in trace.page()] == ["s1"]


def test_an_entry_says_when_and_where_and_nothing_that_a_terminal_would_obey(scene):
    with scene.traces.opened("alice", 60) as trace:
        _, core = scene.session("alice")
        core.onlooker.heard(b"\x1b[2J\xff" + b"x" * 10_000)
        (entry,) = trace.page()
        assert entry.keys() == {"at", "session", "worker", "service", "from", "to", "text"}
        assert (entry["at"], entry["service"]) == ("now", "imap")
        assert entry["text"].isprintable()
        assert len(entry["text"]) == 500


def test_events_of_the_session_are_told_too_and_written_as_ever(scene):
    with scene.traces.opened("alice", 60) as trace:
        record, _ = scene.session("alice")
        scene.going_to.event("login", result=Refusal.BAD_CREDENTIALS, reason="store: \x07 no", **record.facts())
        scene.going_to.event("closed", session="another", why="x")
        scene.going_to.event("reload")
        assert told(trace.page()) == [
            ("s1", "proxy", None, "login result=bad-credentials reason='store: \\x07 no'"),
        ]
    assert scene.log.events == ["login", "closed", "reload"]


def test_of_the_relay_only_octets_are_told_once_the_other_end_speaks_or_somebody_asks(scene):
    pages = scene.traces.pages("alice", 60)
    assert next(pages) == []
    record, _ = scene.session("alice")
    guard = scene.traces.relaying(record, None)
    assert guard.from_client(b"a SELECT secret\r\n") == b"a SELECT secret\r\n"
    assert guard.from_client(b"more") == b"more"
    assert guard.from_store(b"* 1 EXISTS") == b"* 1 EXISTS"
    assert not guard.waits
    assert guard.answers() == b""
    assert told(next(pages)) == [("s1", "client", "store", "21 octets"), ("s1", "store", "client", "10 octets")]


def test_a_guard_that_there_is_goes_on_guarding(scene):
    class Guard:
        waits = True

        def from_client(self, octets):
            return octets.upper()

        from_store = from_client

        def answers(self):
            return b"no"

        def stop_if_ended(self):
            raise RemoteProtocolError("over")

    with scene.traces.opened("alice", 60):
        record, _ = scene.session("alice")
        guard = scene.traces.relaying(record, Guard())
        assert guard.from_client(b"a") + guard.from_store(b"b") + guard.answers() == b"ABno"
        assert guard.waits
        with pytest.raises(RemoteProtocolError):
            guard.stop_if_ended()


def test_a_session_of_somebody_else_is_relayed_as_ever(scene):
    with scene.traces.opened("alice", 60) as trace:
        record, core = scene.session("bob")
        assert scene.traces.relaying(record, None) is None
        core.onlooker.said(b"OK")
        record.typed = "alice"
        store = Core()
        scene.traces.dialling("s1", store)
        assert store.onlooker is None
        assert trace.page() == []


def test_while_nobody_follows_nothing_is_looked_at(scene):
    _, core = scene.session("alice")
    assert core.onlooker is None
    with scene.traces.opened("alice", 60):
        assert scene.going_to is scene.traces
    assert scene.going_to is scene.log


def test_what_outlives_its_follower_is_told_to_nobody(scene):
    with scene.traces.opened("alice", 60) as trace:
        record, core = scene.session("alice")
        guard = scene.traces.relaying(record, None)
    core.onlooker.said(b"x")
    guard.from_client(b"x")
    guard.from_store(b"x")
    assert trace.page() == []


def test_it_ends_by_itself(scene):
    pages = scene.traces.pages("alice", 60)
    assert next(pages) == []
    _, core = scene.session("alice")
    core.onlooker.said(b"last")
    scene.seconds = 60.0
    assert [entry["text"] for page in pages for entry in page] == ["last"]
    assert scene.going_to is scene.log


def test_it_ends_by_itself_at_the_next_session_if_nobody_asks_any_more(scene):
    pages = scene.traces.pages("alice", 60)
    next(pages)
    scene.seconds = 60.0
    _, core = scene.session("alice")
    assert core.onlooker is None
    assert scene.going_to is scene.log
    assert list(pages) == []


def test_whoever_wants_no_more_ends_it(scene):
    pages = scene.traces.pages("alice", 60)
    next(pages)
    assert scene.going_to is scene.traces
    del pages
    assert scene.going_to is scene.log


def test_two_may_follow_at_the_same_time(scene):
    with scene.traces.opened("alice", 60) as one:
        with scene.traces.opened("bob", 60) as other:
            for name in ("alice", "bob"):
                _, core = scene.session(name)
                core.onlooker.said(name.encode())
            assert [entry["text"] for entry in other.page()] == ["bob"]
        assert scene.going_to is scene.traces
        _, core = scene.session("alice")
        core.onlooker.said(b"again")
        assert [entry["text"] for entry in one.page()] == ["alice", "again"]


def test_memory_is_bounded(scene):
    with scene.traces.opened("alice", 60) as trace:
        record, core = scene.session()
        for number in range(2 * KEPT):
            core.onlooker.said(b"%d" % number)
        record.typed = "alice"
        core.onlooker.said(b"last")
        texts = [entry["text"] for entry in trace.page() + trace.page()]
        assert texts == [*map(str, range(KEPT, 2 * KEPT)), "last"]
        sessions = [scene.session() for _ in range(2 * MOST_SESSIONS)]
        assert sum(core.onlooker is not None for _, core in sessions) == MOST_SESSIONS - 1


def test_who_does_not_read_loses_the_oldest():
    trace = Trace("alice", 60.0)
    for number in range(MOST_ENTRIES + 3):
        trace.put({"number": number})
    lost, *page = trace.page()
    assert lost == {"lost": 3}
    assert [entry["number"] for entry in page] == list(range(3, 3 + PAGE))
    assert "lost" not in trace.page()[0]
