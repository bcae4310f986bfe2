import pytest

from mmp.directory.entry import AccountRules, Entry
from mmp.directory.locate import Locator
from mmp.directory.names import Naming
from mmp.directory.replay import ReplayName
from mmp.errors import Refused
from mmp.model import Account, Refusal
from tests.directory.outcomes import refusal, run, started
from tests.directory.people import ALICE, CLIENT, credentials
from tests.fakes import never_asked


class Answering:
    """A directory that always gives the same answer."""

    def __init__(self, *entries, failure=None):
        self.entries = entries
        self.failure = failure
        self.asked = []

    def key(self, names):
        return names

    async def find(self, names):
        self.asked.append(names)
        if self.failure:
            raise self.failure
        return self.entries


def test_one_entry_is_the_account():
    located = run(Locator(Answering(ALICE)).locate(CLIENT, credentials(), never_asked))
    assert located == Account("alice@example.com", "alice", "store1.example.com")


def test_the_directory_is_asked_by_the_name_taken_apart():
    directory = Answering(ALICE)
    run(Locator(directory, Naming("+", "example.com")).locate(CLIENT, credentials("alice"), never_asked))
    assert directory.asked[0].full == "alice@example.com"


def test_an_unknown_user_and_an_ambiguous_one_are_refused_alike_but_for_the_log():
    unknown = refusal(started(Locator(Answering()).locate(CLIENT, credentials(), never_asked)))
    several = refusal(started(Locator(Answering(ALICE, ALICE)).locate(CLIENT, credentials(), never_asked)))
    assert unknown.refusal is several.refusal is Refusal.BAD_CREDENTIALS
    assert (unknown.reason, several.reason) == ("unknown user", "several entries match")


def test_a_directory_that_is_down_is_told_as_it_is():
    down = Refused(Refusal.DIRECTORY_UNAVAILABLE, "down")
    assert refusal(started(Locator(Answering(failure=down)).locate(CLIENT, credentials(), never_asked))) is down


def test_acting_as_another_user_is_refused_without_asking():
    directory = Answering(ALICE)
    refused = refusal(started(Locator(directory).locate(CLIENT, credentials("alice", "bob"), never_asked)))
    assert refused.refusal is Refusal.NOT_AUTHORIZED
    assert not directory.asked


def test_acting_as_oneself_is_nothing_special():
    assert (
        run(Locator(Answering(ALICE)).locate(CLIENT, credentials("alice", "alice"), never_asked)).host
        == "store1.example.com"
    )


@pytest.mark.parametrize("user", ["", "ali\0ce", "alice\r\n"])
def test_a_name_that_can_be_nobodys_is_not_asked_for(user):
    directory = Answering(ALICE)
    refused = refusal(started(Locator(directory).locate(CLIENT, credentials(user), never_asked)))
    assert refused.refusal is Refusal.BAD_CREDENTIALS
    assert not directory.asked


@pytest.mark.parametrize(("pattern", "typed"), [("%A[uid]", "alice@example.com"), ("%V", "alice")])
def test_nobody_is_told_to_the_store_by_an_empty_name_which_would_let_them_in_as_the_administrator(pattern, typed):
    rules = AccountRules(replay_user=ReplayName.parse(pattern))
    directory = Answering(Entry("cn=alice", {"uid": ("",), "mailhost": ("store1",)}))
    refused = refusal(started(Locator(directory, rules=rules).locate(CLIENT, credentials(typed), never_asked)))
    assert refused.refusal is Refusal.BACKEND_UNAVAILABLE
