"""The rings of front contexts that a configuration needs, as one follows another."""

from mmp.config.clients import TLS
from mmp.config.schema import Config, Listener
from mmp.encryption import key_rings
from mmp.model import TLSMode


def configuration(*settings):
    return Config(listener=tuple(Listener(tls=TLSMode.IMPLICIT, tls_settings=each) for each in settings))


def test_listeners_that_agree_in_what_is_negotiated_share_a_ring():
    made = key_rings(configuration(TLS(), TLS(client_ca="ca"), TLS(certificate="other")), {})
    assert len(made) == 1


def test_what_may_not_hold_on_in_a_resumed_session_has_a_ring_of_its_own():
    others = [TLS(min_version="1.3"), TLS(ciphers="AES128-SHA"), TLS(ciphersuites="TLS_AES_128_GCM_SHA256")]
    assert len(key_rings(configuration(TLS(), *others), {})) == 4


def test_the_next_configuration_goes_on_with_the_rings_that_it_needs_and_no_others():
    (first,) = (before := key_rings(configuration(TLS()), {})).values()
    second = key_rings(configuration(TLS(), TLS(min_version="1.3")), before)
    assert first in second.values()
    assert len(second) == 2
    third = key_rings(configuration(TLS(min_version="1.3")), second)
    assert len(third) == 1
    assert first not in third.values()
    assert first not in key_rings(configuration(TLS()), third).values()


def test_a_listener_without_tls_needs_none():
    assert key_rings(Config(listener=(Listener(tls=TLSMode.NONE),)), {}) == {}
