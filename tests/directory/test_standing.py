"""Whether somebody who was let in still would be."""

import pytest
from attrs import evolve

from mmp.directory.access import AccessByEntry
from mmp.directory.domains import Domain, Domains
from mmp.directory.entry import Entry
from mmp.directory.locate import Locator
from mmp.directory.names import Names
from mmp.directory.veiled import Veiled
from mmp.directory.verify import RIGHT, WRONG, Authority
from mmp.errors import Refused
from mmp.model import Administrator, Refusal
from tests.directory.outcomes import refusal, run, started
from tests.directory.people import ALICE, BOB, CLIENT, credentials
from tests.directory.test_locate import Answering
from tests.directory.test_verify import PASSWORD, PROOF, SCRAM, Judging
from tests.fakes import never_asked

MARKS = ("pwdChangedTime", "userPassword")


def changed(entry, **attributes):
    """Return an entry with other values."""
    return evolve(
        entry, attributes={**entry.attributes, **{name.lower(): (value,) for name, value in attributes.items()}}
    )


class Scene:
    """Alice is logged in."""

    def __init__(self, entry=ALICE, **options):
        self.directory = Answering(entry)
        access = AccessByEntry("mailAllowedServiceAccess", None, implicit_tls=False)
        self.locator = Locator(self.directory, access=access, number=3, marks=MARKS, **options)
        self.standing = run(self.locator.locate(CLIENT, credentials(), never_asked)).standing

    def objection(self, *entries):
        """Return what is to be said against her, now that the directory says this."""
        self.directory.entries = entries
        return run(self.locator.objection(CLIENT, self.standing))


def test_it_has_what_the_login_was_let_in_by():
    standing = Scene().standing
    assert (standing.by, standing.name, standing.user, standing.domain, standing.host) == (
        *(3, "alice@example.com", ALICE.name, ""),
        "store1.example.com",
    )


def test_where_nobody_tells_of_changes_none_is_kept():
    located = run(Locator(Answering(ALICE)).locate(CLIENT, credentials(), never_asked))
    assert located.standing is None


def test_nothing_is_to_be_said_against_what_is_as_it_was_or_changed_in_something_else():
    scene = Scene()
    assert scene.objection(ALICE) == ""
    assert scene.objection(changed(ALICE, cn="Alice Adams", inetUserStatus="active")) == ""


@pytest.mark.parametrize(
    ("attribute", "value", "why"),
    [
        ("mailUserStatus", "disabled", "user's mailUserStatus is 'disabled'"),
        ("mailHost", "store2.example.com", "the store is store2.example.com now"),
        ("mailHost", "", "mailHost '' is not a host"),
        ("pwdChangedTime", "20261124000000Z", "the password was changed"),
        ("userPassword", "other", "the password was changed"),
    ],
)
def test_what_has_changed_against_the_user_is_told(attribute, value, why):
    assert Scene().objection(changed(ALICE, **{attribute: value})) == why


def test_a_lock_that_only_an_administrator_ends_is_told_and_one_for_wrong_passwords_ends_nobody():
    scene = Scene()
    assert scene.objection(changed(ALICE, pwdAccountLockedTime="20260101000000Z")) == ""
    assert scene.objection(changed(ALICE, pwdAccountLockedTime="000001010000Z")).startswith("user's pwdAccountLocked")


def test_a_rule_that_keeps_the_client_out_is_told():
    assert Scene().objection(changed(ALICE, mailAllowedServiceAccess="-imap:*")).startswith("mailAllowedServiceAccess")


def test_a_password_that_was_taken_away_is_another_one():
    scene = Scene(changed(ALICE, pwdChangedTime="20260101000000Z"))
    assert scene.objection(ALICE) == "the password was changed"


@pytest.mark.parametrize(("entries", "why"), [((), "unknown user"), ((ALICE, BOB), "several entries match")])
def test_who_is_not_one_entry_any_more_is_told(entries, why):
    assert Scene().objection(*entries) == why


def test_what_the_directory_cannot_say_is_no_objection():
    scene = Scene()
    scene.directory.failure = Refused(Refusal.DIRECTORY_UNAVAILABLE, "down")
    refused = refusal(started(scene.locator.objection(CLIENT, scene.standing)))
    assert refused.refusal is Refusal.DIRECTORY_UNAVAILABLE


def test_no_expired_answer_will_do():
    scene = Scene()
    scene.objection(ALICE)
    assert [names.current for names in scene.directory.asked] == [False, True]


def test_whoever_acts_for_another_stands_by_the_other():
    locator = Locator(Answering(ALICE), authority=Authority(administrator=Administrator("admin", b"x")), marks=MARKS)
    standing = run(locator.locate(CLIENT, credentials("admin", "alice@example.com"), never_asked)).standing
    assert standing.name == "alice@example.com"


def test_a_status_of_the_domain_is_told():
    domain = Domain("example.com", Entry("dc=example,o=internet", {}), Answering(ALICE))
    known = Answering(domain)
    scene = Scene(domains=Domains(known))
    assert scene.standing.domain == "dc=example,o=internet"
    known.entries = (evolve(domain, entry=changed(domain.entry, inetDomainStatus="inactive")),)
    assert scene.objection(ALICE) == "domain's inetDomainStatus is 'inactive'"
    known.entries = ()
    assert scene.objection() == "unknown or ambiguous domain"


# What changes while the secret is judged


class Exchanging:
    """A login in which the directory changes before the client has answered."""

    def __init__(self, *after):
        self.directory = Answering(ALICE)
        self.after = after
        self.changes = 0
        authority = Authority(self.judge, everything=True)
        self.locator = Locator(self.directory, authority=authority, memory=self, marks=MARKS)

    def doubt(self, names):
        raise AssertionError(names)

    async def judge(self, entry, credentials, ask):
        self.directory.entries = self.after
        self.changes += 1
        return RIGHT

    def locate(self):
        return started(self.locator.locate(CLIENT, PASSWORD, never_asked))


@pytest.mark.parametrize(
    ("after", "refused", "why"),
    [
        ((), Refusal.BAD_CREDENTIALS, "unknown user"),
        ((ALICE, BOB), Refusal.BAD_CREDENTIALS, "several entries match"),
        ((changed(ALICE, mailUserStatus="disabled"),), None, "user's mailUserStatus is 'disabled'"),
        (
            (changed(ALICE, pwdChangedTime="20261124000000Z"),),
            Refusal.DIRECTORY_UNAVAILABLE,
            "the user or the password was changed while it was judged",
        ),
        ((BOB,), Refusal.DIRECTORY_UNAVAILABLE, "the user or the password was changed while it was judged"),
    ],
)
def test_who_would_not_be_let_in_any_more_is_not_let_in_by_what_was_known_before(after, refused, why):
    refusal_ = refusal(Exchanging(*after).locate())
    assert refusal_.reason == why
    assert refused in {None, refusal_.refusal}


def test_who_has_moved_meanwhile_is_sent_to_the_new_store_and_stands_by_that():
    scene = Exchanging(changed(ALICE, mailHost="store2.example.com"))
    account = run(scene.locator.locate(CLIENT, PASSWORD, never_asked))
    assert (account.host, account.standing.host) == ("store2.example.com", "store2.example.com")


# What is wrong by a remembered entry


class Doubting:
    """A look-up in which a judge knows the secret of a newer entry."""

    changes = 0

    def __init__(self, before, after, *, makes_sense=True):
        self.directory = Answering(*before)
        self.after = after
        self.makes_sense = makes_sense
        self.judged = []
        self.locator = Locator(self.directory, authority=Authority(self.judge, everything=True), memory=self)

    def doubt(self, names):
        assert isinstance(names, Names)
        self.directory.entries = self.after
        return self.makes_sense

    async def judge(self, entry, credentials, ask):
        self.judged.append(entry)
        return RIGHT if entry == BOB else WRONG

    def locate(self, attempt=PASSWORD):
        return started(self.locator.locate(CLIENT, attempt, never_asked))


@pytest.mark.parametrize("before", [(ALICE,), ()])
def test_a_secret_that_is_wrong_by_a_remembered_entry_is_judged_by_a_fresh_one(before):
    scene = Doubting(before, (BOB,))
    assert run(scene.locator.locate(CLIENT, PASSWORD, never_asked)).host == "store2.example.com"


@pytest.mark.parametrize("after", [(ALICE,), (), (ALICE, BOB)])
def test_what_is_not_another_entry_judges_nobody_anew(after):
    scene = Doubting((ALICE,), after)
    assert refusal(scene.locate()).reason == "wrong password"
    assert scene.judged == [ALICE]


def test_what_was_just_asked_is_not_doubted():
    scene = Doubting((ALICE,), (BOB,), makes_sense=False)
    assert refusal(scene.locate()).reason == "wrong password"
    assert len(scene.directory.asked) == 1


def test_an_exchange_is_not_begun_a_second_time():
    scene = Doubting((ALICE,), (BOB,))
    assert refusal(scene.locate(SCRAM)).refusal is Refusal.BAD_CREDENTIALS
    assert scene.judged == [ALICE]


def test_a_judge_who_cannot_say_is_asked_once():
    down = Refused(Refusal.DIRECTORY_UNAVAILABLE, "down")
    judge = Judging(down)
    scene = Doubting((ALICE,), (BOB,))
    locator = evolve(scene.locator, authority=Authority(judge, everything=True))
    assert refusal(started(locator.locate(CLIENT, PROOF, never_asked))) is down


# What is kept of passwords


def test_values_that_are_secret_can_only_be_told_apart():
    def veiled(entry):
        (found,) = run(Veiled(Answering(entry), "userPassword", b"key").find(None))
        return found

    secret = changed(ALICE, userPassword="{SSHA}secret")
    assert veiled(secret) == veiled(secret)
    assert veiled(secret) != veiled(changed(ALICE, userPassword="{SSHA}other"))
    assert "SSHA" not in str(veiled(secret).attributes)
    assert veiled(secret).get("mailHost") == ALICE.get("mailHost")
    assert veiled(ALICE) is ALICE
