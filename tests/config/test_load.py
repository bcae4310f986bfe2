from __future__ import annotations

import os
import pickle
from ipaddress import ip_network

import pytest
from attrs import evolve

from mmp.config.clients import TLS, Login
from mmp.config.directory import Directory
from mmp.config.files import read_secret
from mmp.config.load import load
from mmp.config.operators import Log
from mmp.config.schema import Config
from mmp.config.stores import Backend
from mmp.errors import ConfigError
from mmp.model import Endpoint, Service, TLSMode
from tests.config.folder import Folder


def test_one_empty_listener_is_a_whole_configuration(folder: Folder):
    config = folder.load("[[listener]]").config
    (listener,) = config.listener
    assert (listener.service, listener.tls) == (Service.IMAP, TLSMode.STARTTLS)
    assert listener.endpoint == Endpoint("0.0.0.0", 143)  # noqa: S104 - the documented default
    assert (config.login, config.backend, config.log) == (Login(), Backend(), Log())
    assert config.backend.reaching(Service.IMAP) == config.backend.imap


def test_values_come_as_what_they_mean(folder: Folder):
    config = folder.load("""
        drain_timeout = "12h"
        shutdown_grace = "500ms"
        [[listener]]
        address = "::0"
        port = 993
        tls = "implicit"
        [backend]
        networks = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]
        source_address = "2001:DB8::1"
    """).config
    assert (config.drain_timeout, config.shutdown_grace) == (43200, 0.5)
    assert config.listener[0].address == "::"
    assert config.listener[0].tls is TLSMode.IMPLICIT
    assert config.backend.networks == (
        ip_network("10.0.0.0/8"),
        ip_network("2001:db8::/32"),
        ip_network("192.0.2.1/32"),
    )
    assert config.backend.source_address == "2001:db8::1"


def test_a_listener_has_the_common_tables_with_what_it_gives_itself(folder: Folder):
    config = folder.load("""
        [[listener]]
        tls = "none"
        [[listener]]
        tls = "none"
        port = 1143
        default_domain = "two.example"
        min_version = "1.3"
        cache_ttl = "1m"
        ldap = { base = "ou=two" }
        [tls]
        key_period = "1h"
        [login]
        default_domain = "one.example"
        max_failures = 5
        [directory.ldap]
        base = "ou=one"
        filter = "(mail=%s)"
    """).config
    one, two = config.listener
    assert (one.login, one.tls_settings, one.directory) == (config.login, config.tls, config.directory)
    assert two.login == evolve(config.login, default_domain="two.example")
    assert two.tls_settings == evolve(config.tls, min_version="1.3")
    assert two.directory == evolve(config.directory, cache_ttl=60, ldap=evolve(config.directory.ldap, base="ou=two"))
    assert (two.login.max_failures, two.directory.ldap.filter, two.tls_settings.key_period) == (5, "(mail=%s)", 3600)


def test_file_names_are_relative_to_the_configuration_wherever_we_are(folder: Folder, tmp_path, monkeypatch):
    folder.pair("b.pem", "b.key")
    folder.write("mmp.toml", '[[listener]]\nsni = [{ certificate = "b.pem", private_key = "./b.key" }]')
    monkeypatch.chdir(tmp_path.parent)
    loaded = load(os.path.relpath(tmp_path / "mmp.toml"))
    assert loaded.path == str(tmp_path / "mmp.toml")
    settings = loaded.config.listener[0].tls_settings
    assert settings.certificate == str(tmp_path / "tls/mail.pem")
    assert settings.sni[0].private_key == str(tmp_path / "b.key")
    assert loaded.config.directory.ldap.ca == ""
    names = ("tls/mail.pem", "tls/mail.key", "b.pem", "b.key")
    assert loaded.files == {str(tmp_path / name): (tmp_path / name).read_bytes() for name in names}


def test_an_absolute_file_name_stays_as_it_is(folder: Folder, tmp_path_factory):
    other = Folder(tmp_path_factory.mktemp("other"))
    users = other.write("users.toml", '[users."a@b.example"]\nmailHost = "store"')
    loaded = folder.load(f'[[listener]]\ntls = "none"\n[directory]\nkind = "file"\n[directory.file]\npath = "{users}"')
    assert loaded.config.listener[0].directory.file.path == str(users)
    assert loaded.files == {str(users): users.read_bytes()}


def test_files_that_are_not_in_use_need_not_exist(folder: Folder):
    loaded = folder.load("""
        [[listener]]
        tls = "none"
        [tls]
        certificate = "missing"
        [backend.imap]
        ca = "missing"
        [directory.ldap]
        ca = "missing"
    """)
    assert loaded.files == {}


def test_every_kind_of_file_is_read_once(folder: Folder):
    folder.pair("ca.pem", "ca.key")
    folder.write("secret", "hunter2\n")
    loaded = folder.load("""
        [[listener]]
        [[listener]]
        port = 993
        tls = "implicit"
        [directory.ldap]
        start_tls = true
        ca = "ca.pem"
        bind_dn = "cn=mmp"
        bind_password_file = "secret"
        [backend.imap]
        tls = "starttls"
        ca = "ca.pem"
        client_certificate = "ca.pem"
        private_key = "ca.key"
    """)
    names = {os.path.relpath(name, folder.path) for name in loaded.files}
    assert names == {"tls/mail.pem", "tls/mail.key", "ca.pem", "ca.key", "secret"}
    assert read_secret(loaded.files[loaded.config.directory.ldap.bind_password_file]) == b"hunter2"


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"a", b"a"),
        (b"a\n", b"a"),
        (b"a\r\n", b"a"),
        (b"a\n\n", b"a\n"),
        (b" a ", b" a "),
        (b"\xff\x00\n", b"\xff\x00"),
    ],
)
def test_one_newline_at_the_end_is_not_part_of_a_secret(content, secret):
    assert read_secret(content) == secret


def test_neither_the_configuration_nor_what_is_shown_of_it_has_what_is_in_the_files(folder: Folder):
    folder.write("secret", "hunter2")
    loaded = folder.load("""
        [[listener]]
        [directory.ldap]
        bind_dn = "cn=mmp"
        bind_password_file = "secret"
    """)
    assert "hunter2" not in repr(loaded)
    assert b"hunter2" not in pickle.dumps(loaded.config)
    assert "PRIVATE KEY" not in repr(loaded)
    assert b"PRIVATE KEY" not in pickle.dumps(loaded.config)


def test_what_was_loaded_survives_pickling(folder: Folder):
    loaded = folder.load('[[listener]]\n[backend]\nnetworks = ["10.0.0.0/8"]')
    again = pickle.loads(pickle.dumps(loaded))  # noqa: S301 - our own
    assert again == loaded
    assert hash(again.config) == hash(loaded.config)


def test_the_file_itself_may_be_missing(tmp_path):
    with pytest.raises(ConfigError) as raised:
        load(str(tmp_path / "none.toml"))
    assert raised.value.mistakes == (f"{tmp_path}/none.toml: cannot be read: No such file or directory",)


def test_defaults_are_the_same_for_a_table_alone_and_in_the_whole():
    config = Config()
    assert (config.tls, config.login, config.directory) == (TLS(), Login(), Directory())


def test_every_service_may_tell_the_client_in_a_proxy_header(folder: Folder):
    for service in Service:
        for way in ("proxy-v1", "proxy-v2"):
            toml = f'[[listener]]\nservice = "{service.value}"\n[backend.{service.value}]\nclient_address = "{way}"'
            assert folder.load(toml).config.backend.reaching(service).client_address == way


def test_tables_are_found_by_the_names_that_the_operator_gave_them(folder: Folder):
    config = folder.load("""
        [[listener]]
        tls = "none"
        [pool.one]
        hosts = ["store1", "store2"]
        [pool.two-b]
        hosts = ["store3"]
    """).config
    assert {name: pool.hosts for name, pool in config.pool.items()} == {
        "one": ("store1", "store2"),
        "two-b": ("store3",),
    }


def test_a_byte_order_mark_is_passed_over(folder: Folder):
    folder.write("users.toml", b"\xef\xbb\xbf[users.alice]\n")
    loaded = folder.load(b'\xef\xbb\xbfworkers = 3\n[[listener]]\ntls = "none"\n[directory]\nkind = "file"')
    assert loaded.config.workers == 3


def test_an_address_of_ipv4_that_is_written_as_ipv6_is_ipv4(folder: Folder):
    """No socket of ours could be bound to it, and no client is known to have reached it."""
    config = folder.load("""
        [login]
        default_domains = [{ address = "::ffff:192.0.2.2", domain = "a" }]
        [admin]
        http = "[::ffff:127.0.0.1]:8080"
        [[listener]]
        address = "::ffff:192.0.2.1"
        tls = "none"
    """).config
    assert config.listener[0].endpoint == Endpoint("192.0.2.1", 143)
    assert config.login.default_domains[0].address == "192.0.2.2"
    assert config.admin.http_endpoint == Endpoint("127.0.0.1", 8080)
