"""Judging by the secret that an entry holds."""

import re
from base64 import b64encode

import pytest
from attrs import evolve

from mmp.directory.verify_secret import SecretJudge
from mmp.errors import Refused
from mmp.model import Credentials, Refusal
from mmp.wire.sasl import MECHANISMS
from mmp.wire.sasl.scram import Keys
from tests.directory.outcomes import refusal, run, started
from tests.directory.people import ALICE
from tests.fakes import never_asked
from tests.wire.sasl.test_scram import client

TIMESTAMP = b"<1896.697170952@postoffice.reston.mci.net>"
FIRST = b"n,,n=alice,r=abc"


class Counting:
    """Does at once what others do in threads, and remembers how much there was to do."""

    def __init__(self):
        self.done = 0

    async def __call__(self, work):
        self.done += 1
        return work()


def judge(**options):
    nonces = iter([b"first", b"second"])
    usual = {"offload": Counting(), "nonce": lambda: next(nonces), "key": b"key of this process"}
    return SecretJudge("userPassword", **usual | options)


def entry(*kept):
    return evolve(ALICE, attributes={"userpassword": kept} if kept else {})


def verdict(kept, credentials, ask=never_asked, **options):
    return run(judge(**options)(kept, credentials, ask)).right


def test_any_of_several_secrets_will_do():
    for secret, right in [(b"one", True), (b"two", True), (b"three", False), (b"", False)]:
        assert verdict(entry("{PLAIN}one", "two", "{PLAIN}"), Credentials("PLAIN", "alice", secret)) is right


def test_a_user_without_a_secret_is_compared_with_a_decoy_and_is_never_right():
    for nobody in (None, entry()):
        judging = judge(decoy="{PLAIN}decoy")
        assert not run(judging(nobody, Credentials("PLAIN", "alice", b"decoy"), never_asked)).right
        assert judging.offload.done == 1


@pytest.mark.parametrize(
    ("kept", "right"),
    [
        ("{PLAIN}tanstaaftanstaaf", True),
        ("tanstaaftanstaaf", True),
        ("other", False),
        ("{SSHA}kcw2wwJHMD/sBZkkUUlJ2Iy5cVE=", False),
        ("{PLAIN}", False),
    ],
)
def test_a_proof_is_judged_by_what_is_kept_in_clear(kept, right):
    exchange = MECHANISMS["CRAM-MD5"](TIMESTAMP)
    exchange.next(None)
    credentials = exchange.next(b"tim b913a602c7eda7a495b4e6e7334d3890")
    assert verdict(entry(kept), credentials) is right
    assert verdict(None, credentials) is False


class Client:
    """A client of SCRAM that answers what it is asked."""

    def __init__(self, password, first=FIRST, last=b""):
        self.password = password
        self.first = first
        self.last = last
        self.challenges = []

    async def __call__(self, challenge):
        self.challenges.append(challenge)
        if challenge.startswith(b"v="):
            return self.last
        return client("SCRAM-SHA-256", self.password, self.first, challenge)


SCRAM = Credentials("SCRAM-SHA-256", "alice", FIRST)


def test_an_exchange_proves_both_sides_to_each_other():
    asked = Client(b"pencil")
    assert verdict(entry("{PLAIN}pencil"), SCRAM, asked)
    assert [each[:2] for each in asked.challenges] == [b"r=", b"v="]
    assert asked.challenges[0].startswith(b"r=abcfirst,s=")


def test_a_wrong_proof_ends_the_exchange():
    asked = Client(b"Pencil")
    assert not verdict(entry("{PLAIN}pencil"), SCRAM, asked)
    assert len(asked.challenges) == 1


def test_a_client_has_nothing_to_add_at_the_end():
    assert not verdict(entry("{PLAIN}pencil"), SCRAM, Client(b"pencil", last=b"but"))


def test_nobody_can_tell_a_user_without_a_secret_from_one_with_a_wrong_password():
    """Salt and iterations are there, and stay the same from one attempt to the next."""
    shapes = []
    for kept in (entry("{PLAIN}pencil"), None, entry(), entry("$6$saltsalt$x")):
        salts = set()
        judging = judge()
        for _ in range(2):
            asked = Client(b"guess")
            assert not run(judging(kept, SCRAM, asked)).right
            (challenge,) = asked.challenges
            salts.add(re.search(rb"s=[^,]*", challenge)[0])
            shapes.append(re.sub(rb"(first|second)", b"", challenge))
        assert len(salts) == 1
        assert judging.offload.done == 2
    assert len(set(shapes)) == 1


def test_whatever_is_kept_a_challenge_costs_as_much(monkeypatch):
    stored = Keys.derive("SCRAM-SHA-256", b"pencil", b"salt")
    encoded = ",".join(b64encode(each).decode() for each in (stored.salt, stored.stored_key, stored.server_key))
    derived = []
    original = Keys.derive
    monkeypatch.setattr(Keys, "derive", lambda *arguments: (derived.append(1), original(*arguments))[1])
    for kept in ("{PLAIN}pencil", f"{{SCRAM-SHA-256}}4096,{encoded}", "$6$saltsalt$x"):
        right = kept[1] in "PS"
        assert verdict(entry(kept), SCRAM, Client(b"pencil")) is right
        assert len(derived) == 1
        derived.clear()
    assert not verdict(None, SCRAM, Client(b"pencil"))
    assert len(derived) == 1


def test_a_client_that_gives_up_is_passed_on():
    async def gives_up(_challenge):
        raise Refused(Refusal.CANCELLED, "given up")

    assert refusal(started(judge()(entry("{PLAIN}x"), SCRAM, gives_up))).refusal is Refusal.CANCELLED


def test_no_key_is_shown():
    assert "key of" not in repr(judge(decoy="{PLAIN}key of"))
