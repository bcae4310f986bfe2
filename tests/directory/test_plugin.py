"""What a plug-in's answers become."""

from types import SimpleNamespace

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mmp.directory.entry import Entry
from mmp.directory.plugin import PluginDirectory
from mmp.errors import Refused
from mmp.model import Refusal
from tests.directory.outcomes import pending, refusal, run, started
from tests.directory.people import ALICE, names


def directory(find, *fields, clock=None):
    made = PluginDirectory("acme", fields or ("user",), find, clock or Clock())
    made._log = SimpleNamespace(failure=lambda *_, **__: None)
    return made


def returning(answer):
    async def find(**_):
        return answer

    return find


def test_it_is_asked_by_its_fields_and_no_others():
    asked = []

    async def find(**fields):
        asked.append(fields)
        return [ALICE]

    assert run(directory(find, "user", "client_address").find(names())) == [ALICE]
    assert asked == [{"user": "alice", "client_address": "192.0.2.7"}]


@pytest.mark.parametrize("fields", [("user",), ("user", "domain")])
def test_answers_are_told_apart_by_what_it_is_asked_by(fields):
    made = directory(returning([]), *fields)
    assert made.key(names("alice@a.com")) != made.key(names("bob@a.com"))
    assert made.key(names("alice@a.com")) == made.key(names("alice@a.com")._replace(client_address="203.0.113.9"))
    assert (made.key(names("alice@a.com")) == made.key(names("alice@b.com"))) is (fields == ("user",))


def test_entries_are_brought_into_our_form():
    (entry,) = run(directory(returning([Entry("x", {"MailHost": ["store1"]})])).find(names()))
    assert entry.get("mailhost") == ("store1",)


def test_no_more_than_two_entries_are_looked_at():
    assert len(run(directory(returning([ALICE] * 1000)).find(names()))) == 2


@pytest.mark.parametrize(
    "answer",
    [
        None,
        7,
        "alice",
        [None],
        [Entry("x", {"mailHost": "store1"})],
        [Entry("x", {"mailHost": [b"store1"]})],
        [Entry(b"x", {})],
        [Entry("x", None)],
        [Entry("x", {7: ["y"]})],
    ],
)
def test_an_answer_that_is_none_is_an_outage(answer):
    refused = refusal(started(directory(returning(answer)).find(names())))
    assert refused.refusal is Refusal.DIRECTORY_UNAVAILABLE


@pytest.mark.parametrize("failure", [OSError("secret"), ZeroDivisionError(), KeyError("secret")])
def test_whatever_it_raises_is_an_outage_whose_words_stay_in_the_traceback(failure):
    async def find(**_):
        raise failure

    refused = refusal(started(directory(find).find(names())))
    assert refused.refusal is Refusal.DIRECTORY_UNAVAILABLE
    assert refused.reason == f"the plug-in acme: {type(failure).__name__}"


def test_a_refusal_of_its_own_is_told_as_it_is():
    own = Refused(Refusal.ACCOUNT_ON_HOLD, "not paid")

    async def find(**_):
        raise own

    assert refusal(started(directory(find).find(names()))) is own


def test_one_that_never_answers_keeps_nobody_for_ever():
    clock = Clock()
    asked = started(directory(lambda **_: Deferred(), clock=clock).find(names()))
    clock.advance(9)
    assert pending(asked)
    clock.advance(1)
    assert refusal(asked).reason == "the plug-in acme: TimeoutError"
