"""What is counted of what the log is told."""

import json

from hypothesis import given
from hypothesis import strategies as st

from mmp.admin.state import State
from mmp.model import Refusal, Service
from mmp.observe.metrics import BUCKETS, MOST, Counted, Counts, parts
from mmp.shared.link import PACKET, Kind, frame
from tests import fakes


class Scene:
    def __init__(self):
        self.log = fakes.Log()
        self.now = 0.0
        self.counted = Counted(self.log, Counts(), lambda: self.now)

    def tell(self, name, **facts):
        self.counted.event(name, "info", **facts)
        return self.counted.counts.counts


def test_what_is_counted_is_written_as_well():
    scene = Scene()
    scene.tell("login", service="imap", mechanism="PLAIN", result="ok", user="alice")
    scene.tell("anything", result="ok")
    assert [name for name, *_ in scene.log.events] == ["login", "anything"]


def test_logins_are_counted_by_how_they_end():
    scene = Scene()
    for result in ("ok", "ok", Refusal.BAD_CREDENTIALS):
        counts = scene.tell("login", service="imap", mechanism="PLAIN", result=result, reason=None)
    assert counts == {
        ("logins_total", "imap", "PLAIN", "ok"): 2,
        ("logins_total", "imap", "PLAIN", "bad-credentials"): 1,
    }


def test_what_a_limit_refuses_is_counted_by_the_limit_and_what_it_would_have_refused_apart():
    scene = Scene()
    scene.tell("refused", service=Service.IMAP, result=Refusal.TOO_MANY_CONNECTIONS, reason="limit: per_address")
    scene.tell("refused", service=Service.IMAP, result="observed", reason="limit: per_user")
    scene.tell("refused", service=Service.IMAP, result=None, reason="no PROXY header")
    counts = scene.tell(
        "login", service="imap", mechanism="PLAIN", result=Refusal.TOO_MANY_SESSIONS, reason="limit: per_user"
    )
    assert counts == {
        ("connections_total", "imap", "too-many-connections"): 1,
        ("limit_refusals_total", "per_address"): 1,
        ("limit_refusals_total", "per_user (observed)"): 1,
        ("connections_total", "imap", "refused"): 1,
        ("logins_total", "imap", "PLAIN", "too-many-sessions"): 1,
        ("limit_refusals_total", "per_user"): 1,
    }


def test_attempts_that_a_throttle_holds_back_are_counted_and_those_it_would_have_held_back_apart():
    scene = Scene()
    scene.tell("held", seconds=2.0)
    scene.tell("badguy", result="observed", seconds=2.0)
    counts = scene.tell("badguy", badness=2.0, failures=1)
    assert counts == {("throttle_delays_total",): 1, ("throttle_delays_observed_total",): 1}


def test_the_words_of_a_store_are_no_limit():
    counts = Scene().tell(
        "login", service="imap", mechanism="PLAIN", result=Refusal.BAD_CREDENTIALS, reason="store: limit: x"
    )
    assert list(counts) == [("logins_total", "imap", "PLAIN", "bad-credentials")]


def test_the_last_that_was_seen_of_a_store_counts():
    scene = Scene()
    key = ("store", "store1", "imap")
    for now, result, why in ((1, "failed", "refused"), (2, "untrusted", "bad name"), (3, "connected", "")):
        scene.now = now
        scene.tell("backend", result=result, backend="store1", service=Service.IMAP, reason=why)
        assert (scene.counted.seen[key].why, scene.counted.seen[key].at) == (why, now)
    scene.tell("backend", result="spoofed", backend="store1", service="pop3", reason="away")
    assert list(scene.counted.seen) == [key]


def test_a_directory_that_is_down_is_seen_until_it_is_up():
    scene = Scene()
    scene.tell("directory", result="down", url="ldap://a", reason="refused")
    assert scene.counted.seen["directory", "ldap://a"].why == "refused"
    scene.tell("directory", result="up", url="ldap://a")
    assert scene.counted.seen["directory", "ldap://a"].why == ""


def test_what_there_is_to_be_warned_of_is_seen_until_the_directory_is_up():
    scene = Scene()
    for result, why in (("warning", "expires soon"), ("slow", "an answer took 2.0 s")):
        scene.tell("directory", result=result, url="ldap://a", reason=why)
    state = State()
    for key, seen in scene.counted.seen.items():
        state.learn(key, [seen.why, seen.at])
    assert (state.directories_down(), state.warnings()) == ({}, {"ldap://a": ["an answer took 2.0 s", "expires soon"]})
    scene.tell("directory", result="up", url="ldap://a")
    assert {seen.why for seen in scene.counted.seen.values()} == {""}


def test_there_are_no_more_keys_than_a_bound():
    counts = Counts()
    for number in range(MOST + 10):
        counts.add(("a", str(number)))
        counts.took(("b", str(number)), 1.0)
    counts.add(("a", "0"))
    assert len(counts.counts) == len(counts.histograms) == MOST
    assert counts.counts["a", "0"] == 2


def test_a_time_is_in_the_bucket_of_its_upper_bound():
    counts = Counts()
    for seconds in (0.0, BUCKETS[0], BUCKETS[0] * 1.01, 1000.0):
        counts.took(("a",), seconds)
    *buckets, total = counts.histograms["a",]
    assert buckets == [2, 1, *[0] * (len(BUCKETS) - 2), 1]
    assert total == sum((0.0, BUCKETS[0], BUCKETS[0] * 1.01, 1000.0))


NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=255)
KEYS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)


@given(
    st.dictionaries(KEYS, st.integers(0, 1 << 60), max_size=50), st.dictionaries(KEYS, st.floats(0, 1e6), max_size=50)
)
def test_all_of_it_arrives_in_parts_that_frames_hold(numbers, times):
    counts, learned = Counts(dict(numbers)), Counts()
    for key, seconds in times.items():
        counts.took(key, seconds)
    for part in parts(counts):
        assert len(frame(Kind.COUNTS, part)) <= PACKET
        learned.learn(json.loads(part))
    assert learned == counts


def test_adding_up_leaves_out_nothing():
    one, other = Counts({("a",): 1}), Counts({("a",): 2, ("b",): 3})
    one.took(("t",), 0.5)
    other.took(("t",), 0.5)
    other.took(("u",), 0.5)
    total = Counts()
    for counts in (one, other):
        total.add_all(counts)
    assert total.counts == {("a",): 3, ("b",): 3}
    assert (total.histograms["t",][-1], total.histograms["u",][-1]) == (1.0, 0.5)
    assert one.counts == {("a",): 1}
