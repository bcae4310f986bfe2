"""An attack by many addresses on a proxy with two workers: guesses get slower, and no owner waits for any of it.

With ``MMP_ATTACK=full`` it is one of 10,000 guesses over 500 addresses at 100 users, beside 1,000 owners; it takes two
minutes, and ``pytest -s`` shows its figures.
"""

import asyncio
import os
import re
import sys
from collections import Counter

import pytest

from tests.integration.attack import WRONG, Attack, Plan, attacker
from tests.integration.commands import mmp_json
from tests.integration.ordinary import PLAIN
from tests.integration.people import FIRST
from tests.integration.waiting import until

SMALL = Plan(guesses=120, addresses=20, users=10, owners=60, pace=0.03), "100ms"
FULL = Plan(guesses=10_000, addresses=500, users=100, owners=1_000, pace=0.1), "500ms"


@pytest.fixture
def plan():
    return FULL if os.environ.get("MMP_ATTACK") == "full" else SMALL


def test_an_attack_gets_slower_and_no_owner_waits_for_it(run_proxy, ports, plan):
    plan, penalty = plan
    port, store = ports.free(), ports.free()
    behind = {"service": "imap", "address": "127.0.0.1", "port": port, "tls": "none"}
    listener = behind | {"proxy_protocol_from": ["127.0.0.1/32"]}
    throttle = {"penalty": penalty, "max_penalty": "1m", "decay": "1h"}
    people = dict.fromkeys(plan.names(), FIRST)
    tables = {"login": PLAIN, "throttle": throttle, "listener": [listener]}
    tables["backend"] = {"imap": {"port": store, "max_connecting": 4096}}  # all begin at once, at one store
    with run_proxy(store, people, workers=2, **tables) as proxy:
        until(lambda: len(proxy.workers()) == 2, "both workers run")
        attack = Attack(plan, port)
        asyncio.run(attack.run((FIRST, store)))
        each = plan.guesses // plan.addresses
        assert len(attack.guesses) == plan.guesses
        assert not [answer for _, answer in attack.guesses if WRONG not in answer]
        assert all(answer.startswith(b"a OK") for answer, _ in attack.owners)
        assert len(attack.owners) == plan.owners
        addresses = {attacker(number) for number in range(plan.addresses)}
        held = Counter(re.findall(r" held .*client=([0-9.]+):", proxy.log()))
        assert set(held) == addresses  # and no owner
        failures = {row["network"]: row["failures"] for row in mmp_json(proxy, "badguys")}
        if "result=alone" not in proxy.log():  # the machine may be too busy for workers to be answered in time
            assert failures == {f"{address}/32": each for address in addresses}
            # the second guess may come before the first is known
            assert {each - 1} <= set(held.values()) <= {each - 1, each - 2}
        sys.stdout.write("\n".join(attack.figures(10.0 if plan is FULL[0] else 1.0)) + "\n")
