"""Who judges a secret, who may act as whom, and what becomes of it in a look-up."""

import pytest
from attrs import evolve

from mmp.directory.locate import Locator
from mmp.directory.verify import Authority, Verdict
from mmp.errors import Refused
from mmp.model import Administrator, Credentials, Refusal
from tests.directory.outcomes import refusal, run, started
from tests.directory.people import ALICE, CLIENT
from tests.directory.test_locate import Answering
from tests.fakes import never_asked

ADMIN = Administrator("admin", b"admin's")
PASSWORD = Credentials("PLAIN", "alice@example.com", b"secret")
TOKEN = evolve(PASSWORD, mechanism="OAUTHBEARER")
SCRAM = Credentials("SCRAM-SHA-256", "alice", b"n,,n=alice,r=x")
PROOF = Credentials("CRAM-MD5", "alice@example.com", b"", proves=lambda password: password == b"secret")
ACTING = Credentials("PLAIN", "admin", b"admin's", "alice@example.com")


class Judging:
    """A judge who has made up its mind."""

    def __init__(self, verdict):
        self.verdict = verdict
        self.judged = []

    async def __call__(self, entry, credentials, ask):
        self.judged.append((entry, credentials.mechanism))
        if isinstance(self.verdict, Refused):
            raise self.verdict
        return self.verdict if isinstance(self.verdict, Verdict) else Verdict(right=self.verdict)


def locate(credentials, verdict=True, entries=(ALICE,), **authority):
    """Return what a look-up was begun with, and who was judged."""
    judge = Judging(verdict)
    directory = Answering(*entries)
    locator = Locator(directory, authority=Authority(judge, administrator=ADMIN, **authority))
    return started(locator.locate(CLIENT, credentials, never_asked)), judge.judged


@pytest.mark.parametrize("credentials", [PASSWORD, TOKEN, SCRAM], ids=lambda each: each.mechanism)
def test_what_can_be_said_again_is_for_the_store_to_judge(credentials):
    located, judged = locate(credentials, verdict=False)
    assert run_now(located).administrator is None
    assert judged == []


@pytest.mark.parametrize(
    ("credentials", "entries", "why"),
    [
        (SCRAM, (), "unknown user"),
        (SCRAM, (ALICE, ALICE), "several entries match"),
        (evolve(SCRAM, user="alice@example.com"), (ALICE,), "SCRAM tells the store the name as it was typed"),
    ],
    ids=["unknown", "ambiguous", "known by another name"],
)
def test_an_exchange_that_no_store_can_be_asked_for_goes_on_like_any_and_ends_like_any(credentials, entries, why):
    located, judged = locate(credentials, verdict=False, entries=entries)
    refused = refusal(located)
    assert judged == [(None, "SCRAM-SHA-256")]
    assert refused.refusal is Refusal.BAD_CREDENTIALS
    assert refused.reason.startswith(why)


def run_now(located):
    async def result():
        return await located

    return run(result())


@pytest.mark.parametrize(
    ("credentials", "stands_in"), [(PASSWORD, None), (SCRAM, ADMIN), (PROOF, ADMIN)], ids=["PLAIN", "SCRAM", "CRAM-MD5"]
)
def test_with_the_directory_as_judge_all_that_it_can_judge_is_judged(credentials, stands_in):
    located, judged = locate(credentials, everything=True)
    assert run_now(located).administrator == stands_in
    assert judged == [(ALICE, credentials.mechanism)]
    refused = refusal(locate(credentials, verdict=False, everything=True)[0])
    assert (refused.refusal, refused.reason) == (Refusal.BAD_CREDENTIALS, "wrong password")


@pytest.mark.parametrize(
    ("credentials", "everything", "judged"),
    [
        (PASSWORD, True, True),
        (PASSWORD, False, False),
        (SCRAM, True, True),
        (PROOF, False, True),
        (TOKEN, True, False),
        (ACTING, True, True),
        (ACTING, False, False),
    ],
)
def test_the_account_tells_whether_a_store_may_take_our_word(credentials, everything, judged):
    assert run_now(locate(credentials, everything=everything)[0]).judged is judged


def test_tokens_are_for_the_store_even_then():
    located, judged = locate(TOKEN, verdict=False, everything=True)
    assert run_now(located).administrator is None
    assert judged == []


def test_proofs_are_judged_even_if_passwords_are_not():
    assert run_now(locate(PROOF)[0]).administrator == ADMIN
    assert refusal(locate(PROOF, verdict=False)[0]).refusal is Refusal.BAD_CREDENTIALS


@pytest.mark.parametrize("entries", [(), (ALICE, ALICE)], ids=["none", "several"])
def test_a_user_who_is_none_is_judged_like_one_and_refused_whatever_comes_out(entries):
    for verdict in (True, False):
        located, judged = locate(PASSWORD, verdict, entries, everything=True)
        assert refusal(located).refusal is Refusal.BAD_CREDENTIALS
        assert judged == [(None, "PLAIN")]


def test_what_is_wrong_with_an_account_is_told_only_to_its_user():
    homeless = evolve(ALICE, attributes={"uid": ("alice",)})
    assert refusal(locate(PASSWORD, False, (homeless,), everything=True)[0]).refusal is Refusal.BAD_CREDENTIALS
    assert refusal(locate(PASSWORD, True, (homeless,), everything=True)[0]).refusal is Refusal.BACKEND_UNAVAILABLE


def test_a_judge_that_cannot_say_is_an_outage():
    away = Refused(Refusal.DIRECTORY_UNAVAILABLE, "no answer")
    assert refusal(locate(PASSWORD, away, everything=True)[0]) is away


def test_the_administrator_acts_as_another_by_a_password_that_the_store_judges():
    located, judged = locate(evolve(ACTING, secret=b"whatever was typed"))
    account = run_now(located)
    assert (account.user, account.replay_user) == ("alice@example.com", "alice")
    assert account.administrator == Administrator("admin", b"whatever was typed")
    assert judged == []


def test_the_administrators_password_is_judged_here_where_passwords_are():
    assert run_now(locate(ACTING, everything=True)[0]).administrator == ADMIN
    refused = refusal(locate(evolve(ACTING, secret=b"wrong"), everything=True)[0])
    assert refused.refusal is Refusal.BAD_CREDENTIALS
    assert "wrong'" not in refused.reason


@pytest.mark.parametrize(
    "credentials",
    [
        evolve(ACTING, user="bob"),
        evolve(ACTING, user="Admin"),
        evolve(ACTING, user="admin@example.com"),
        evolve(ACTING, mechanism="SCRAM-SHA-256"),
        evolve(ACTING, mechanism="OAUTHBEARER"),
        evolve(ACTING, proves=lambda password: True),
    ],
)
@pytest.mark.parametrize("everything", [True, False])
def test_nobody_else_acts_as_another_nor_by_other_means(credentials, everything):
    located, judged = locate(credentials, everything=everything)
    assert refusal(located).refusal is Refusal.NOT_AUTHORIZED
    assert judged == []


def test_without_an_administrator_nobody_acts_as_another():
    locator = Locator(Answering(ALICE))
    assert refusal(started(locator.locate(CLIENT, ACTING, never_asked))).refusal is Refusal.NOT_AUTHORIZED


def test_no_password_of_an_administrator_is_shown():
    assert "admin's" not in repr(ADMIN) + repr(run_now(locate(ACTING)[0]))


@pytest.mark.parametrize("administrator", [None, Administrator("admin", b"")], ids=["nobody", "without a password"])
@pytest.mark.parametrize("credentials", [SCRAM, PROOF], ids=["SCRAM", "CRAM-MD5"])
def test_who_has_said_no_password_and_has_nobody_to_stand_in_is_not_let_through_to_the_store(
    credentials, administrator
):
    authority = Authority(Judging(verdict=True), everything=True, administrator=administrator)
    refused = refusal(started(Locator(Answering(ALICE), authority=authority).locate(CLIENT, credentials, never_asked)))
    assert refused.refusal is Refusal.BACKEND_UNAVAILABLE
