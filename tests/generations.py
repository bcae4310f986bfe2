"""A generation of workers of which the test plays the zygote and the workers."""

import os
import signal
import socket
import time
from subprocess import Popen

from mmp.generation import Generation
from mmp.observe.metrics import Counts
from mmp.shared import link as wire
from mmp.shared.link import Kind, frame, frames
from mmp.shared.local import Home, Rules
from mmp.zygote_process import ZygoteProcess
from tests import fakes
from tests.net.turning import Turning


class PlayedWorker:
    """The worker's end of a link, and a real process that may be killed for it."""

    def __init__(self, zygote, number, serial, link):
        self.zygote = zygote
        self.number = number
        self.serial = serial
        self.link = link
        self.link.setblocking(False)
        self.process = Popen(["sleep", "1000"])
        self.heard = []

    def announce(self):
        """Have the zygote tell of it."""
        descriptor = os.pidfd_open(self.process.pid)
        told = frame(Kind.FORKED, wire.THREE_NUMBERS.pack(self.number, self.serial, self.process.pid))
        socket.send_fds(self.zygote.link, [told], [descriptor])
        os.close(descriptor)
        return self

    def say(self, kind, payload=b""):
        self.link.send(frame(kind, payload))

    def serve(self):
        """Begin in order."""
        self.announce()
        self.say(Kind.HELLO, wire.NUMBER.pack(wire.VERSION))
        self.say(Kind.SERVING)
        return self

    def listen(self):
        """Take what the supervisor has said by now; return the kinds of all it ever said."""
        while True:
            try:
                packet, descriptors = wire.receive(self.link)
            except BlockingIOError:
                break
            if not packet:
                self.heard.append("end")
                break
            for descriptor in descriptors:
                os.close(descriptor)
            self.heard += [kind for kind, _ in frames(packet)]
        return self.heard

    def die(self):
        """End, and be reaped."""
        self.process.kill()
        self.process.wait()
        self.link.close()


class PlayedZygote:
    """Stands in for ``subprocess.Popen``, in the class itself; instances are the zygotes started."""

    def __init__(self, arguments, pass_fds, **options):
        self.arguments = arguments
        self.options = options
        self.link = socket.socket(fileno=os.dup(pass_fds[0]))
        self.link.setblocking(False)
        self.pid = 1 << 30
        self.code = 0
        self.killed = self.waited = 0
        self.workers = []
        self.number = 0
        self.kept = set()
        """Numbers of settings that it may be asked to fork with."""

    def wait(self):
        self.waited += 1
        return self.code

    def kill(self):
        self.killed += 1
        self.code = -signal.SIGKILL
        self.link.close()

    def die(self, code=-signal.SIGKILL):
        """End unasked."""
        self.code = code
        self.link.close()

    def listen(self):
        """Do what the supervisor has said by now; say whether it may say more."""
        while True:
            try:
                packet, descriptors = wire.receive(self.link)
            except BlockingIOError:
                return True
            for kind, payload in frames(packet):
                if kind is Kind.PREPARE:
                    os.close(descriptors.pop())
                    self.number = wire.NUMBER.unpack(payload)[0]
                    self.kept.add(self.number)
                    self.link.send(frame(Kind.PREPARED, payload))
                elif kind is Kind.FORGET:
                    self.kept.discard(wire.NUMBER.unpack(payload)[0])
                elif kind is Kind.FORK:
                    number, serial = wire.TWO_NUMBERS.unpack(payload)
                    assert number in self.kept
                    self.workers.append(PlayedWorker(self, number, serial, socket.socket(fileno=descriptors.pop())))
            if not packet:
                return False


class Scene:
    """A supervisor's side, turned by hand, with time that the test lets pass."""

    def __init__(self, monkeypatch):
        self.turning = Turning()
        self.log = fakes.Log()
        self.told = []
        self.counts = Counts()
        self.zygotes = []
        self.made = []
        monkeypatch.setattr("mmp.zygote_process.subprocess.Popen", self.zygote)
        self.home = Home(Rules(), time.monotonic)
        self.log_descriptor = os.open(os.devnull, os.O_WRONLY)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.skipped = 0.0
        self.turning.reactor.seconds = lambda: time.monotonic() + self.skipped

    def zygote(self, *arguments, **options):
        self.zygotes.append(PlayedZygote(*arguments, **options))
        return self.zygotes[-1]

    def generation(self, size=2, zygote=None, *, watched=False):
        """Start one, with a zygote of its own unless one is given; return it and that as we play it."""
        made = Generation(
            reactor=self.turning.reactor,
            log=self.log,
            zygote=zygote or ZygoteProcess.start(self.turning.reactor, self.log),
            settings=b"settings",
            size=size,
            log_descriptor=lambda: self.log_descriptor,
            disabled=lambda: (),
            home=self.home,
            sockets={0: self.listening},
            ready=lambda _: self.told.append("ready"),
            lost=lambda _: self.told.append("lost"),
            empty=lambda _: self.told.append("empty"),
            counted=self.counts.add_all,
            watched=watched,
            changed=self.told.append,
        )
        made.start()
        return made, self.zygotes[-1]

    def serving(self, size=2, *, watched=False):
        """Start one and let all of its workers serve."""
        generation, zygote = self.generation(size, watched=watched)
        self.until_forked(zygote, size)
        for worker in zygote.workers:
            worker.serve()
        self.turning.until(lambda: "ready" in self.told)
        return generation, zygote, list(zygote.workers)

    def until_forked(self, zygote, count):
        """Turn until the zygote has been asked for so many workers in all."""
        self.turning.until(lambda: zygote.listen() and len(zygote.workers) >= count)
        assert len(zygote.workers) == count

    def pass_time(self, seconds):
        """Let time pass for the supervisor, all at once."""
        self.skipped += seconds
        self.turn()

    def turn(self):
        """Let everybody hear what was said."""
        for _ in range(5):
            self.turning.turn()

    def killed(self, worker):
        """Turn until that worker's process has been killed."""
        self.turning.until(lambda: worker.process.poll() == -signal.SIGKILL)

    def reasons(self, name, result):
        """Return the reasons of the events of that name and result."""
        return [facts.get("reason") for facts in self.log.named(name) if facts["result"] == result]

    def close(self):
        self.turning.close()
        self.listening.close()
        os.close(self.log_descriptor)
        for zygote in self.zygotes:
            zygote.link.close()
            for worker in zygote.workers:
                worker.die()
