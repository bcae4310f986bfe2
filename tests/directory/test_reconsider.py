"""What is tried in place of an account whose store has refused the login, by a remembered entry and by a fresh one."""

import pytest
from attrs import evolve

from mmp.directory.cache import Cached, Lifetimes
from mmp.directory.entry import AccountRules
from mmp.directory.locate import Locator
from mmp.directory.replay import ReplayName
from mmp.directory.verify import RIGHT, Authority
from mmp.errors import Refused
from mmp.model import Administrator, Refusal
from tests.directory.outcomes import refusal, run, started
from tests.directory.people import ALICE, CLIENT
from tests.directory.test_locate import Answering
from tests.directory.test_verify import ACTING, PASSWORD, PROOF, SCRAM, TOKEN
from tests.fakes import never_asked

LATER = 60.0
AWAY = Refused(Refusal.DIRECTORY_UNAVAILABLE, "away")


def changed(**attributes):
    """Return Alice's entry with other values."""
    return evolve(ALICE, attributes={**ALICE.attributes, **{name: (value,) for name, value in attributes.items()}})


MOVED = changed(mailhost="store2.example.com")


class Remembering:
    """Look-ups in a directory of which the answers are remembered; time goes by only where the test lets it."""

    def __init__(self, everything=False):
        self.now = 0.0
        self.judged = 0
        self.directory = Answering(ALICE)
        users = Cached(self.directory, 10, Lifetimes(900.0, 30.0, 900.0), lambda: self.now)
        authority = Authority(self.judge, everything=everything, administrator=Administrator("admin", b"admin's"))
        rules = AccountRules(replay_user=ReplayName.parse("%A[uid]"))
        self.locator = Locator(users, rules=rules, authority=authority, memory=users)

    async def judge(self, entry, credentials, ask):
        self.judged += 1
        return RIGHT

    def located(self, credentials=PASSWORD):
        return run(self.locator.locate(CLIENT, credentials, never_asked))

    def reconsider(self, account, credentials=PASSWORD):
        return self.locator.reconsider(CLIENT, credentials, never_asked, account)

    def reconsidered(self, *entries, failure=None, after=LATER, credentials=PASSWORD):
        """Log in, have a store refuse it after a while, and return what is to be tried then."""
        account = self.located(credentials)
        self.directory.entries, self.directory.failure = entries, failure
        self.now += after
        return self.reconsider(account, credentials)


@pytest.mark.parametrize("credentials", [PASSWORD, TOKEN, PROOF, ACTING], ids=["PLAIN", "token", "CRAM-MD5", "authzid"])
def test_another_store_is_tried(credentials):
    account = run(Remembering().reconsidered(MOVED, credentials=credentials))
    assert (account.user, account.host) == ("alice@example.com", "store2.example.com")


def test_another_name_at_the_same_store_is_tried():
    assert run(Remembering().reconsidered(changed(uid="al"))).replay_user == "al"


@pytest.mark.parametrize("entry", [ALICE, changed(description="another")], ids=["as it was", "changed elsewhere"])
def test_nothing_is_tried_where_the_store_would_hear_the_same_once_more(entry):
    assert run(Remembering().reconsidered(entry)) is None


def test_nothing_is_tried_while_the_directory_cannot_say():
    assert run(Remembering().reconsidered(failure=AWAY)) is None
    scene = Remembering()
    account = scene.located()
    scene.directory.failure, scene.now = AWAY, 2000.0  # nothing that is remembered may serve any more
    assert run(scene.reconsider(account)) is None


def test_an_exchange_is_not_begun_anew():
    scene = Remembering()
    account = scene.located()
    scene.directory.entries, scene.now = (MOVED,), LATER
    assert run(scene.reconsider(account, SCRAM)) is None
    assert len(scene.directory.asked) == 1


@pytest.mark.parametrize("entries", [(), (ALICE, ALICE)], ids=["none", "several"])
def test_whoever_is_nobody_by_now_is_refused_as_that(entries):
    assert refusal(started(Remembering().reconsidered(*entries))).refusal is Refusal.BAD_CREDENTIALS


def test_whoever_must_not_log_in_any_more_is_refused_as_that():
    refused = refusal(started(Remembering().reconsidered(changed(inetuserstatus="deleted"))))
    assert refused.refusal is Refusal.ACCOUNT_DISABLED


def test_guesses_are_not_as_many_questions_to_the_directory():
    scene = Remembering()
    for _ in range(20):
        assert run(scene.reconsidered(ALICE, after=1.0)) is None
    assert len(scene.directory.asked) == 3  # the first look-up, and one in ten seconds


def test_who_is_refused_a_moment_after_somebody_else_has_had_the_entry_asked_for_goes_where_they_went():
    scene = Remembering()
    one = two = scene.located()
    scene.directory.entries, scene.now = (MOVED,), LATER
    for account in (one, two):
        assert run(scene.reconsider(account)).host == "store2.example.com"
    assert len(scene.directory.asked) == 2


def test_a_password_that_we_judge_is_judged_by_the_entry_that_counts_now():
    scene = Remembering(everything=True)
    assert run(scene.reconsidered(MOVED)).judged
    assert scene.judged == 2
