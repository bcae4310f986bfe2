"""What ``mmp explain`` tells of limits and badness, where a proxy runs with the configuration."""

from contextlib import ExitStack

import pytest

from tests.integration.commands import MMP
from tests.integration.commands import run as run_command
from tests.integration.ordinary import PLAIN
from tests.integration.people import ALICE, FIRST
from tests.integration.scripted import scripted
from tests.integration.test_limits import come, guess, judging, log_in, per_address
from tests.integration.waiting import until

ELSEWHERE = "127.0.0.9"


@pytest.fixture
def held():
    """Closes, at the end, what is still open."""
    with ExitStack() as stack:
        yield stack


def explained(proxy, source):
    """Return the exit status, and the lines that tell of limits and of what refuses."""
    done = run_command([*MMP, "explain", str(proxy.configuration), ALICE.user, "--from", source])
    told = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    return done.returncode, [(what, found) for what, found in told if what in {"limit", "throttle", "refused"}]


def test_explain_names_each_limit_with_its_count_and_the_one_that_refuses(run_proxy, ports, held):
    limits = per_address(2) | {"per_user": 9, "logins_per_minute": 600}
    store = ports.free()
    with (
        scripted(FIRST, store, judging),
        run_proxy(
            store, {ALICE.user: FIRST}, workers=2, login=PLAIN, limits=limits, throttle={"penalty": "1s"}
        ) as proxy,
    ):
        guess(held, proxy, b"wrong", ELSEWHERE)
        assert log_in(come(held, proxy)).startswith(b"a OK")
        until(
            lambda: (
                explained(proxy, "127.0.0.1")
                == (
                    0,
                    [
                        ("limit", "per_address 127.0.0.0/8: 1 of 2 sessions"),
                        ("limit", "per_user: 1 of 9 sessions"),
                        ("limit", "logins_per_minute: 600; there is room"),
                        ("throttle", "this user has just logged in from there, and waits for nothing"),
                    ],
                )
            ),
            "it tells of one session",
        )
        status, (*_, throttle) = explained(proxy, ELSEWHERE)
        assert (status, throttle) == (0, ("throttle", "waits 1.0 s, since the address is bad; failures from there: 1"))
        assert log_in(come(held, proxy)).startswith(b"a OK")
        status, (refused,) = explained(proxy, "127.0.0.1")
        assert (status, refused) == (
            1,
            ("refused", "too-many-connections: limit: per_address 127.0.0.0/8: 2 of 2 sessions"),
        )
