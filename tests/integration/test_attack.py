"""An attack by many addresses on proxies with two workers: guesses get slower, and no owner waits for any of it.

With ``MMP_ATTACK=full`` it is one of 10,000 guesses over 500 addresses at 100 users, beside 1,000 owners; it takes two
minutes, and ``pytest -s`` shows its figures.
"""

import asyncio
import os
import re
import signal
import sys
from collections import Counter, defaultdict
from contextlib import ExitStack, contextmanager

import pytest

from mmp.config.units import parse_duration
from tests.integration.attack import WRONG, Attack, Plan, attacker
from tests.integration.commands import mmp_json
from tests.integration.ordinary import PLAIN
from tests.integration.people import FIRST
from tests.integration.shared_stores import redis

SMALL = Plan(guesses=120, addresses=20, users=10, owners=60, pace=0.03), "100ms"
FULL = Plan(guesses=10_000, addresses=500, users=100, owners=1_000, pace=0.1), "500ms"
LONG = 600
"""Seconds after which only a failure is still under way."""


@pytest.fixture
def plan():
    return FULL if os.environ.get("MMP_ATTACK") == "full" else SMALL


@pytest.fixture
def run(run_proxy, ports, plan):
    """Runs so many proxies before one store; gives them, an attack on them, and the store's address.

    Keywords are tables of each one's file.
    """

    @contextmanager
    def start(count, **tables):
        plan_, penalty = plan
        store = ports.free()
        tables |= {"login": PLAIN, "throttle": {"penalty": penalty, "max_penalty": "1m", "decay": "1h"}}
        tables["backend"] = {"imap": {"port": store, "max_connecting": 4096}}  # all begin at once, at one store
        targets = [ports.free() for _ in range(count)]
        with ExitStack() as held:
            proxies = []
            for port in targets:
                behind = {"service": "imap", "address": "127.0.0.1", "port": port, "tls": "none"}
                listener = behind | {"proxy_protocol_from": ["127.0.0.1/32"]}
                people = dict.fromkeys(plan_.names(), FIRST)
                proxies.append(held.enter_context(run_proxy(store, people, workers=2, listener=[listener], **tables)))
            for proxy in proxies:
                proxy.logged(" serving ", "workers=2")
            yield proxies, Attack(plan_, targets), (FIRST, store)

    return start


def carry_out(attack, store):
    """Do it all, see that guesses are refused and owners let in, and show figures."""
    asyncio.run(asyncio.wait_for(attack.run(store), LONG))
    assert len(attack.guesses) == attack.plan.guesses
    assert not [answer for *_, answer in attack.guesses if WRONG not in answer]
    assert len(attack.owners) == attack.plan.owners
    assert all(answer.startswith(b"a OK") for answer, _ in attack.owners)
    sys.stdout.write("\n".join(attack.figures(10.0 if attack.plan is FULL[0] else 1.0)) + "\n")


def addresses(plan):
    return {attacker(number) for number in range(plan.addresses)}


def test_an_attack_gets_slower_and_no_owner_waits_for_it(run, plan):
    with run(1) as ((proxy,), attack, store):
        carry_out(attack, store)
        each = attack.plan.guesses // attack.plan.addresses
        held = Counter(re.findall(r" held .*client=([0-9.]+):", proxy.log()))
        assert set(held) == addresses(attack.plan)  # and no owner
        failures = {row["network"]: row["failures"] for row in mmp_json(proxy, "badguys")}
        if "result=alone" not in proxy.log():  # the machine may be too busy for workers to be answered in time
            assert failures == {f"{address}/32": each for address in addresses(attack.plan)}
            # the second guess may come before the first is known
            assert {each - 1} <= set(held.values()) <= {each - 1, each - 2}


def by_worker(log, event, value):
    """Return what an event says of each address at each worker, in order; a worker shows in the numbers of sessions."""
    found = defaultdict(list)
    for worker, client, said in re.findall(
        rf" {event} .*session=(\w{{8}})\S* .*client=([0-9.]+):.* {value}=(\S+)", log
    ):
        found[client, worker].append(float(said))
    return found


def test_workers_that_are_left_alone_slow_an_attack_down_each_by_itself(run, plan, ports):
    """The store is killed, and the supervisors answer nothing: four workers, none of which knows of another."""
    penalty = parse_duration(plan[1])
    with redis(ports.free()) as shared, run(2, shared={"url": shared.url}) as (proxies, attack, store):
        for proxy in proxies:
            proxy.logged(" shared ", "result=rejoined")
        shared.kill()
        for proxy in proxies:
            proxy.logged(" shared ", "result=alone")
            os.kill(proxy.process.pid, signal.SIGSTOP)
        try:
            carry_out(attack, store)
        finally:
            for proxy in proxies:
                os.kill(proxy.process.pid, signal.SIGCONT)
        log = "\n".join(proxy.log() for proxy in proxies)
        failures = by_worker(log, "badguy", "failures")
        waits = by_worker(log, "held", "seconds")
        assert {address for address, _ in failures} == addresses(attack.plan)  # and no owner
        for at, counted in failures.items():
            assert counted == list(range(1, len(counted) + 1))
            assert waits.pop(at, []) == pytest.approx([number * penalty for number in range(1, len(counted))])
        assert not waits
        for address in addresses(attack.plan):
            counts = [len(counted) for (client, _), counted in failures.items() if client == address]
            assert sum(counts) == attack.plan.guesses // attack.plan.addresses
            last = max(when for when, client, _ in attack.guesses if client == address)
            assert last >= sum(count * (count - 1) / 2 for count in counts) * penalty
