"""The port for monitoring, as strangers may use it."""

import os
import socket
import tempfile

import pytest

from mmp.admin.http import MOST, Pages, plain
from mmp.model import Endpoint
from tests.net.turning import Turning


async def page():
    return plain(200, "well")


class Scene:
    """A port with one page, for which a token is needed."""

    def __init__(self):
        self.turning = Turning()
        self.pages = Pages(self.turning.reactor, {"/page": page})
        self.pages.open(Endpoint("127.0.0.1", 0), b"token")
        self.where = ("127.0.0.1", self.pages._port.getHost().port)
        self.clients = []

    def client(self, octets):
        client = socket.create_connection(self.where)
        client.setblocking(False)
        client.sendall(octets)
        self.clients.append(client)
        return client

    def heard(self, client, end):
        """Turn until the client has heard this, and return what it has heard."""
        heard = b""

        def has_heard():
            nonlocal heard
            try:
                heard += client.recv(65536)
            except BlockingIOError:
                return False
            return end in heard

        self.turning.until(has_heard)
        return heard

    def close(self):
        self.pages.close()
        for client in self.clients:
            client.close()
        self.turning.close()


@pytest.fixture
def scene():
    made = Scene()
    yield made
    made.close()


def test_a_page_is_for_those_who_show_the_token(scene):
    asking = scene.client(b"GET /page HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer token\r\n\r\n")
    assert scene.heard(asking, b"well").startswith(b"HTTP/1.1 200 ")
    stranger = scene.client(b"GET /page HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer other\r\n\r\n")
    assert scene.heard(stranger, b"token is needed").startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    ("length", "body"),
    [(b"Content-Length: 1000000", bytes(1_000_000)), (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n")],
    ids=["counted", "chunked"],
)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Twisted's own, of how it says 405
def test_what_a_stranger_sends_behind_a_request_is_kept_nowhere(scene, monkeypatch, method, length, body):
    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    client = scene.client(method + b" /page HTTP/1.1\r\nHost: here\r\n" + length + b"\r\n\r\n")
    for start in range(0, len(body), 10_000):
        client.sendall(body[start : start + 10_000])
        scene.turning.turn()
    status = b"401" if method == b"GET" else b"405"
    assert scene.heard(client, b"\r\n\r\n").startswith(b"HTTP/1.1 " + status)


def test_strangers_do_not_take_all_descriptors_and_make_room_when_they_go(scene):
    request = b"GET /page HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer token\r\n"
    slow = [scene.client(request) for _ in range(MOST)]
    scene.turning.until(lambda: len(scene.turning.reactor.getReaders()) >= MOST)
    assert scene.heard(scene.client(b""), b"") == b""
    slow[0].close()
    scene.turning.turn()
    assert b" 200 OK" in scene.heard(scene.client(request + b"\r\n"), b"well")
    slow[1].sendall(b"\r\n")
    assert b" 200 OK" in scene.heard(slow[1], b"well")


def test_a_program_that_cannot_listen_where_it_is_to_shows_nothing_where_the_one_before_it_did(scene):
    host, port, listening = scene.pages.state()
    descriptor = os.dup(listening)
    scene.pages.close()
    scene.pages = Pages(scene.turning.reactor, {"/page": page})
    scene.pages.restore((host, port, descriptor))
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="cannot listen"):
        scene.pages.open(Endpoint(*taken.getsockname()), b"token")
    for head in (b"", b"Authorization: Bearer \r\n", b"Authorization: Bearer token\r\n"):
        client = scene.client(b"GET /page HTTP/1.1\r\nHost: here\r\n" + head + b"\r\n")
        assert scene.heard(client, b"token is needed").startswith(b"HTTP/1.1 401 ")
