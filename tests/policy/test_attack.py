"""A replayed attack beside honest logins, on the test's own clock: guesses get slower, and nobody else waits."""

import heapq
import itertools

from mmp.policy.badness import Penalties
from mmp.policy.throttle import Outcome, Throttle

GUESSES, ADDRESSES, USERS, HONEST = 10_000, 500, 100, 1_000
JUDGING = 0.1
"""Seconds that a store takes over a password."""


class Attack:
    """Each address makes its next guess as soon as the one before is judged; owners come twice a second from homes."""

    def __init__(self):
        self.throttle = Throttle(Penalties())
        self.turns, self.order = [], itertools.count()
        self.guessed, self.waited = [], []
        for address in range(ADDRESSES):
            self.at(0.0, self.guess, address, 0)
        for number in range(HONEST):
            self.at(number / 2, self.log_in, number)

    def at(self, when, call, *arguments):
        heapq.heappush(self.turns, (when, next(self.order), call, arguments))

    def run(self):
        while self.turns:
            when, _, call, arguments = heapq.heappop(self.turns)
            call(when, *arguments)

    def begin(self, now, household, user, digest):
        attempt, _ = self.throttle.begin(now, household.to_bytes(4), user.to_bytes(8), digest.to_bytes(8))
        assert not attempt.refused
        return attempt

    def guess(self, now, address, number):
        if number < GUESSES // ADDRESSES:
            attempt = self.begin(now, address, (address + number) % USERS, address * GUESSES + number)
            self.guessed.append((now + attempt.wait, address))
            self.at(now + attempt.wait + JUDGING, self.judged, attempt, address, number)

    def judged(self, now, attempt, address, number):
        self.throttle.end(now, attempt, Outcome.FAILED)
        self.guess(now, address, number + 1)

    def log_in(self, now, number):
        attempt = self.begin(now, ADDRESSES + number, number % USERS, 0)
        self.waited.append(attempt.wait)
        self.throttle.end(now, attempt, Outcome.SUCCEEDED)


def test_ten_thousand_guesses_get_slower_and_a_thousand_honest_logins_do_not_wait():
    attack = Attack()
    attack.run()
    assert attack.waited == [0.0] * HONEST
    assert len(attack.guessed) == GUESSES
    each = GUESSES // ADDRESSES
    wanted = sum(2.0 * number for number in range(each)) + (each - 1) * JUDGING
    last = {address: when for when, address in attack.guessed}
    assert all(abs(when - wanted) < 1e-6 for when in last.values())
    in_each_minute = [sum(start <= when < start + 60 for when, _ in attack.guessed) for start in range(0, 360, 60)]
    assert in_each_minute == sorted(in_each_minute, reverse=True)
    assert in_each_minute[0] > 3 * in_each_minute[-1]
