"""Who acts as another user as a member of a group: who is asked what, in which order, and how it ends."""

import pytest
from attrs import evolve

from mmp.directory.entry import Entry
from mmp.directory.group import StatedGroup
from mmp.directory.locate import Locator
from mmp.directory.verify import Authority, Verdict
from mmp.errors import Refused
from mmp.model import Administrator, Credentials, Refusal
from tests.directory.outcomes import refusal, run, started
from tests.directory.people import ALICE, BOB, CLIENT
from tests.directory.test_verify import Judging
from tests.fakes import never_asked

ADMIN = Administrator("admin", b"admin's")
ACTING = Credentials("PLAIN", "bob", b"bob's", "alice@example.com")


class Users:
    """A directory of some, by the first part of their names, and what it was asked."""

    def __init__(self, *entries):
        self.entries = {entry.get("uid")[0]: entry for entry in entries}
        self.asked = []

    def key(self, names):
        return names

    async def find(self, names):
        self.asked.append(names.user)
        return [self.entries[names.user]] if names.user in self.entries else []


class Members:
    """A group of these, or one that cannot be asked."""

    def __init__(self, *members, failure=None):
        self.members = members
        self.failure = failure
        self.asked = []

    async def has(self, entry):
        self.asked.append(entry.name)
        if self.failure is not None:
            raise self.failure
        return entry in self.members


class Scene:
    """A look-up among Alice and Bob, by a judge, of whom Bob is in the group unless told otherwise."""

    def __init__(self, verdict=True, group=None, users=(ALICE, BOB), **authority):
        self.judge = Judging(verdict)
        self.users = Users(*users)
        self.group = group or Members(BOB)
        authority = {"administrator": ADMIN, "group": self.group} | authority
        self.locator = Locator(self.users, authority=Authority(self.judge, **authority))

    def account(self, credentials=ACTING):
        return run(self.locator.locate(CLIENT, credentials, never_asked))

    def refusal(self, credentials=ACTING):
        return refusal(started(self.locator.locate(CLIENT, credentials, never_asked)))


@pytest.mark.parametrize("everything", [True, False])
def test_a_member_is_judged_here_and_then_the_administrator_logs_in(everything):
    scene = Scene(everything=everything)
    account = scene.account()
    assert (account.user, account.host) == ("alice@example.com", "store1.example.com")
    assert account.administrator == ADMIN
    assert account.judged
    assert scene.judge.judged == [(BOB, "PLAIN")]
    assert scene.group.asked == [BOB.name]


def test_what_the_log_should_know_of_the_members_password_it_is_told():
    assert Scene(Verdict(right=True, note="expires soon")).account().note == "expires soon"


def test_a_wrong_password_is_refused_before_anybody_else_is_looked_for():
    scene = Scene(verdict=False)
    assert scene.refusal().refusal is Refusal.BAD_CREDENTIALS
    assert (scene.users.asked, scene.group.asked) == (["bob"], [])


def test_an_unknown_member_is_judged_like_any_and_refused_like_any():
    for verdict in (True, False):
        scene = Scene(verdict, users=(ALICE,))
        assert scene.refusal().refusal is Refusal.BAD_CREDENTIALS
        assert scene.judge.judged == [(None, "PLAIN")]


@pytest.mark.parametrize("whom", ["alice@example.com", "nobody@example.com"])
def test_who_is_no_member_is_refused_alike_whoever_they_ask_for(whom):
    scene = Scene(group=Members())
    assert scene.refusal(evolve(ACTING, authzid=whom)).refusal is Refusal.NOT_AUTHORIZED
    assert scene.users.asked == ["bob"]


def test_a_group_that_cannot_be_asked_lets_nobody_in():
    away = Refused(Refusal.DIRECTORY_UNAVAILABLE, "no answer")
    scene = Scene(group=Members(failure=away))
    assert scene.refusal() is away
    assert scene.users.asked == ["bob"]


@pytest.mark.parametrize(
    ("status", "refused"),
    [("inactive", Refusal.ACCOUNT_ON_HOLD), ("deleted", Refusal.ACCOUNT_DISABLED)],
)
def test_a_member_whose_account_is_closed_acts_as_nobody(status, refused):
    closed = evolve(BOB, attributes={**BOB.attributes, "inetuserstatus": (status,)})
    scene = Scene(users=(ALICE, closed), group=Members(closed))
    assert scene.refusal().refusal is refused
    assert scene.group.asked == []


def test_a_member_needs_no_mail_of_their_own():
    without = Entry(BOB.name, {"uid": ("bob",)})
    assert Scene(users=(ALICE, without), group=Members(without)).account().administrator == ADMIN


def test_a_member_who_asks_for_nobody_known_is_refused():
    assert Scene().refusal(evolve(ACTING, authzid="nobody")).refusal is Refusal.BAD_CREDENTIALS


def test_a_member_who_names_nobody_else_logs_in_as_anybody_does():
    scene = Scene()
    account = scene.account(evolve(ACTING, authzid="bob"))
    assert (account.user, account.administrator, account.judged) == ("bob", None, False)
    assert (scene.judge.judged, scene.group.asked) == ([], [])


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"])
def test_members_act_by_a_password_and_nothing_else(mechanism):
    scene = Scene()
    assert scene.refusal(evolve(ACTING, mechanism=mechanism)).refusal is Refusal.NOT_AUTHORIZED
    assert scene.users.asked == []


def test_the_administrator_needs_no_membership():
    scene = Scene(everything=True)
    acting = Credentials("PLAIN", "admin", b"admin's", "alice")
    assert scene.account(acting).administrator == ADMIN
    assert scene.refusal(evolve(acting, secret=b"wrong")).refusal is Refusal.BAD_CREDENTIALS
    assert (scene.judge.judged, scene.group.asked) == ([], [])


def test_a_group_without_an_administrator_lets_nobody_in():
    scene = Scene(administrator=None)
    assert scene.refusal().refusal is Refusal.NOT_AUTHORIZED
    assert scene.judge.judged == []


@pytest.mark.parametrize(
    ("stated", "member"),
    [
        (("cn=admins,dc=example,dc=com",), True),
        (("CN=Others,dc=example,dc=com", "CN=Admins, DC=example, DC=com"), True),
        (("cn=admins,dc=example,dc=org",), False),
        (("cn=others+cn=admins,dc=example,dc=com",), False),
        ((), False),
    ],
)
def test_entries_of_a_file_state_their_groups_by_name(stated, member):
    group = StatedGroup("cn=admins,dc=example,dc=com")
    entry = Entry("bob", {"memberof": stated} if stated else {})
    assert run(group.has(entry)) is member


@pytest.mark.parametrize("everything", [True, False])
def test_a_member_does_not_become_the_administrator(everything):
    administrator = evolve(BOB, name="uid=admin,dc=example,dc=com", attributes=BOB.attributes | {"uid": ("admin",)})
    scene = Scene(users=(ALICE, BOB, administrator), everything=everything)
    assert scene.refusal(evolve(ACTING, authzid="admin")).refusal is Refusal.NOT_AUTHORIZED
    assert scene.judge.judged == [(BOB, "PLAIN")]
