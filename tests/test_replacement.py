"""The supervisor replaces its program: what it leaves, another takes up; the test plays zygotes, workers and system."""

import os
import pickle
import signal
import socket
from ipaddress import ip_network
from pathlib import Path

import pytest

from mmp.handover import FORMAT, leave, take
from mmp.replacement import SIGNALS, Replacement
from mmp.shared import link as wire
from mmp.shared.link import Kind
from mmp.supervisor import Supervisor
from tests import fakes
from tests.test_supervisor import Governed, refuses


class Played(Governed):
    """A supervisor whose program succeeds in a rehearsal when the test says so."""

    def __init__(self, monkeypatch):
        super().__init__(monkeypatch)
        self.told, self.cancelled, self.fault = None, 0, None
        self.variables = None
        self.forgotten, self.reaped = [], []
        monkeypatch.setattr("mmp.zygote_process.Child.wait", lambda child: self.reaped.append(child.pid) or 0)

    # The program

    def rehearse(self, _reactor, told, done):
        if isinstance(self.fault, OSError):
            raise self.fault
        self.told, self.done = told, done
        return self.cancel

    def cancel(self):
        self.cancelled += 1

    def execute(self, variables):
        """No program can be executed in place of a test."""
        self.masked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self.variables = variables
        raise OSError(8, "Exec format error")

    # The test

    def succeed(self):
        """Let the rehearsal succeed, and the supervisor leave."""
        verdict = os.memfd_create("verdict")
        os.write(verdict, pickle.dumps((self.loaded, ())))
        self.done(verdict, "")
        self.turn()
        self.turn()

    def results(self):
        return [facts["result"] for facts in self.log.named("program")]


@pytest.fixture
def scene(monkeypatch):
    made = Played(monkeypatch)
    yield made
    made.close()


def test_a_rehearsal_is_told_what_it_has_to_fit(scene):
    scene.start()
    scene.supervisor._replacement.begin()
    assert scene.told == {
        "format": FORMAT,
        "frames": wire.VERSION,
        "listening": [("127.0.0.1", port) for port in scene.ports()],
    }


def test_a_rehearsal_that_fails_changes_nothing_and_says_why(scene):
    worker = scene.start()
    heard = worker.listen()
    scene.supervisor._replacement.begin()
    scene.done(os.memfd_create("verdict"), "SyntaxError")
    scene.turn()
    assert scene.results() == ["rehearsed", "kept"]
    assert scene.log.named("program")[-1]["reason"] == "SyntaxError"
    assert worker.listen() == heard
    assert scene.supervisor.reload() == []


def test_a_rehearsal_that_cannot_be_started_is_told(scene):
    scene.start()
    scene.fault = BlockingIOError(11, "Resource temporarily unavailable")
    scene.supervisor._replacement.begin()
    assert scene.log.named("program")[-1]["reason"] == str(scene.fault)
    assert not scene.supervisor._replacement.under_way


def test_there_is_one_attempt_at_a_time_and_no_reload_meanwhile(scene):
    scene.start()
    scene.supervisor._replacement.begin()
    scene.supervisor._replacement.begin()
    assert scene.results() == ["rehearsed", "kept"]
    assert scene.supervisor.reload() == ["the program is being replaced"]
    assert scene.log.named("reload")[-1]["reason"] == "the program is being replaced"


def test_a_drain_ends_a_rehearsal(scene):
    scene.start()
    scene.supervisor._replacement.begin()
    scene.supervisor.drain()
    assert scene.cancelled == 1
    assert not scene.supervisor._replacement.under_way


def test_signals_are_held_back_while_the_program_is_executed(scene):
    scene.start()
    scene.supervisor._replacement.begin()
    scene.succeed()
    assert set(SIGNALS) <= scene.masked
    assert not set(SIGNALS) & signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_program_that_cannot_be_executed_leaves_the_old_serving(scene):
    old = scene.start()
    scene.supervisor._replacement.begin()
    scene.succeed()
    assert scene.results() == ["rehearsed", "executed", "kept"]
    assert not [each for each in Path("/proc/self/fd").iterdir() if "mmp-handover" in links_to(each)]
    scene.serve()  # the generation that takes the place of one that might have been coming
    assert old.listen()[-1] is Kind.RETIRE
    assert not any(map(refuses, scene.ports()))


def links_to(path):
    try:
        return str(path.readlink())
    except FileNotFoundError:  # the descriptor that lists them
        return ""


def test_it_waits_until_all_that_was_said_is_heard(scene):
    log, waits, done = fakes.Log(), [True], []
    replacement = Replacement(
        scene.turning.reactor, log, scene, dict, lambda: waits[0], dict, stay=lambda: done.append("stayed")
    )
    replacement.begin()
    scene.succeed()
    assert done == []
    waits[0] = False
    scene.pass_time(1)
    scene.turn()
    assert done == ["stayed"]


# The next program


def follow(scene):
    """Have another supervisor take up what the scene's has left, with copies of its descriptors; start it."""
    state = copied(take(leave(scene.supervisor._leave())))
    reactor = scene.turning.reactor
    reactor.removeAll()
    scene.forgotten.append(scene.supervisor)
    scene.supervisor = Supervisor(reactor, scene.loaded, scene.load, scene.log, scene.open_log, program=scene)
    scene.supervisor._install_signals = lambda: None
    scene.supervisor.restore(state)
    scene.supervisor.startService()
    scene.turn()


def copied(state):
    succession, copies = state["succession"], {-1: -1}

    def own(descriptor):
        if descriptor not in copies:
            copies[descriptor] = os.dup(descriptor)
        return copies[descriptor]

    succession["sockets"] = [(host, port, own(descriptor)) for host, port, descriptor in succession["sockets"]]
    for zygote in succession["zygotes"]:
        zygote["link"] = own(zygote["link"])
    for generation in succession["generations"]:
        generation["sockets"] = {index: copies.get(each, -1) for index, each in generation["sockets"].items()}
        for worker in generation["workers"]:
            worker["link"], worker["process"] = own(worker["link"]), own(worker["process"])
    return state


def test_old_workers_serve_until_new_ones_from_another_zygote_do(scene):
    old = scene.start()
    ports = scene.ports()
    follow(scene)
    assert len(scene.zygotes) == 2
    assert Kind.RETIRE not in old.listen()
    scene.serve()
    assert old.listen()[-1] is Kind.RETIRE
    assert scene.ports() == ports
    assert scene.log.named("program")[-1]["result"] == "replaced"
    scene.end(old)
    scene.end_zygote(scene.zygotes[0])
    assert scene.reaped == [scene.zygotes[0].pid]
    assert len(scene.supervisor.generations()) == 1


def test_an_old_worker_that_dies_before_new_ones_serve_is_replaced_by_its_own_zygote(scene):
    old = scene.start()
    follow(scene)
    old.die()
    scene.until_forked(scene.zygotes[0], 2)
    again = scene.zygotes[0].workers[1].serve()
    scene.turn()
    assert again.listen()[:4] == [Kind.LOG, Kind.KEY, Kind.LISTEN, Kind.SERVE]


def test_workers_that_drain_go_on_draining_and_are_drained_with_the_rest(scene):
    old = scene.start()
    scene.reload(scene.configuration(*scene.ports()))
    serving = scene.serve()
    follow(scene)
    scene.end(old)
    newest = scene.serve()
    assert serving.listen()[-1] is Kind.RETIRE
    scene.supervisor.drain()
    scene.turn()
    assert [worker.listen()[-1] for worker in (serving, newest)] == [Kind.DRAIN] * 2
    scene.end(serving, newest)
    for zygote in scene.zygotes:
        scene.end_zygote(zygote)
    assert scene.stopped


def test_one_that_was_still_coming_is_passed_over(scene):
    old = scene.start()
    scene.reload(scene.configuration(*scene.ports()))
    coming = scene.forked().serve()
    follow(scene)
    assert Kind.RETIRE in coming.listen()
    scene.serve()
    assert old.listen()[-1] is Kind.RETIRE


def test_workers_without_a_zygote_are_taken_over_as_well(scene):
    old = scene.start()
    scene.zygotes[0].die()
    scene.turning.until(lambda: len(scene.zygotes) == 2)
    follow(scene)
    assert len(scene.zygotes) == 3
    scene.serve()
    assert old.listen()[-1] is Kind.RETIRE
    scene.end(old)
    scene.turning.until(lambda: len(scene.supervisor.generations()) == 2)  # the one that was coming goes by itself


def test_a_second_replacement_goes_as_the_first_did(scene):
    first = scene.start()
    follow(scene)
    second = scene.serve()
    follow(scene)
    scene.serve()
    assert [worker.listen().count(Kind.RETIRE) for worker in (first, second)] == [1, 1]


def test_listeners_that_cannot_be_had_leave_the_old_workers_serving_until_they_can(scene):
    old = scene.start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        scene.loaded = scene.configuration(*scene.ports(), port)
        follow(scene)
        assert f"cannot listen at 127.0.0.1:{port}" in scene.reasons("zygote", "failed")[0]
    assert Kind.RETIRE not in old.listen()
    scene.pass_time(10)
    scene.serve()
    assert old.listen()[-1] is Kind.RETIRE
    assert port in scene.ports()


def test_what_operators_have_decided_stays(scene):
    scene.start()
    scene.supervisor.bans.ban(ip_network("192.0.2.0/24"), 100.0, "spam", 0)
    scene.supervisor._administration.disable({"store1"})
    scene.supervisor._administration.counted.add(("connections_total", "imap", "accepted"), 7)
    started = scene.supervisor._administration.started
    follow(scene)
    administration = scene.supervisor._administration
    assert [(str(ban.network), ban.reason) for ban in scene.supervisor.bans.listed()] == [("192.0.2.0/24", "spam")]
    assert (administration.disabled, administration.started) == ({"store1"}, started)
    assert dict(administration.counted.items()) == {("connections_total", "imap", "accepted"): 7}
    assert Kind.DISABLED in scene.serve().listen()


def test_what_a_worker_has_counted_and_holds_is_booked_when_it_dies_under_the_next_program(scene):
    old = scene.start()
    (worker,) = next(iter(scene.supervisor.generations())).workers.values()
    old.say(Kind.COUNTS, b'[[["connections_total","imap","accepted"],3]]')
    old.say(Kind.PONG, wire.TWO_NUMBERS.pack(1, 2))
    scene.turning.until(lambda: worker.sessions == 3)
    follow(scene)
    (again,) = (
        each for generation in scene.supervisor.generations() for each in generation.workers.values() if each.pid
    )
    assert (again.pid, again.sessions, again.serial) == (worker.pid, 3, worker.serial)
    old.die()
    counted = scene.supervisor._administration.counted
    scene.turning.until(lambda: counted.counts.get(("connections_total", "imap", "accepted")) == 3)


def test_questions_of_the_first_program_are_given_up_and_not_mixed_up_with_those_of_the_next(scene):
    old = scene.start()
    (worker,) = next(iter(scene.supervisor.generations())).workers.values()
    worker.asker.ask({"question": "who"})
    scene.turn()
    assert old.listen()[-1] is Kind.ASK
    follow(scene)
    assert Kind.ENOUGH in old.listen()
    (again,) = (
        each for generation in scene.supervisor.generations() for each in generation.workers.values() if each.pid
    )
    again.asker.ask({"question": "who"})
    assert again.asker.number == 2
