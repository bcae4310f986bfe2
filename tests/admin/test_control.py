"""The control socket: what is accepted, refused and bounded."""

import json
import os
import socket
import stat

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from mmp.admin.control import LONGEST, CommandError, Control
from tests.net.turning import Turning


class Scene:
    """A proxy that does with a request what the test says."""

    def __init__(self, path):
        self.path = path
        self.turning = Turning()
        self.requests, self.clients = [], []
        self.control = Control(self.turning.reactor, self.serve)
        self.control.open(str(path))

    async def serve(self, request, user, send):
        self.requests.append((request, user))
        return await self.answer(send)

    async def answer(self, send):
        return {"count": 1}

    def client(self, octets):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(self.path))
        client.setblocking(False)
        client.sendall(octets)
        self.clients.append(client)
        return client

    def ask(self, octets):
        """Return the lines of the answer to a request."""
        client, said, ended = self.client(octets), b"", False

        def over():
            nonlocal said, ended
            try:
                more = client.recv(65536)
            except BlockingIOError:
                return False
            said += more
            return not more

        self.turning.until(over)
        return [json.loads(line) for line in said.splitlines()]

    def close(self):
        self.control.close()
        for client in self.clients:
            client.close()
        self.turning.close()


@pytest.fixture
def scene(tmp_path):
    made = Scene(tmp_path / "control.sock")
    yield made
    made.close()


def test_a_request_is_answered_and_its_user_known(scene):
    assert scene.ask(b'{"command":"status"}\n') == [{"done": {"count": 1}}]
    assert scene.requests == [({"command": "status"}, os.geteuid())]


def test_pages_come_before_the_end(scene):
    async def answer(send):
        await send(b"[1,2]")
        await send(b"[3]")
        return {}

    scene.answer = answer
    assert scene.ask(b"{}\n") == [[1, 2], [3], {"done": {}}]


def test_a_refused_command_says_why(scene):
    async def answer(send):
        raise CommandError("no")

    scene.answer = answer
    assert scene.ask(b"{}\n") == [{"error": "no"}]


@pytest.mark.parametrize("octets", [b"\n", b"[]\n", b"7\n", b"{\n", b'"\xff"\n'])
def test_what_is_no_request_is_told(scene, octets):
    assert scene.ask(octets) == [{"error": "the request is no JSON object"}]
    assert scene.requests == []


def test_a_request_without_an_end_is_not_kept(scene):
    assert scene.ask(b" " * (LONGEST + 1)) == [{"error": "the request is too long"}]


def test_what_nobody_expected_is_logged_and_the_socket_goes_on(scene):
    async def answer(send):
        raise ZeroDivisionError

    scene.answer = answer
    with capturedLogs() as logged:
        assert scene.ask(b"{}\n") == [{"error": "an internal error, see the log"}]
    assert [each["log_failure"].type for each in logged] == [ZeroDivisionError]
    del scene.answer
    assert scene.ask(b"{}\n") == [{"done": {"count": 1}}]


def test_an_answer_goes_on_only_as_fast_as_it_is_read(scene):
    pages = []

    async def answer(send):
        for number in range(1000):
            pages.append(number)
            await send(b'["%b"]' % (b"x" * 10_000))
        return {}

    scene.answer = answer
    client = scene.client(b"{}\n")
    scene.turning.until(lambda: pages)
    for _ in range(20):
        scene.turning.turn()
    assert len(pages) < 100
    received = b""

    def over():
        nonlocal received
        try:
            received += client.recv(1 << 20)
        except BlockingIOError:
            pass
        return received.endswith(b'{"done":{}}\n')

    scene.turning.until(over)
    assert len(received.splitlines()) == 1001


def test_whoever_goes_away_is_asked_for_no_more(scene):
    cancelled = []

    async def answer(send):
        await Deferred(cancelled.append)

    scene.answer = answer
    client = scene.client(b"{}\n")
    scene.turning.until(lambda: scene.requests)
    client.close()
    scene.turning.until(lambda: cancelled)


def test_the_socket_is_made_for_its_owner_alone_and_taken_away(scene):
    found = scene.path.stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    scene.control.close()
    assert not scene.path.exists()


def test_it_moves_when_another_path_is_given(scene, tmp_path):
    other = tmp_path / "new" / "control.sock"
    scene.control.open(str(other))
    assert not scene.path.exists()
    scene.path = other
    assert scene.ask(b"{}\n") == [{"done": {"count": 1}}]
    scene.control.open("")
    assert not other.exists()


def test_what_is_no_socket_is_left_alone(scene, tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(FileExistsError, match="is no socket"):
        scene.control.open(str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "precious"
    assert scene.ask(b"{}\n") == [{"done": {"count": 1}}]


def test_another_users_socket_is_left_alone(scene, monkeypatch):
    other = scene.path.with_name("other.sock")
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(other))
    monkeypatch.setattr("mmp.admin.control.os.geteuid", lambda: 12345)
    with pytest.raises(PermissionError, match="somebody else's"):
        scene.control.open(str(other))


def test_another_user_may_give_no_orders(scene, monkeypatch):
    client = scene.client(b"{}\n")
    monkeypatch.setattr("mmp.admin.control.PRIVILEGED", frozenset())
    monkeypatch.setattr("mmp.admin.control.os.geteuid", lambda: 12345)
    said = b""

    def told():
        nonlocal said
        try:
            said += client.recv(1000)
        except BlockingIOError:
            pass
        return said.endswith(b"\n")

    scene.turning.until(told)
    assert json.loads(said) == {"error": "only the proxy's own user and root may give orders"}
    assert scene.requests == []
