"""Connecting: which addresses of a host are tried, and from where."""

import socket

import pytest
from twisted.internet.defer import Deferred

from mmp.model import Endpoint
from mmp.net.connect import Connector
from tests.net.turning import Told


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
    from ipaddress import ip_network

    port = listening.getsockname()[1]
    connector = Connector(turning.loop, Names("127.0.0.3", "127.0.0.2"), networks=(ip_network("127.0.0.2/32"),))
    assert connect(turning, connector, port)[1] == "127.0.0.2"
    nowhere = Connector(turning.loop, Names("127.0.0.2"), networks=(ip_network("10.0.0.0/8"),))
    with pytest.raises(PermissionError, match=r"not in backend\.networks"):
        connect(turning, nowhere, port)
