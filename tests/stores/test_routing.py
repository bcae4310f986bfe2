"""Which hosts are tried, and in which order."""

from hypothesis import given
from hypothesis import strategies as st

from mmp.stores.routing import TRIES, InTurn, MailHost

HOSTS = ("one", "two", "three")


class Scene:
    def __init__(self, hosts=HOSTS):
        self.now = 1000.0
        self.relays = InTurn(hosts, 30.0, lambda: self.now)

    def firsts(self, count):
        return [self.relays.order("store")[0] for _ in range(count)]


def test_the_mail_host_is_the_one_place_to_go():
    hosts = MailHost()
    hosts.failed("store1")
    assert list(hosts.order("store1")) == ["store1"]


def test_each_host_has_its_turn_whatever_the_mail_host():
    assert Scene().firsts(6) == ["one", "two", "three"] * 2


def test_the_next_host_stands_by():
    scene = Scene()
    assert [list(scene.relays.order("store")) for _ in range(3)] == [["one", "two"], ["two", "three"], ["three", "one"]]


def test_one_host_alone_is_always_tried():
    scene = Scene(("one",))
    scene.relays.failed("one")
    assert list(scene.relays.order("store")) == ["one"]


def test_a_host_that_failed_is_avoided_for_a_while():
    scene = Scene()
    scene.relays.failed("two")
    assert "two" not in scene.firsts(9)
    scene.now += 29
    assert "two" not in scene.firsts(9)
    scene.now += 1
    assert scene.firsts(3).count("two") == 1


def test_when_all_have_failed_all_are_tried():
    scene = Scene()
    for host in HOSTS:
        scene.relays.failed(host)
    assert set(scene.firsts(3)) == set(HOSTS)


@given(st.lists(st.one_of(st.sampled_from(HOSTS), st.floats(0.0, 60.0), st.none()), max_size=50))
def test_whatever_fails_two_different_hosts_are_named_and_no_avoided_one_before_another(steps):
    scene, failed = Scene(), {}
    for step in steps:
        if isinstance(step, str):
            scene.relays.failed(step)
            failed[step] = scene.now
        elif step is not None:
            scene.now += step
        else:
            order = scene.relays.order("store")
            avoided = [host in failed and scene.now < failed[host] + 30 for host in order]
            assert len(set(order)) == TRIES
            assert avoided == sorted(avoided)
            good = [host for host in HOSTS if host not in failed or scene.now >= failed[host] + 30]
            assert sum(not each for each in avoided) == min(TRIES, len(good))
