"""The supervisor: reloads, lost zygotes, drains, its sockets and its log; the test plays zygotes and workers."""

import os
import socket

import pytest
from attrs import evolve

from mmp.config.clients import TLS
from mmp.config.directory import Directory
from mmp.config.load import Loaded
from mmp.config.operators import Admin
from mmp.config.schema import Config, Listener
from mmp.errors import ConfigError
from mmp.generation import back_off
from mmp.model import TLSMode
from mmp.net.tls import RING
from mmp.shared.link import Kind
from mmp.supervisor import KILL_AFTER, Supervisor
from tests import fakes
from tests.generations import Scene


class Log(fakes.Log):
    def reopen(self, descriptor):
        os.close(descriptor)


class Governed(Scene):
    """A supervisor with one worker, whose configuration the test changes."""

    def __init__(self, monkeypatch):
        super().__init__(monkeypatch)
        self.log = Log()
        self.stopped = []
        self.turning.reactor.stop = lambda: self.stopped.append(1)
        self.opened = []
        self.loaded = self.configuration(self.free())
        self.supervisor = Supervisor(
            self.turning.reactor, self.loaded, self.load, self.log, self.open_log, program=self
        )
        monkeypatch.setattr(self.supervisor, "_install_signals", lambda: None)

    @staticmethod
    def free():
        with socket.create_server(("127.0.0.1", 0)) as probe:
            return probe.getsockname()[1]

    @staticmethod
    def configuration(*ports, key_period=3600.0, min_version="1.2", **settings):
        common = {
            "tls": TLSMode.STARTTLS,
            "tls_settings": TLS(key_period=key_period, min_version=min_version),
            "directory": Directory(kind="file"),
        }
        listeners = (Listener(address="127.0.0.1", port=port, **common) for port in ports)
        config = Config(listener=tuple(listeners), admin=Admin(control=""), **settings)
        return Loaded("/mmp.toml", config, {})

    def trusting(self, content, client_ca, client_crl="", **settings):
        """Return a configuration in which the client certificates of these authorities are taken."""
        loaded = self.configuration(*self.ports() or [self.free()], **settings)
        (listener,) = loaded.config.listener
        listener = evolve(listener, tls_settings=TLS(client_ca=client_ca, client_crl=client_crl))
        config = evolve(loaded.config, listener=(listener,))
        return evolve(loaded, config=config, files={client_ca: content}, renewable=(client_ca,))

    def load(self, path):
        assert path == "/mmp.toml"
        if isinstance(self.loaded, Exception):
            raise self.loaded
        return self.loaded

    def open_log(self):
        self.opened.append(os.open(os.devnull, os.O_WRONLY))
        return self.opened[-1]

    def start(self):
        """Start the service; return its first worker, serving."""
        self.supervisor.bind()
        self.supervisor.startService()
        return self.serve()

    def forked(self):
        """Return the newest generation's worker, once it is forked."""
        zygote, newest = self.zygotes[-1], []

        def forked():
            zygote.listen()
            newest[:] = [worker for worker in zygote.workers if worker.number == zygote.number]
            return newest

        self.turning.until(forked)
        return newest[0]

    def serve(self):
        """Let the newest generation's worker serve; return it."""
        before = len(self.log.named("serving"))
        worker = self.forked().serve()
        self.turning.until(lambda: len(self.log.named("serving")) > before)
        self.turn()
        return worker

    def reload(self, loaded):
        self.loaded = loaded
        self.supervisor.reload()
        self.turn()

    def ports(self):
        """Return where the supervisor listens."""
        return {endpoint.port for endpoint in self.supervisor._sockets}

    def sockets(self):
        """Return the sockets with which the supervisor listens."""
        return {endpoint: self.supervisor._sockets[endpoint] for endpoint in self.supervisor._sockets}

    def end(self, *workers):
        """Let retired workers end."""
        for worker in workers:
            worker.die()
        self.turn()

    def end_zygote(self, zygote):
        """Let a zygote end that is not needed any more."""
        self.turning.until(lambda: not zygote.listen())
        zygote.die(0)
        self.turn()

    def close(self):
        super().close()
        self.supervisor._sockets.close()
        os.close(self.supervisor._log_descriptor)


@pytest.fixture
def scene(monkeypatch):
    made = Governed(monkeypatch)
    yield made
    made.close()


def refuses(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


# Reloading


def test_a_reload_brings_new_workers_and_then_retires_the_old(scene):
    old = scene.start()
    scene.reload(scene.configuration(*scene.ports()))
    assert Kind.RETIRE not in old.listen()
    scene.serve()
    assert old.listen()[-1] is Kind.RETIRE
    scene.end(old)
    assert scene.supervisor._succession._draining == set()
    assert scene.stopped == []


def test_a_reload_goes_on_with_the_zygote_that_has_the_keys(scene):
    scene.start()
    for configuration in ({"drain_timeout": 60.0}, {"min_version": "1.3"}, {"key_period": 60.0}):
        scene.reload(scene.configuration(*scene.ports(), **configuration))
        scene.serve()
    assert len(scene.zygotes) == 1
    assert scene.zygotes[0].listen()
    assert scene.zygotes[0].kept == {4}


@pytest.mark.parametrize("fault", [ConfigError(["listener[1].port: wrong", "workres: unknown"]), OSError("no file")])
def test_a_reload_with_a_mistake_changes_nothing_and_says_why(scene, fault):
    old = scene.start()
    before = scene.sockets()
    scene.reload(fault)
    assert scene.log.named("reload") == [{"result": "refused", "reason": str(fault).replace("\n", "; ")}]
    assert len(scene.zygotes) == 1
    assert scene.sockets() == before
    assert old.listen()[4:] == [Kind.LOG]
    assert scene.zygotes[0].number == 1


def test_a_reload_to_a_port_that_is_taken_changes_nothing_and_says_which(scene):
    scene.start()
    before = scene.sockets()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, spare = taken.getsockname()[1], scene.free()
        scene.reload(scene.configuration(spare, port))
    assert f"cannot listen at 127.0.0.1:{port}" in scene.log.named("reload")[0]["reason"]
    assert scene.sockets() == before
    assert refuses(spare)
    assert scene.zygotes[0].number == 1


def test_a_listener_that_is_added_listens_and_one_that_is_removed_is_closed_when_the_new_workers_serve(scene):
    worker = scene.start()
    (old,) = scene.ports()
    new = scene.free()
    scene.reload(scene.configuration(new))
    assert scene.ports() == {old, new}  # the old workers may die yet, and be forked again
    scene.serve()
    assert scene.ports() == {new}
    scene.end(worker)
    assert refuses(old)
    assert not refuses(new)


def test_a_worker_forked_anew_during_a_reload_gets_the_sockets_of_its_own_configuration(scene):
    """The index that it is told means a listener of the configuration that it is forked with."""
    old = scene.start()
    (port,) = scene.ports()
    scene.reload(scene.configuration(scene.free(), port))
    coming = scene.forked()
    old.die()
    scene.until_forked(scene.zygotes[0], 3)
    again = scene.zygotes[0].workers[2].serve()
    assert (old.number, coming.number, again.number) == (1, 2, 1)
    scene.turn()
    assert again.listen() == [Kind.LOG, Kind.KEY, Kind.LISTEN, Kind.SERVE]


def test_a_second_reload_before_the_first_is_done_takes_its_place(scene):
    old = scene.start()
    (port,) = scene.ports()
    passing = scene.free()
    scene.reload(scene.configuration(port, passing))
    passed_over = scene.forked().serve()
    scene.reload(scene.configuration(port))
    scene.turn()
    assert passed_over.listen()[-1] is Kind.RETIRE  # it may have sessions already, which nobody cuts
    assert refuses(passing)
    scene.turn()
    assert old.listen()[-1] is not Kind.RETIRE
    scene.serve()
    assert old.listen()[-1] is Kind.RETIRE
    assert scene.zygotes[0].listen()
    assert scene.zygotes[0].kept == {3}


def test_replaced_workers_keep_their_sessions_as_long_as_is_configured(scene, monkeypatch):
    given = []
    monkeypatch.setattr("mmp.generation.Generation.retire", lambda _, seconds: given.append(seconds))
    scene.start()
    for drain_timeout in (None, 0.0, 60.0):
        scene.reload(scene.configuration(*scene.ports(), drain_timeout=drain_timeout))
        scene.serve()
    assert given == [float("inf"), 0.0, 60.0]


# The log


def test_the_log_is_reopened_in_every_process_whatever_the_configuration_says(scene):
    old = scene.start()
    scene.reload(scene.configuration(*scene.ports()))
    new = scene.serve()
    scene.reload(ConfigError(["wrong"]))
    assert old.listen()[-1] is Kind.LOG  # a worker that drains may do so for days
    assert new.listen()[-1] is Kind.LOG
    assert len(scene.opened) == 3


def test_a_log_that_cannot_be_reopened_is_written_to_as_before(scene):
    scene.start()
    before = scene.supervisor._log_descriptor
    monkeypatched = OSError(13, "Permission denied", "/var/log/mmp.log")

    def fails():
        raise monkeypatched

    scene.supervisor._open_log = fails
    scene.reload(scene.configuration(*scene.ports()))
    assert scene.supervisor._log_descriptor == before
    os.fstat(before)
    first, second = scene.log.named("reload")
    assert first == {"result": "log not reopened", "reason": str(monkeypatched)}
    assert second["result"] == "ok"


# Zygotes


def test_a_lost_zygote_is_replaced_and_its_workers_serve_until_others_do(scene):
    old = scene.start()
    scene.zygotes[0].die()
    scene.turning.until(lambda: len(scene.zygotes) == 2)
    assert old.listen()[-1] is Kind.SERVE
    scene.serve()
    assert old.listen()[-1] is Kind.RETIRE


def test_zygotes_that_die_young_are_replaced_ever_later(scene):
    scene.supervisor.bind()
    scene.supervisor.startService()
    for count in range(1, 5):
        assert len(scene.zygotes) == count
        scene.zygotes[-1].die(1)
        scene.turning.until(lambda count=count: len(scene.log.named("zygote")) == count)
        scene.turn()
        assert len(scene.zygotes) == (2 if count == 1 else count)
        scene.pass_time(back_off(count))
    assert scene.reasons("zygote", "ended") == ["exit code 1"] * 4


def test_a_process_that_cannot_be_started_is_tried_again(scene, monkeypatch):
    with monkeypatch.context() as without_room:
        without_room.setattr("mmp.zygote_process.subprocess.Popen", fails_to_start)
        scene.supervisor.bind()
        scene.supervisor.startService()
        scene.turn()
        assert scene.reasons("zygote", "failed")[0] == "[Errno 11] Resource temporarily unavailable"
    scene.pass_time(10)
    scene.serve()


def fails_to_start(*_arguments, **_options):
    raise BlockingIOError(11, "Resource temporarily unavailable")


def test_a_reload_while_a_zygote_is_due_brings_only_one(scene):
    scene.start()
    for _ in range(2):
        scene.zygotes[-1].die()
        scene.turning.until(lambda: scene.zygotes[-1].waited)
        scene.turn()
    count = len(scene.zygotes)
    scene.reload(scene.configuration(*scene.ports()))
    scene.pass_time(60)
    assert len(scene.zygotes) == count + 1


def test_a_new_generation_comes_when_the_ring_of_keys_is_at_its_end(scene):
    scene.loaded = scene.supervisor._loaded = scene.configuration(*scene.ports(), scene.free(), key_period=60.0)
    scene.start()
    scene.pass_time(RING * 60.0 - 1)
    assert len(scene.zygotes) == 1
    scene.pass_time(1)
    assert len(scene.zygotes) == 2
    scene.serve()
    scene.end(*scene.zygotes[0].workers)
    scene.end_zygote(scene.zygotes[0])
    assert scene.stopped == []


def test_reloads_do_not_put_the_end_of_a_ring_off(scene):
    scene.loaded = scene.supervisor._loaded = scene.configuration(*scene.ports(), scene.free(), key_period=60.0)
    scene.start()
    scene.pass_time(RING * 60.0 - 10)
    scene.reload(scene.loaded)
    scene.serve()
    scene.pass_time(9)
    assert len(scene.zygotes) == 1
    scene.pass_time(1)
    assert len(scene.zygotes) == 2


def test_a_ring_that_is_needed_no_more_has_no_end_that_matters_and_a_new_one_its_own(scene):
    scene.loaded = scene.supervisor._loaded = scene.configuration(*scene.ports(), scene.free(), key_period=60.0)
    scene.start()
    scene.pass_time(RING * 60.0 - 10)
    scene.reload(scene.configuration(*scene.ports(), key_period=30.0))
    scene.serve()
    scene.pass_time(RING * 30.0 - 1)
    assert len(scene.zygotes) == 1
    scene.pass_time(1)
    assert len(scene.zygotes) == 2


def test_reloads_keep_nothing_of_what_was_before(scene):
    worker = scene.start()
    before = len(scene.turning.reactor.getDelayedCalls())
    for _ in range(3):
        scene.reload(scene.configuration(*scene.ports()))
        old, worker = worker, scene.serve()
        scene.end(old)
        scene.pass_time(10)
    assert len(scene.turning.reactor.getDelayedCalls()) == before


# Ending


def test_a_drain_closes_all_sockets_and_stops_when_the_last_worker_is_gone(scene):
    worker = scene.start()
    ports = scene.ports()
    scene.supervisor.drain()
    scene.turn()
    assert worker.listen()[-1] is Kind.DRAIN
    scene.end(worker)
    assert scene.stopped == []
    scene.end_zygote(scene.zygotes[0])
    assert all(map(refuses, ports))
    assert len(scene.stopped) == 1
    assert [facts["result"] for facts in scene.log.named("drain")] == ["begun", "done"]


def test_a_drain_reaches_those_who_come_and_those_who_have_been_replaced(scene):
    old = scene.start()
    scene.reload(scene.configuration(*scene.ports()))
    serving = scene.serve()
    scene.reload(scene.configuration(*scene.ports()))
    coming = scene.forked()
    scene.supervisor.drain()
    scene.turn()
    assert [worker.listen()[-1] for worker in (old, serving, coming)] == [Kind.DRAIN] * 3
    for worker in (serving, old, coming):
        scene.end(worker)
        assert scene.stopped == []
    scene.end_zygote(scene.zygotes[0])
    assert len(scene.stopped) == 1


def test_a_second_signal_kills_and_stops_at_once_and_a_third_does_no_harm(scene):
    old = scene.start()
    scene.reload(scene.configuration(*scene.ports()))
    serving = scene.serve()
    for _ in range(3):
        scene.supervisor.terminate()
    for worker in (old, serving):
        scene.killed(worker)
    assert scene.stopped
    assert scene.zygotes[0].killed


def test_a_signal_after_an_ordered_drain_gives_the_grace_and_only_the_second_ends_at_once(scene, monkeypatch):
    given = []
    monkeypatch.setattr("mmp.generation.Generation.drain", lambda _, seconds: given.append(seconds))
    grace = scene.supervisor.loaded.config.shutdown_grace
    worker = scene.start()
    scene.supervisor.drain(3600.0)
    scene.supervisor.terminate()
    assert given == [3600.0, grace]
    assert worker.process.poll() is None
    assert scene.stopped == []
    scene.supervisor.terminate()
    scene.killed(worker)
    assert len(scene.stopped) == 1


def test_the_time_of_a_drain_may_be_changed(scene):
    worker = scene.start()
    for seconds in (60.0, 3600.0):
        scene.supervisor.drain(seconds)
    scene.pass_time(3600.0 + KILL_AFTER - 1)
    assert worker.process.poll() is None
    scene.supervisor.drain(0.0)
    scene.pass_time(KILL_AFTER)
    scene.killed(worker)
    results = [facts["result"] for facts in scene.log.named("drain")]
    assert results == ["begun", "changed", "changed", "cut short"]


def test_workers_that_outlive_the_grace_by_far_are_killed(scene):
    scene.loaded = scene.supervisor._loaded = scene.configuration(*scene.ports(), scene.free(), shutdown_grace=30.0)
    worker = scene.start()
    scene.supervisor.drain()
    scene.pass_time(30.0 + KILL_AFTER)
    scene.killed(worker)
    assert [facts["result"] for facts in scene.log.named("drain")] == ["begun", "cut short"]


def test_a_drain_before_anything_runs_stops_at_once(scene, monkeypatch):
    monkeypatch.setattr("mmp.zygote_process.subprocess.Popen", fails_to_start)
    scene.supervisor.bind()
    scene.supervisor.startService()
    scene.supervisor.drain()
    assert len(scene.stopped) == 1
    scene.pass_time(100)
    assert len(scene.log.named("zygote")) == 1


def test_a_reload_during_a_drain_only_reopens_the_log(scene):
    worker = scene.start()
    scene.supervisor.drain()
    scene.reload(scene.configuration(*scene.ports(), scene.free()))
    assert worker.listen()[-2:] == [Kind.DRAIN, Kind.LOG]
    assert scene.zygotes[0].number == 1
    assert len(scene.ports()) == 1


def test_reloads_leave_no_descriptor_behind(scene):
    serving = [scene.start()]

    def reload():
        scene.reload(scene.configuration(*scene.ports()))
        serving.append(scene.serve())
        serving[-1].listen()
        scene.end(serving.pop(0))
        scene.pass_time(10)
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the count alone

    assert reload() == reload() == reload()


# Certificates


def holding(loaded, watched=("front", "back"), renewable=("front",), **files):
    return evolve(loaded, files=dict.fromkeys(watched, b"old") | files, watched=watched, renewable=renewable)


def renew(scene, **files):
    scene.loaded = holding(scene.configuration(1), **files)
    scene.supervisor.renew()
    scene.turn()


@pytest.fixture
def renewing(scene):
    scene.supervisor._loaded = holding(scene.loaded)
    return scene


def test_a_certificate_for_clients_is_renewed_in_the_workers_that_there_are(renewing):
    worker = renewing.start()
    renew(renewing, front=b"new")
    assert worker.listen()[4:] == [Kind.RENEW]
    assert renewing.zygotes[0].number == 1
    assert renewing.log.named("reload") == [{"result": "certificates", "reason": "front"}]


@pytest.mark.parametrize("by_reload", [False, True])
def test_the_log_tells_of_it_only_once_the_workers_are_told(renewing, monkeypatch, by_reload):
    """A certificate that is good no more must not be taken by a worker when the log says that it is not."""
    worker = renewing.start()
    heard = []
    event = renewing.log.event

    def look(name, *arguments, **facts):
        if name == "reload":
            heard.append(worker.listen()[-1])
        event(name, *arguments, **facts)

    monkeypatch.setattr(renewing.log, "event", look)
    if by_reload:
        renewing.reload(holding(renewing.supervisor._loaded, front=b"new"))
    else:
        renew(renewing, front=b"new")
    assert heard == [Kind.RENEW]


def test_nothing_else_of_the_configuration_is_taken_in(renewing):
    renewing.start()
    before = renewing.supervisor._loaded.config
    renew(renewing, front=b"new")
    assert renewing.supervisor._loaded.config is before
    assert renewing.supervisor._loaded.files == {"front": b"new", "back": b"old"}


def test_a_worker_forked_later_has_the_renewed_one_as_well(renewing):
    worker = renewing.start()
    renew(renewing, front=b"new")
    worker.die()
    renewing.until_forked(renewing.zygotes[0], 2)
    again = renewing.zygotes[0].workers[1].serve()
    renewing.turn()
    assert again.listen() == [Kind.LOG, Kind.KEY, Kind.RENEW, Kind.LISTEN, Kind.SERVE]


def test_a_certificate_for_stores_takes_new_workers(renewing):
    worker = renewing.start()
    renew(renewing, back=b"new")
    renewing.serve()
    assert Kind.RETIRE in worker.listen()


def test_files_that_were_only_touched_change_nothing(renewing):
    worker = renewing.start()
    renew(renewing)
    assert worker.listen() == [Kind.LOG, Kind.KEY, Kind.LISTEN, Kind.SERVE]
    assert renewing.log.named("reload") == []


def test_a_new_file_that_is_wrong_leaves_the_old_one_serving_and_is_told(renewing):
    worker = renewing.start()
    renewing.loaded = ConfigError(["tls.private_key: does not belong to it"])
    renewing.supervisor.renew()
    renewing.turn()
    assert renewing.log.named("reload") == [{"result": "refused", "reason": "tls.private_key: does not belong to it"}]
    assert worker.listen() == [Kind.LOG, Kind.KEY, Kind.LISTEN, Kind.SERVE]


def test_a_reload_in_which_nothing_but_certificates_for_clients_differs_needs_no_new_workers(renewing):
    worker = renewing.start()
    same = evolve(renewing.supervisor._loaded, files={"front": b"new", "back": b"old"})
    renewing.reload(same)
    assert worker.listen()[-2:] == [Kind.LOG, Kind.RENEW]
    assert renewing.zygotes[0].number == 1
    renewing.reload(evolve(same, files={"front": b"newer", "back": b"new"}))
    renewing.forked()
    assert renewing.zygotes[0].number == 2


def test_workers_that_drain_are_told_whom_to_trust(scene):
    """Some of their clients may not have logged in yet."""
    trusting = {"client_ca": "ca", "client_crl": ""}
    scene.loaded = scene.supervisor._loaded = scene.trusting(b"first", **trusting)
    first = scene.start()
    scene.reload(scene.trusting(b"second", drain_timeout=60.0, **trusting))
    assert first.listen()[-1] is Kind.RENEW
    second = scene.serve()
    assert first.listen()[-1] is Kind.RETIRE
    scene.reload(scene.trusting(b"third", drain_timeout=60.0, **trusting))
    assert [worker.listen()[-1] for worker in (first, second)] == [Kind.RENEW] * 2
    assert len(scene.zygotes[0].workers) == 2


def test_workers_that_are_replaced_by_some_who_trust_others_trust_nobody_first(scene):
    scene.loaded = scene.supervisor._loaded = scene.trusting(b"any", client_ca="old")
    worker = scene.start()
    scene.reload(scene.trusting(b"any", client_ca="new"))
    assert Kind.RENEW not in worker.listen()
    scene.serve()
    assert worker.listen()[-2:] == [Kind.RENEW, Kind.RETIRE]
