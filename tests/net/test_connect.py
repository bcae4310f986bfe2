"""Connecting: which addresses of a host are tried, and from where."""

import gc
import os
import socket
import ssl
import threading
from ipaddress import ip_network

import pytest
from twisted.internet.defer import CancelledError, Deferred

from mmp.model import Endpoint
from mmp.net.channel import Channel
from mmp.net.connect import Connector, TLSConnector
from tests.net.turning import Peer, Told, client_tls, server_context

ELSEWHERE = Endpoint("192.0.2.1", 143)


class Names:
    """A resolver that knows one answer."""

    def __init__(self, *addresses):
        self.known = addresses

    async def addresses(self, _host):
        return self.known


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.2", 0)) as made:
        yield made


def connect(turning, connector, port):
    stream = turning.outcome(Deferred.fromCoroutine(connector.connect(Endpoint("store", port), Told())))
    sock = stream.socket
    ends = sock.getsockname()[0], sock.getpeername()[0]
    stream.abortConnection()
    turning.turn()
    return ends


def test_the_next_address_is_tried_when_one_refuses_and_that_one_is_avoided_for_a_while(turning, listening):
    port = listening.getsockname()[1]
    connector = Connector(turning.loop, Names("127.0.0.3", "127.0.0.2"), retry_after=1000.0)
    assert connect(turning, connector, port)[1] == "127.0.0.2"
    with socket.create_server(("127.0.0.3", port)):
        assert connect(turning, connector, port)[1] == "127.0.0.2"
        connector._avoided.clear()
        assert connect(turning, connector, port)[1] == "127.0.0.3"


def test_a_host_without_another_address_is_always_tried(turning, listening):
    port = listening.getsockname()[1]
    connector = Connector(turning.loop, Names("127.0.0.3"))
    with pytest.raises(ConnectionRefusedError):
        connect(turning, connector, port)
    with socket.create_server(("127.0.0.3", port)):
        assert connect(turning, connector, port)[1] == "127.0.0.3"


def test_the_source_address_is_used(turning, listening):
    connector = Connector(turning.loop, Names("127.0.0.2"), source_address="127.0.0.7")
    assert connect(turning, connector, listening.getsockname()[1])[0] == "127.0.0.7"


def test_addresses_outside_of_the_networks_are_not_tried(turning, listening):
    port = listening.getsockname()[1]
    connector = Connector(turning.loop, Names("127.0.0.3", "127.0.0.2"), networks=(ip_network("127.0.0.2/32"),))
    assert connect(turning, connector, port)[1] == "127.0.0.2"
    nowhere = Connector(turning.loop, Names("127.0.0.2"), networks=(ip_network("10.0.0.0/8"),))
    with pytest.raises(PermissionError, match=r"not in backend\.networks"):
        connect(turning, nowhere, port)


def blackhole():
    """Return a listening socket whose queue is full, and what fills it: further attempts get no answer."""
    listening = socket.socket()
    listening.bind(("127.0.0.3", 0))
    listening.listen(0)
    filling = []
    while True:
        sock = socket.socket()
        sock.setblocking(False)
        filling.append(sock)
        sock.connect_ex(listening.getsockname())
        if len(filling) > 3:
            return listening, filling


def begin(turning, connector, port):
    """Begin to connect; return the Deferred and the list that its outcome will be in."""
    outcome = []
    running = Deferred.fromCoroutine(connector.connect(Endpoint("store", port), Told()))
    running.addBoth(outcome.append)
    for _ in range(3):
        turning.turn()
    return running, outcome


def test_an_attempt_without_an_answer_is_given_up_when_it_is_cancelled_and_its_address_avoided(turning):
    listening, filling = blackhole()
    port = listening.getsockname()[1]
    connector = Connector(turning.loop, Names("127.0.0.3", "127.0.0.2"), retry_after=1000.0)
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the count alone
    with socket.create_server(("127.0.0.2", port)):
        running, outcome = begin(turning, connector, port)
        assert outcome == []
        running.cancel()
        assert outcome[0].check(CancelledError)
        assert turning.reactor.getWriters() == []
        assert connect(turning, connector, port)[1] == "127.0.0.2"
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208 - likewise
    for sock in (listening, *filling):
        sock.close()


def test_an_event_that_was_meant_for_another_connection_is_not_taken_for_success(turning):
    """A descriptor's number may be in use again when an old event for it is served."""
    listening, filling = blackhole()
    running, outcome = begin(turning, Connector(turning.loop, Names("127.0.0.3")), listening.getsockname()[1])
    (connecting,) = turning.reactor.getWriters()
    connecting.doWrite()
    assert outcome == []
    assert len(turning.reactor.getWriters()) == 1
    running.cancel()
    for sock in (listening, *filling):
        sock.close()


def test_a_failure_names_the_address_and_leaves_no_cycle(turning, listening):
    port = listening.getsockname()[1]
    connector = Connector(turning.loop, Names("127.0.0.4", "127.0.0.3"))
    gc.collect()
    gc.disable()
    try:
        _, outcome = begin(turning, connector, port)
        turning.until(lambda: outcome)
        assert str(outcome.pop().value) == f"[Errno 111] 127.0.0.3:{port}: Connection refused"
        assert not [each for each in gc.get_objects() if type(each).__name__ == "_Connecting"]
    finally:
        gc.enable()


def opened(turning, connector, port):
    """Open a channel, turn until it is lost or has something to read, and return what its core was fed."""
    fed = []
    channel = Channel(Fed(fed), None)
    address = turning.outcome(Deferred.fromCoroutine(connector.open(Endpoint("store", port), channel, ELSEWHERE)))
    lost = []
    channel.on_loss(lost.append)
    turning.until(lambda: lost or fed)
    channel.abort()
    turning.turn()
    return (address, b"".join(fed)) if fed else lost[0]


class Fed:
    """A core that remembers what it is fed."""

    buffered = 0

    def __init__(self, octets):
        self.receive_data = octets.append


def serve(listening, octets):
    """Have the next connection say something, as soon as it is there."""

    def say():
        accepted, _ = listening.accept()
        with accepted:
            accepted.sendall(octets)

    threading.Thread(target=say, daemon=True).start()


def test_a_channel_to_the_only_address_is_not_waited_for(turning, listening):
    serve(listening, b"* OK")
    connector = Connector(turning.loop, Names("127.0.0.2"))
    assert opened(turning, connector, listening.getsockname()[1]) == ("127.0.0.2", b"* OK")


def test_a_channel_to_an_only_address_that_refuses_is_lost(turning, listening):
    lost = opened(turning, Connector(turning.loop, Names("127.0.0.3")), listening.getsockname()[1])
    assert isinstance(lost, ConnectionRefusedError)


def test_a_channel_too_goes_to_the_next_address_when_one_refuses(turning, listening):
    port = listening.getsockname()[1]
    serve(listening, b"* OK")
    connector = Connector(turning.loop, Names("127.0.0.3", "127.0.0.2"))
    assert opened(turning, connector, port) == ("127.0.0.2", b"* OK")
    assert list(connector._avoided) == [("127.0.0.3", port)]


def test_what_is_written_to_a_channel_on_its_way_arrives(turning, listening):
    channel = Channel(Fed([]), None)
    connector = Connector(turning.loop, Names("127.0.0.2"))
    port = listening.getsockname()[1]
    turning.outcome(Deferred.fromCoroutine(connector.open(Endpoint("store", port), channel, ELSEWHERE)))
    channel.write(b"hello")
    accepted, _ = listening.accept()
    accepted.setblocking(False)
    with accepted:
        assert Peer(turning, accepted).receive(5) == b"hello"
    channel.abort()
    turning.turn()


def test_an_address_that_cannot_be_gone_to_at_all_leaves_no_socket(turning):
    connector = Connector(turning.loop, Names("127.0.0.2"), source_address="192.0.2.1")
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the count alone
    for begun in (
        connector.open(Endpoint("store", 143), Channel(Fed([]), None), ELSEWHERE),
        connector.connect(Endpoint("store", 143), Told()),
    ):
        with pytest.raises(OSError, match="Cannot assign requested address"):
            turning.outcome(Deferred.fromCoroutine(begun))
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208 - likewise


def test_a_source_address_of_the_other_family_is_not_used(turning):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as there:
        connector = Connector(turning.loop, Names("::1"), source_address="127.0.0.7")
        assert connect(turning, connector, there.getsockname()[1]) == ("::1", "::1")


def test_a_source_address_of_ipv6_is_used(turning):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as there:
        connector = Connector(turning.loop, Names("::1"), source_address="::1")
        assert connect(turning, connector, there.getsockname()[1]) == ("::1", "::1")


def test_a_source_address_that_is_not_ours_is_a_failure(turning, listening):
    connector = Connector(turning.loop, Names("127.0.0.2"), source_address="192.0.2.1")
    with pytest.raises(OSError, match="Cannot assign"):
        connect(turning, connector, listening.getsockname()[1])


def test_from_one_source_address_a_port_serves_towards_several_stores(turning):
    """Else the ports of one address would be the limit for all stores together."""
    connector = Connector(turning.loop, Names("127.0.0.2"), source_address="127.0.0.7")
    sock = socket.socket()
    sock.bind(("127.0.0.2", 0))
    sock.listen()
    stream = turning.outcome(Deferred.fromCoroutine(connector.connect(Endpoint("s", sock.getsockname()[1]), Told())))
    assert stream.socket.getsockopt(socket.IPPROTO_IP, 24)
    stream.abortConnection()
    turning.turn()
    sock.close()


def test_with_implicit_tls_a_certificate_for_another_name_closes_the_connection(turning, listening):
    connector = TLSConnector(Connector(turning.loop, Names("127.0.0.2")), client_tls(), implicit=True)
    running = Deferred.fromCoroutine(connector.connect(Endpoint("store", listening.getsockname()[1]), Told()))
    outcome = []
    running.addBoth(outcome.append)
    accepted, _ = listening.accept()
    accepted.setblocking(False)
    peer = Peer(turning, accepted)
    try:
        peer.start_tls(server_context("other.example"), server_side=True)
    except OSError:
        pass
    turning.until(lambda: outcome)
    assert "not for store" in outcome[0].getErrorMessage()
    assert turning.reactor.getReaders() == [turning.reactor.waker]
    peer.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_next_connection_to_a_host_resumes_the_session_even_after_the_last_is_gone(turning, listening, version):
    connector = TLSConnector(Connector(turning.loop, Names("127.0.0.2")), client_tls(), implicit=True)
    context = server_context("store")
    context.maximum_version = version
    resumed = []
    for _ in range(3):
        told = Told()
        running = Deferred.fromCoroutine(connector.connect(Endpoint("store", listening.getsockname()[1]), told))
        accepted, _ = listening.accept()
        accepted.setblocking(False)
        peer = Peer(turning, accepted)
        peer.start_tls(context, server_side=True)
        stream = turning.outcome(running)
        peer.send(b"hello")
        turning.until(lambda told=told: told.octets == b"hello")
        resumed.append(peer.sock.session_reused)
        stream.loseConnection()
        peer.attempt(peer.sock.unwrap)
        peer.close()
        turning.until(lambda told=told: told.lost)
    assert resumed == [False, True, True]


def test_with_implicit_tls_an_attempt_is_given_up_in_the_handshake(turning, listening):
    connector = TLSConnector(Connector(turning.loop, Names("127.0.0.2")), client_tls(), implicit=True)
    running, outcome = begin(turning, connector, listening.getsockname()[1])
    running.cancel()
    assert outcome[0].check(CancelledError)
    accepted, _ = listening.accept()
    accepted.setblocking(False)
    assert Peer(turning, accepted).rest()[:1] in (b"", b"\x16")  # a ClientHello at most, then a reset
    accepted.close()
