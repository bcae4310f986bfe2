"""The rings of front contexts that a configuration needs, as one follows another, and the files that workers need."""

import pytest
from attrs import evolve

from mmp.config.clients import TLS
from mmp.config.load import Loaded
from mmp.config.schema import Config, Listener
from mmp.encryption import key_rings, renewal, trust_known, trust_told
from mmp.handover import leave, take
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


# What workers are told of files


def loaded(*settings, port=143, **files):
    listeners = (Listener(tls=TLSMode.IMPLICIT, tls_settings=each, port=port) for each in settings)
    return Loaded("/mmp.toml", Config(listener=tuple(listeners)), files, renewable=tuple(files))


TRUSTING = TLS(certificate="c", private_key="k", client_ca="ca", client_crl="crl")
OLD = loaded(TRUSTING, c=b"old", k=b"old", ca=b"old", crl=b"old")


def test_workers_with_the_same_configuration_are_told_what_has_changed_and_nothing_else():
    assert renewal(OLD, OLD, overtaken=False) == {}
    now = loaded(TRUSTING, c=b"new", k=b"new", ca=b"old", crl=b"old")
    assert renewal(OLD, now, overtaken=False) == {"c": b"new", "k": b"new"}


@pytest.mark.parametrize("overtaken", [False, True])
def test_workers_with_another_configuration_are_told_only_whom_to_trust(overtaken):
    now = loaded(evolve(TRUSTING, min_version="1.3"), c=b"new", k=b"new", ca=b"new", crl=b"old")
    assert renewal(OLD, now, overtaken=overtaken) == {"ca": b"new"}


@pytest.mark.parametrize(
    "now",
    [
        loaded(evolve(TRUSTING, client_ca="other"), other=b"old", ca=b"old"),
        loaded(evolve(TRUSTING, client_crl=""), ca=b"old"),
        loaded(evolve(TRUSTING, client_ca="")),
        loaded(TRUSTING, port=993, c=b"old", k=b"old", ca=b"old", crl=b"old"),
    ],
)
def test_workers_that_are_overtaken_trust_nobody_where_trust_is_by_other_files(now):
    assert renewal(OLD, now, overtaken=False) == {}
    assert renewal(OLD, now, overtaken=True) == {"ca": b"", "crl": b""}


def test_whom_workers_of_another_program_trust_is_known_of_them():
    known = trust_known(take(leave(trust_told(OLD))))
    now = evolve(OLD, config=evolve(OLD.config, workers=7), files={**OLD.files, "ca": b"new"})
    assert renewal(known, now, overtaken=True) == renewal(OLD, now, overtaken=True) == {"ca": b"new"}
    assert renewal(known, loaded(evolve(TRUSTING, client_ca="")), overtaken=True) == {"ca": b"", "crl": b""}
