"""Twisted's own test cases for stream transports, on our streams, ports and connectors.

Those left out stand in ``LEFT_OUT``, each with the reason; whatever Twisted adds is run until somebody lists it.
"""

from functools import wraps

import pytest
from twisted.internet.defer import maybeDeferred
from twisted.internet.test import test_tcp as tcp
from twisted.internet.test import test_tls as tls
from twisted.python.failure import Failure
from twisted.test import test_ssl as old_tls
from twisted.test import test_tcp as old_tcp
from twisted.trial.unittest import SynchronousTestCase

from tests.net.twisted_reactor import StreamReactor

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what Twisted's cases use of pyOpenSSL


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """Twisted's cases leave files where they run."""
    monkeypatch.chdir(tmp_path)


SECONDS = 20
"""After which a case has failed."""

LOG_CONTEXT = "the reactor puts no log context around events"
FACTORIES = "about factories, addresses and connectors, which streams do not have: our sessions begin otherwise"
PULL = "about pull producers, and Stream has no registerProducer: who writes looks at what is unsent"
RESOLVING = "about names and ports that Twisted resolves"
CONTEXTS = "about context factories, which are not ours: a connection is made before the handshake begins"

CLIENT = {
    "test_logPrefix": LOG_CONTEXT,
    "test_interface": FACTORIES,
    "test_unregisterProducerAfterDisconnect": PULL,
    "test_disconnectWhileProducing": PULL,
}
ABORT = {
    "test_resumeProducingAbort": PULL,
    "test_resumeProducingAbortLater": PULL,
    "test_resumeProducingThrows": PULL,
}
LEFT_OUT = {
    tcp.TCP4ClientTestsBuilder: CLIENT
    | {
        "test_addresses": FACTORIES,
        "test_badContext": CONTEXTS,
        "test_connectPortUnderflow": RESOLVING,
        "test_connectPortOverflow": RESOLVING,
        "test_connectPortZero": RESOLVING,
        "test_connectPortNotNumeric": RESOLVING,
        "test_getaddrinfo_negative_port": RESOLVING,
        "test_getaddrinfo_overflow_port": RESOLVING,
    },
    tcp.TCPConnectionTestsBuilder: {
        "test_resumeProducingWhileDisconnecting": "a closing stream does read, to see the other end's FIN",
        "test_doubleHalfClose": "a receiver hears of no half-close; the relay, which has them, has tests of its own",
    },
    tcp.AbortConnectionTests: ABORT,
    tls.StartTLSClientTestsMixin: {"test_logPrefix": LOG_CONTEXT},
    tls.SSLClientTestsMixin: {"test_logPrefix": LOG_CONTEXT, "test_badContext": CONTEXTS},
    tls.AbortSSLConnectionTests: ABORT,
}
"""By Twisted's class. Whole classes are left out too:

- of twisted.internet.test, ``TCPPortTestsBuilder``, ``TLSPortTestsBuilder``, ``TCPTransportTestsBuilder`` and
  ``AdoptStreamConnectionTestsBuilder``: about log messages, ``repr``, addresses, writeSequence and producers, and that
  a port closes connections when descriptors run out, which ours leaves in the kernel's queue;
- ``TCPConnectorTestsBuilder``, and of twisted.test.test_tcp what is about connectors, factories and half-closing
  (``HalfClose…``), and ``test_writeAfterShutdownWithoutReading``, which needs a pull producer;
- of twisted.test.test_ssl, ``StolenTCPTests`` and ``BufferingTests``, which look at ``getHandle`` and
  ``getPeerCertificate``, and ``testFailedVerify``: verification has tests of its own.
"""


def cases(builder):
    return {name for name in dir(builder) if name.startswith("test")}


def on_streams(builder):
    """Return the cases that apply as a class for our reactor."""
    hidden = dict.fromkeys(LEFT_OUT[builder])
    return type(
        builder.__name__.replace("Mixin", "").replace("Builder", ""),
        (builder, SynchronousTestCase),
        {"reactorFactory": StreamReactor, "timeout": SECONDS, "__module__": __name__, **hidden},
    )


ClientTests = on_streams(tcp.TCP4ClientTestsBuilder)
ConnectionTests = on_streams(tcp.TCPConnectionTestsBuilder)
AbortTests = on_streams(tcp.AbortConnectionTests)
StartTLSClientTests = on_streams(tls.StartTLSClientTestsMixin)
TLSClientTests = on_streams(tls.SSLClientTestsMixin)
AbortTLSTests = on_streams(tls.AbortSSLConnectionTests)


def turned(case):
    """Return an asynchronous case of Twisted as one that runs our reactor until it is over."""

    @wraps(case)
    def run(self):
        reactor, outcome = self.buildReactor(), []

        def begin():
            maybeDeferred(case, self).addBoth(outcome.append).addBoth(lambda _: reactor.stop())

        reactor.callWhenRunning(begin)
        self.runReactor(reactor)
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()

    return run


class OnStreams(tls.ReactorBuilder):
    timeout = SECONDS
    reactorFactory = StreamReactor  # noqa: N815 - Twisted's name, here and below


class StartTLSTests(OnStreams, SynchronousTestCase):
    fillBuffer = False  # noqa: N815 - Twisted's name
    _runTest = old_tls.TLSTests._runTest  # noqa: N815 - Twisted's name
    test_tls = turned(old_tls.TLSTests.test_TLS)
    test_no_tls = turned(old_tls.TLSTests.test_unTLS)
    test_backwards_tls = turned(old_tls.TLSTests.test_backwardsTLS)


class StartTLSBehindMuchTests(StartTLSTests):
    fillBuffer = True  # noqa: N815 - Twisted's name


class TLSConnectionLostTests(OnStreams, old_tls.ContextGeneratingMixin, SynchronousTestCase):
    test_immediate_disconnect = turned(old_tls.ConnectionLostTests.testImmediateDisconnect)
    test_both_sides_lose_connection = turned(old_tls.ConnectionLostTests.test_bothSidesLoseConnection)


class WritingTests(OnStreams, SynchronousTestCase):
    datalen = old_tcp.LargeBufferTests.datalen
    test_writer = turned(old_tcp.WriteDataTests.test_writer)
    test_large_buffer = turned(old_tcp.LargeBufferTests.testWriter)
    test_pause_producing_in_connection_made = turned(old_tcp.PauseProducingTests.test_pauseProducingInConnectionMade)


@pytest.mark.parametrize("builder", LEFT_OUT)
def test_only_cases_that_exist_are_left_out(builder):
    assert set(LEFT_OUT[builder]) < cases(builder)
