"""Slots under several limits at once, against a list of everything that was granted."""

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from mmp.policy.counts import Claim, Counts

CLAIMS = st.lists(
    st.builds(Claim, st.sampled_from(["a", "b"]), st.integers(0, 2), st.integers(1, 3), st.booleans()),
    max_size=3,
    unique_by=lambda claim: claim.limit,
).map(tuple)


class CountsBesideAList(RuleBasedStateMachine):
    """The list knows who holds what; a slot is free if fewer than ``most`` entries have its limit and key."""

    granted = Bundle("granted")

    def __init__(self):
        super().__init__()
        self.counts = Counts()
        self.held = []

    def taken(self, claim):
        return [(each.limit, each.key) for claims in self.held for each in claims].count((claim.limit, claim.key))

    @rule(target=granted, claims=CLAIMS)
    def take(self, claims):
        full = [claim for claim in claims if self.taken(claim) >= claim.most]
        verdict = self.counts.take(claims)
        assert list(verdict.observed) == [claim.limit for claim in full if claim.observed]
        enforced = [claim.limit for claim in full if not claim.observed]
        assert verdict.refused == (enforced[0] if enforced else "")
        if enforced:
            return multiple()
        self.held.append(claims)
        return claims

    @rule(target=granted, claims=CLAIMS)
    def take_anyway(self, claims):
        self.counts.take_anyway(claims)
        self.held.append(claims)
        return claims

    @rule(claims=consumes(granted))
    def give_back(self, claims):
        self.counts.give_back(claims)
        self.held.remove(claims)

    @invariant()
    def nothing_is_kept_for_what_nobody_holds(self):
        assert len(self.counts) == len({(each.limit, each.key) for claims in self.held for each in claims})


TestCounts = CountsBesideAList.TestCase


def test_a_refused_claim_takes_nothing_under_the_others():
    counts = Counts()
    one, other = Claim("per_user", "alice", 1), Claim("per_backend", "store1", 5)
    assert not counts.take((one, other)).refused
    assert counts.take((other, one)).refused == "per_user"
    assert counts.held(other) == 1


def test_a_limit_that_is_only_observed_goes_on_counting():
    counts = Counts()
    claim = Claim("sessions", None, 1, observed=True)
    assert [counts.take((claim,)).observed for _ in range(3)] == [(), ("sessions",), ("sessions",)]
    assert counts.held(claim) == 3
