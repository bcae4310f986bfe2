"""Bans, which all workers know, and which outlive a restart."""

import json
import math
from ipaddress import ip_network

import pytest
from twisted.internet.task import Clock

from mmp.errors import Refused
from mmp.policy.admission import OpenDoor
from mmp.policy.badness import Penalties
from mmp.shared.admission import BanDoor
from mmp.shared.kept_bans import SOON, KeptBans
from mmp.shared.local import Home, Rules
from tests import fakes
from tests.directory.outcomes import finished, refusal, run
from tests.shared.desks import HERE, THERE, Host, client, credentials

NETWORK = ip_network("192.0.2.1/32")


def refused(worker, address=HERE):
    """Return why a connection is refused, nothing if it is not."""
    try:
        run(BanDoor(worker.desk, OpenDoor()).admit(client(address), lambda: False))
    except Refused as error:
        return f"{error.refusal.value}, {error.reason}"
    return ""


def guess(host, worker, password, address=HERE):
    held = []
    asked = worker.ask(worker.throttle.hold(client(address), credentials(secret=password)))
    asked.addCallback(held.append)
    for attempt in held:
        attempt.failed()
        attempt.close()
    host.turn()


def test_a_ban_is_known_to_all_workers_until_it_is_lifted_or_over():
    host = Host()
    host.home.ban(ip_network("192.0.2.0/31"), 10.0)
    host.turn()
    for worker in host.workers:
        assert (refused(worker), refused(worker, THERE)) == ("banned, ban: 192.0.2.0/31", "")
    host.home.unban(NETWORK)
    host.turn()
    assert not any(map(refused, host.workers))
    host.home.ban(NETWORK, 10.0)
    host.turn()
    host.clock.advance(10)
    assert not any(map(refused, host.workers))


def test_a_worker_that_begins_later_is_told():
    host = Host(1)
    (worker,) = host.workers
    worker.guest.leave()
    host.home.ban(NETWORK, math.inf)
    host.turn()
    assert not refused(worker)
    worker.guest.greet()
    host.turn()
    assert refused(worker)


def test_so_many_different_failures_ban_over_workers():
    host = Host(ban_after=3, penalties=Penalties(penalty=0.0))
    for number in range(2):
        guess(host, host.workers[number], b"wrong-%d" % number)
        guess(host, host.workers[number], b"wrong-%d" % number)
    assert not any(map(refused, host.workers))
    guess(host, host.workers[0], b"wrong-3")
    assert [refused(worker) for worker in host.workers] == ["banned, ban: 192.0.2.1/32"] * 2
    with pytest.raises(Refused):
        run(host.workers[1].throttle.hold(client(), credentials()))
    host.clock.advance(3600)
    assert not any(map(refused, host.workers))


@pytest.mark.parametrize(("seconds", "left"), [(math.inf, math.inf), (90.0, 90.0), (30.0, 60.0)])
def test_failures_on_their_way_when_an_operator_bans_make_no_ban_shorter(seconds, left):
    host = Host(1, ban_after=3, ban_time=60.0, penalties=Penalties(penalty=0.0))
    (worker,) = host.workers
    bans = KeptBans(host.clock, host.home, fakes.Log(), "/nowhere/state", host.clock.seconds)
    asked = [worker.ask(worker.throttle.hold(client(), credentials(secret=b"wrong-%d" % n))) for n in range(3)]
    bans.ban(NETWORK, seconds, "operator", by=0)
    for each in asked:
        finished(each).failed()
    host.turn()
    assert [ban.seconds for ban in bans.listed()] == [left]


def test_a_throttle_that_only_observes_bans_nobody_and_tells_whom_it_would():
    host = Host(1, ban_after=2, ban_time=60.0, observe_throttle=True)
    log, (worker,) = fakes.Log(), host.workers
    KeptBans(host.clock, host.home, log, "/nowhere/state", host.clock.seconds)
    for number in range(4):
        guess(host, worker, b"wrong-%d" % number)
    assert not refused(worker)
    told = [(each["result"], each["network"], each["seconds"], each["reason"]) for each in log.named("ban")]
    assert told == [("observed", NETWORK, 60.0, "2 failures")] * 2


def test_whoever_is_banned_while_an_attempt_waits_does_not_make_it():
    host = Host(1)
    (worker,) = host.workers
    guess(host, worker, b"wrong-1")
    waiting = worker.ask(worker.throttle.hold(client(), credentials(secret=b"wrong-2")))
    host.home.ban(NETWORK, 60.0)
    host.turn()
    host.clock.advance(2)
    host.turn()
    assert refusal(waiting).reason == "ban: 192.0.2.1/32"
    assert host.is_empty()
    assert not worker.deadlines.paused


def test_an_ipv6_client_is_banned_with_its_network_and_those_never_banned_are_not():
    host = Host(1, ban_after=1, penalties=Penalties(penalty=0.0), never_banned=(ip_network("2001:db8:1::9/128"),))
    (worker,) = host.workers
    guess(host, worker, b"a", "2001:db8::1")
    guess(host, worker, b"a", "2001:db8:1::1")
    assert refused(worker, "2001:db8::2") == "banned, ban: 2001:db8::/64"
    assert not refused(worker, "2001:db8:1::1")


def kept(path, clock, log=None):
    home = Home(Rules(), clock.seconds)
    bans = KeptBans(clock, home, log or fakes.Log(), str(path), lambda: 1000.0 + clock.seconds())
    bans.open()
    return bans


def test_bans_outlive_a_restart_with_what_is_left_of_their_time(tmp_path):
    path, clock = tmp_path / "state", Clock()
    bans = kept(path, clock)
    bans.ban(NETWORK, 60.0, "because", by=0)
    bans.ban(ip_network("2001:db8::/48"), math.inf, "", by=0)
    bans.ban(ip_network("198.51.100.1/32"), 5.0, "", by=0)
    assert not path.exists()
    clock.advance(SOON)
    assert path.stat().st_mode & 0o777 == 0o600
    clock.advance(10)
    listed = {str(each.network): (round(each.seconds, 1), each.reason) for each in kept(path, clock).listed()}
    assert listed == {"192.0.2.1/32": (49.5, "because"), "2001:db8::/48": (math.inf, "")}


def test_what_is_not_yet_written_is_at_the_end(tmp_path):
    path, clock = tmp_path / "state", Clock()
    bans = kept(path, clock)
    bans.ban(NETWORK, 60.0, "", by=0)
    bans.close()
    assert not clock.getDelayedCalls()
    assert bans.lift(NETWORK, by=0) == 1
    bans.close()
    assert json.loads(path.read_text())["bans"] == []
    bans.close()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"bans": [{"network": "x"}]}',
        b"\xff",
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"bans": [{"network": "192.0.2.1", "until": 1%s, "reason": ""}]}' % (b"0" * 400), id="never"),
    ],
)
def test_a_state_that_cannot_be_read_is_told_and_keeps_nobody_from_starting(tmp_path, content):
    path, log = tmp_path / "state", fakes.Log()
    path.write_bytes(content)
    assert not list(kept(path, Clock(), log).listed())
    (told,) = log.named("state")
    assert (told["result"], told["path"]) == ("not read", str(path))


def test_a_state_that_cannot_be_written_is_told(tmp_path):
    log, clock = fakes.Log(), Clock()
    bans = kept(tmp_path / "absent" / "state", clock, log)
    bans.ban(NETWORK, 60.0, "", by=0)
    clock.advance(SOON)
    assert [each["result"] for each in log.named("state")] == ["not written"]
    assert list(bans.listed())
