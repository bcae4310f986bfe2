"""A generation of workers: begun, watched, replaced one by one, ended; the test plays zygote and workers."""

import os
import struct

import pytest

from mmp.generation import PING_EVERY, UNANSWERED, back_off
from mmp.shared import link as wire
from mmp.shared.link import Kind
from mmp.worker_process import State
from mmp.zygote_process import how_it_ended
from tests.generations import Scene


@pytest.fixture
def scene(monkeypatch):
    made = Scene(monkeypatch)
    yield made
    made.close()


def descriptors():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the count alone


def test_the_wait_after_failures_doubles_up_to_its_bound_however_many_there_were():
    assert [back_off(failures) for failures in range(9)] == [0, 0, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]
    assert back_off(10**6) == 10


def test_how_a_process_ended_is_told_in_words():
    assert how_it_ended(0) == "exit code 0"
    assert how_it_ended(3) == "exit code 3"
    assert how_it_ended(-9) == "killed by SIGKILL"
    assert how_it_ended(-50) == "killed by signal 50"


def test_workers_are_given_log_and_sockets_and_all_serving_is_told_once(scene):
    generation, zygote = scene.generation()
    scene.until_forked(zygote, 2)
    first, second = zygote.workers
    first.serve()
    scene.turn()
    assert scene.told == []
    assert first.listen() == [Kind.LOG, Kind.KEY, Kind.LISTEN, Kind.SERVE]
    second.serve()
    second.say(Kind.SERVING)
    scene.turning.until(lambda: scene.told)
    assert scene.told == ["ready"]
    assert {worker.pid for worker in generation.workers.values()} == {first.process.pid, second.process.pid}


def test_one_worker_follows_the_directory_and_another_when_that_is_gone(scene):
    _, _, (first, second) = scene.serving(watched=True)
    scene.turn()
    assert [worker.listen().count(Kind.WATCH) for worker in (first, second)] == [1, 0]
    first.die()
    scene.turning.until(lambda: Kind.WATCH in second.listen())


def test_what_has_changed_in_the_directory_is_told_to_all_workers(scene):
    generation, _, workers = scene.serving(watched=True)
    workers[0].say(Kind.CHANGED, b'["uid=alice"]')
    scene.turning.until(lambda: b'["uid=alice"]' in scene.told)
    generation.tell_changed(b'["uid=alice"]')
    for worker in workers:
        scene.turning.until(lambda worker=worker: Kind.CHANGED in worker.listen())


def test_the_zygote_is_started_apart_from_where_the_program_was_called(scene, monkeypatch):
    """Nothing is imported from the present directory, which may be anybody's."""
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    _, zygote = scene.generation()
    assert "-P" in zygote.arguments
    assert "" not in zygote.options["env"]["PYTHONPATH"].split(os.pathsep)
    assert zygote.options["env"]["PYTHONPATH"].endswith("/somewhere")
    monkeypatch.delenv("PYTHONPATH")
    _, zygote = scene.generation()
    assert os.pathsep not in zygote.options["env"]["PYTHONPATH"]


def test_a_dead_worker_is_replaced_at_once(scene):
    _, zygote, (victim, _) = scene.serving()
    victim.die()
    scene.until_forked(zygote, 3)
    assert scene.reasons("worker", "lost") == ["another one is forked"]


def test_workers_that_die_young_one_after_the_other_are_replaced_ever_later(scene):
    _, zygote = scene.generation(size=1)
    for count in range(1, 4):
        scene.until_forked(zygote, count)
        zygote.workers[-1].announce().die()
        scene.turning.until(lambda count=count: len(scene.reasons("worker", "lost")) == count)
        scene.turn()
        assert zygote.listen()
        assert len(zygote.workers) == (2 if count == 1 else count)  # the first is replaced without a wait
        scene.pass_time(back_off(count))


def test_a_worker_that_lived_long_enough_is_replaced_at_once_whatever_was_before(scene):
    _, zygote = scene.generation(size=1)
    for count in (1, 2):
        scene.until_forked(zygote, count)
        zygote.workers[-1].announce().die()
        scene.turning.until(lambda count=count: len(scene.reasons("worker", "lost")) == count)
        scene.pass_time(10)
    scene.until_forked(zygote, 3)
    scene.pass_time(100)
    zygote.workers[-1].announce().die()
    scene.until_forked(zygote, 4)


def test_how_a_worker_ended_is_logged(scene):
    _, zygote, _ = scene.serving()
    for code in (-11, 0):
        zygote.link.send(wire.frame(Kind.DIED, wire.EXIT.pack(42, code)))
    scene.turning.until(lambda: len(scene.reasons("worker", "ended")) == 2)
    assert scene.reasons("worker", "ended") == ["killed by SIGSEGV", "exit code 0"]


def test_a_worker_that_is_dead_before_it_is_told_of_leaves_no_descriptor(scene):
    generation, zygote = scene.generation(size=1)
    scene.until_forked(zygote, 1)
    (victim,) = zygote.workers
    before = descriptors()
    victim.link.close()
    scene.turning.until(lambda: scene.reasons("worker", "lost"))
    victim.announce()
    scene.until_forked(zygote, 2)
    assert scene.reasons("worker", "started") == []
    assert descriptors() == before


def test_a_worker_of_another_version_is_ended(scene):
    _, zygote = scene.generation(size=1)
    scene.until_forked(zygote, 1)
    (stranger,) = zygote.workers
    stranger.announce()
    scene.turn()
    stranger.say(Kind.HELLO, wire.NUMBER.pack(wire.VERSION + 1))
    scene.killed(stranger)
    assert stranger.listen() == []
    assert scene.reasons("worker", "refused") == ["speaks another version of frames"]


def test_frames_that_make_no_sense_cost_the_worker_its_link_and_nobody_else(scene):
    generation, zygote, (strange, other) = scene.serving()
    strange.link.send(struct.pack("!BH", 250, 0))
    scene.turning.until(lambda: len(generation.workers) == 1)
    assert other.listen()[-1] is not None
    scene.until_forked(zygote, 3)


def test_a_worker_that_does_not_answer_is_killed(scene):
    _, zygote, (silent, talking) = scene.serving()
    for _ in range(UNANSWERED):
        assert silent.process.poll() is None
        scene.pass_time(PING_EVERY)
        assert talking.listen()[-1] is Kind.PING
        talking.say(Kind.PONG, wire.TWO_NUMBERS.pack(1, 2))
        scene.turn()
    scene.pass_time(PING_EVERY)
    scene.killed(silent)
    assert talking.process.poll() is None
    assert scene.reasons("worker", "killed") == ["no answer for 15 s"]


def test_a_supervisor_that_was_itself_stopped_kills_nobody(scene):
    """After SIGSTOP and SIGCONT, or a paused machine, its clock has moved while no worker was even asked."""
    _, _, workers = scene.serving()
    for _ in range(3):
        scene.pass_time(1000)
        for worker in workers:
            worker.say(Kind.PONG, wire.TWO_NUMBERS.pack(0, 0))
        scene.turn()
    assert [worker.process.poll() for worker in workers] == [None, None]


def test_killing_a_process_that_is_gone_already_is_no_fault(scene):
    generation, _, (gone, _) = scene.serving()
    gone.process.kill()
    gone.process.wait()
    generation.kill(next(iter(generation.workers.values())))


def test_a_worker_that_nobody_was_told_of_ends_with_its_link_when_it_is_to_be_killed(scene):
    generation, zygote = scene.generation(size=1)
    scene.until_forked(zygote, 1)
    generation.kill_all()
    assert zygote.workers[0].listen() == ["end"]
    assert generation.workers == {}


def test_a_dead_zygote_is_reaped_and_told_and_nobody_is_forked_from_it(scene):
    generation, zygote, workers = scene.serving()
    zygote.die()
    scene.turning.until(lambda: "lost" in scene.told)
    assert zygote.waited == 1
    assert scene.reasons("zygote", "ended") == ["killed by SIGKILL"]
    workers[0].die()
    scene.turning.until(lambda: len(generation.workers) == 1)
    scene.pass_time(20)
    assert len(generation.workers) == 1
    assert scene.reasons("worker", "lost") == ["its zygote is gone, too"]


@pytest.mark.parametrize("how", ["retire", "drain"])
def test_a_retired_generation_is_over_when_its_workers_and_then_its_zygote_are_gone(scene, how):
    generation, zygote, (first, second) = scene.serving()
    getattr(generation, how)(60.0)
    scene.turn()
    assert first.listen()[-1] is {"retire": Kind.RETIRE, "drain": Kind.DRAIN}[how]
    assert {worker.state for worker in generation.workers.values()} == {State.DRAINING}
    first.die()
    scene.turning.until(lambda: len(generation.workers) == 1)
    assert zygote.listen()  # it still tells how workers end
    second.die()
    scene.turning.until(lambda: not zygote.listen())
    assert scene.told == ["ready"]
    zygote.die(0)
    scene.turning.until(lambda: "empty" in scene.told)
    assert zygote.waited == 1
    assert len(zygote.workers) == 2
    assert scene.log.named("zygote") == []


def test_a_generation_without_workers_is_over_once_its_zygote_is(scene):
    generation, zygote = scene.generation()
    generation.drain(60.0)
    scene.turning.until(lambda: not zygote.listen())
    assert zygote.workers == []
    zygote.die(0)
    scene.turning.until(lambda: scene.told == ["empty"])


def test_a_retired_generation_whose_zygote_died_is_over_with_its_last_worker(scene):
    generation, zygote, workers = scene.serving()
    zygote.die()
    scene.turning.until(lambda: "lost" in scene.told)
    generation.retire(60.0)
    for worker in workers:
        scene.turn()
        assert "empty" not in scene.told
        worker.die()
    scene.turning.until(lambda: scene.told == ["ready", "lost", "empty"])


def test_a_worker_that_says_hello_after_the_end_was_decided_is_not_given_sockets(scene):
    generation, zygote = scene.generation(size=1)
    scene.until_forked(zygote, 1)
    generation.drain(60.0)
    zygote.workers[0].serve()
    scene.turn()
    assert zygote.workers[0].listen() == [Kind.DRAIN]
    assert scene.told == []


def test_a_generation_killed_at_once_is_never_ready(scene):
    generation, zygote = scene.generation()
    scene.until_forked(zygote, 2)
    for worker in zygote.workers:
        worker.announce()
    scene.turning.until(lambda: all(worker.pid for worker in generation.workers.values()))
    for worker in zygote.workers:
        worker.say(Kind.SERVING)
    generation.kill_all()
    scene.turn()
    for worker in zygote.workers:
        scene.killed(worker)
    assert scene.told == []
    assert zygote.killed == 1


def test_the_log_is_reopened_by_all_workers(scene):
    generation, _, workers = scene.serving()
    for worker in workers:
        worker.listen()
        worker.heard.clear()
    generation.reopen_log()
    scene.turn()
    assert [worker.listen() for worker in workers] == [[Kind.LOG], [Kind.LOG]]


def test_workers_that_come_and_go_leave_no_descriptor_behind(scene):
    generation, zygote, _ = scene.serving(size=1)

    def replace():
        zygote.workers[-1].die()
        count = len(zygote.workers) + 1
        scene.until_forked(zygote, count)
        zygote.workers[-1].serve()
        scene.turning.until(lambda: next(iter(generation.workers.values())).state is State.SERVING)
        scene.turn()
        zygote.workers[-1].listen()
        scene.pass_time(100)

    replace()
    before = descriptors()
    for _ in range(5):
        replace()
    assert descriptors() == before


def test_a_whole_generation_leaves_no_descriptor_behind(scene):
    before = descriptors()
    generation, zygote, workers = scene.serving()
    generation.retire(60.0)
    for worker in workers:
        worker.die()
    scene.turning.until(lambda: not zygote.listen())
    zygote.die(0)
    scene.turning.until(lambda: "empty" in scene.told)
    assert descriptors() == before
