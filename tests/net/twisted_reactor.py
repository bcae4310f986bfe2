"""A reactor whose TCP and TLS connections are our streams, so that Twisted's own test cases run on them.

What Twisted's protocols ask of a transport beyond what a Stream has is here, in the least way that will do.
"""

import socket

from OpenSSL import SSL
from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IHandshakeListener, ITLSTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from mmp.model import Endpoint
from mmp.net.connect import Connector
from mmp.net.loop import Loop
from mmp.net.port import Port
from mmp.net.reactor import LeanReactor
from mmp.net.resolve import Resolver
from mmp.net.stream import Stream
from mmp.net.wheel import Wheel
from tests import fakes


@implementer(ITLSTransport)
class Transport:
    """A stream's receiver, and to its protocol the transport; what is said during a handshake waits for its end."""

    def __init__(self, reactor, client, lost=lambda _: None):
        self.reactor, self.client, self.lost = reactor, client, lost
        self.protocol = self.stream = self.producer = self.held = None

    def begin(self, stream, factory, context=None):
        """Connect the factory's protocol."""
        self.stream = stream
        self.reactor.transports[stream] = self
        addresses = stream.socket.getsockname(), stream.socket.getpeername()
        self.host, self.peer = (IPv4Address("TCP", *address) for address in addresses)
        self.protocol = factory.buildProtocol(self.peer)
        if self.protocol is None:
            stream.loseConnection()
            return
        if context is not None:
            self.startTLS(context)
        self.protocol.makeConnection(self)

    def dataReceived(self, octets):  # noqa: N802 - Twisted's names, here and below
        self.protocol.dataReceived(octets)

    def connectionLost(self, reason):  # noqa: N802 - Twisted's name
        """Hear it from the stream; or make it so, as one of Twisted's cases does."""
        if isinstance(reason, Failure):
            self.stream.connectionLost(reason)
            return
        self.reactor.transports.pop(self.stream, None)
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            failure = Failure(in_twisted_words(reason))
            protocol.connectionLost(failure)
            self.lost(failure)

    # Writing and ending

    def write(self, octets):
        if self.held is not None:
            self.held.append(lambda: self.write(octets))
            return
        self.stream.write(octets)
        if self.producer is not None and self.stream.unsent:
            self.producer.pauseProducing()

    def writeSequence(self, octets):  # noqa: N802 - Twisted's name
        self.write(b"".join(octets))

    def registerProducer(self, producer, streaming):  # noqa: N802 - Twisted's name
        """Tell a producer to pause at each write that leaves something unsent, and never to go on."""
        self.producer = producer
        if not streaming:
            producer.resumeProducing()

    def loseConnection(self):  # noqa: N802 - Twisted's name
        if self.held is not None:
            self.held.append(self.stream.loseConnection)
        else:
            self.stream.loseConnection()

    @property
    def disconnecting(self):
        return self.stream.closing

    def abortConnection(self):  # noqa: N802 - Twisted's name
        self.stream.abortConnection()

    def __getattr__(self, name):
        return getattr(
            self.stream, {"stopReading": "pauseProducing", "startReading": "resumeProducing"}.get(name, name)
        )

    # TLS

    def startTLS(self, factory, normal=True):  # noqa: N802 - Twisted's name
        """Shake hands behind what is queued."""
        client = self.client == bool(normal)
        connection = SSL.Connection(factory.getContext(), self.stream.socket)
        (connection.set_connect_state if client else connection.set_accept_state)()
        self.held = []
        self.stream.start_tls(connection, self._shaken, lambda _: None, speak_first=client)

    def _shaken(self, _security):
        held, self.held = self.held, None
        if IHandshakeListener.providedBy(self.protocol):
            self.protocol.handshakeCompleted()
        for call in held:
            call()

    # Addresses

    def getHost(self):  # noqa: N802 - Twisted's name
        return self.host

    def getPeer(self):  # noqa: N802 - Twisted's name
        return self.peer


def in_twisted_words(reason):
    """Return Twisted's exception for one of ours."""
    if str(reason) == "aborted":
        return error.ConnectionAborted()
    orderly = str(reason) in ("closed by the other end", "closed by both ends")
    return error.ConnectionDone() if orderly else error.ConnectionLost(str(reason))


class Listening:
    """A port to Twisted's cases."""

    def __init__(self, reactor, factory, context):
        self.factory, self.reactor, self.context = factory, reactor, context
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        self.host = IPv4Address("TCP", *sock.getsockname())
        self.port = Port(reactor.loop, sock, self.arrive, fakes.Log())
        factory.doStart()

    def arrive(self, accepted, _address):
        transport = Transport(self.reactor, client=False)
        transport.begin(Stream(self.reactor.loop, accepted, transport), self.factory, self.context)

    def getHost(self):  # noqa: N802 - Twisted's name
        return self.host

    def stopListening(self):  # noqa: N802 - Twisted's name
        self.port.close()
        return succeed(None)


class Connecting:
    """A connector to Twisted's cases."""

    def __init__(self, reactor, address, factory, context):
        self.transport = Transport(reactor, client=True, lost=lambda why: factory.clientConnectionLost(self, why))
        factory.doStart()
        factory.startedConnecting(self)
        connector = Connector(reactor.loop, Resolver(reactor, reactor.loop.wheel))
        connecting = Deferred.fromCoroutine(connector.connect(Endpoint(*address), self.transport))
        connecting.addCallbacks(
            lambda stream: self.transport.begin(stream, factory, context),
            lambda failure: factory.clientConnectionFailed(self, failure),
        )

    def disconnect(self):
        if self.transport.stream is not None:
            self.transport.loseConnection()


class StreamReactor(LeanReactor):
    """A worker's reactor that listens and connects for Twisted's protocols."""

    def __init__(self):
        super().__init__()
        self.loop = Loop(self, Wheel(self))
        self.transports = {}
        self.addSystemEventTrigger("before", "shutdown", self.loop.wheel.stop)

    def run(self, installSignalHandlers=False):  # noqa: N803 - Twisted's name
        """Leave signals to the process that the tests run in."""
        super().run(installSignalHandlers=False)

    def listenTCP(self, port, factory, backlog=50, interface=""):  # noqa: N802 - Twisted's name
        return Listening(self, factory, None)

    def listenSSL(self, port, factory, contextFactory, backlog=50, interface=""):  # noqa: N802, N803 - Twisted's names
        return Listening(self, factory, contextFactory)

    def connectTCP(self, host, port, factory, timeout=30, bindAddress=None):  # noqa: N802, N803 - Twisted's names
        return Connecting(self, (host, port), factory, None)

    def connectSSL(self, host, port, factory, contextFactory, **_):  # noqa: N802, N803 - Twisted's names
        return Connecting(self, (host, port), factory, contextFactory)

    def getReaders(self):  # noqa: N802 - Twisted's name
        return [self.transports.get(each, each) for each in super().getReaders()]

    def getWriters(self):  # noqa: N802 - Twisted's name
        return [self.transports.get(each, each) for each in super().getWriters()]
