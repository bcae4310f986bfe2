"""``[admin]``."""

from __future__ import annotations

import pytest

from tests.config.folder import Folder


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('"/run/mmp.sock"', 'is not "unix:" and an absolute path'),
        ('"unix:control.sock"', 'is not "unix:" and an absolute path'),
        (f'"unix:/{"a" * 107}"', "has a path of more than 107 octets"),
        ("7", 'must be "unix:" and an absolute path'),
    ],
)
def test_a_control_socket_that_cannot_be_is_told(folder: Folder, written, told):
    (mistake,) = folder.mistakes(f'[[listener]]\ntls = "none"\n[admin]\ncontrol = {written}')
    assert mistake.startswith("admin.control: ")
    assert told in mistake


def test_there_need_be_no_control_socket(folder: Folder):
    assert folder.load('[[listener]]\ntls = "none"\n[admin]\ncontrol = ""').config.admin.control_path == ""


def test_the_path_stands_behind_the_word(folder: Folder):
    config = folder.load(f'[[listener]]\ntls = "none"\n[admin]\ncontrol = "unix:/{"a" * 106}"').config
    assert config.admin.control_path == "/" + "a" * 106


@pytest.mark.parametrize("written", ["8080", "127.0.0.1", "localhost:8080", "::1:8080", "[127.0.0.1]:1", "127.0.0.1:0"])
def test_an_http_address_that_is_none_is_told(folder: Folder, written):
    (mistake,) = folder.mistakes(f'[[listener]]\ntls = "none"\n[admin]\nhttp = "{written}"')
    assert mistake.startswith(f'admin.http: "{written}" is not an address and a port')


@pytest.mark.parametrize("written", ["127.0.0.1:8080", "[::1]:8080", "127.9.9.9:1"])
def test_on_loopback_monitoring_needs_no_token(folder: Folder, written):
    config = folder.load(f'[[listener]]\ntls = "none"\n[admin]\nhttp = "{written}"').config
    assert str(config.admin.http_endpoint) == written


@pytest.mark.parametrize("written", ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:8080"])
def test_elsewhere_it_does(folder: Folder, written):
    toml = f'[[listener]]\ntls = "none"\n[admin]\nhttp = "{written}"\n'
    assert folder.mistakes(toml) == [f'admin.token_file: is needed, since http is not on loopback: "{written}"']
    folder.write("token", "sesame\n")
    assert folder.mistakes(toml + 'token_file = "token"') == []
    folder.write("token", "\n")
    assert folder.mistakes(toml + 'token_file = "token"') == [
        "admin.token_file: DIR/token is empty, where a secret should be"
    ]


def test_monitoring_takes_no_listeners_place(folder: Folder):
    toml = '[[listener]]\naddress = "127.0.0.1"\nport = 10143\ntls = "none"\n[admin]\nhttp = "127.0.0.1:10143"'
    assert folder.mistakes(toml) == ["admin.http: 127.0.0.1:10143 is already taken by a listener"]


def test_nor_that_of_a_listener_at_every_address(folder: Folder):
    toml = '[[listener]]\nport = 10143\ntls = "none"\n[admin]\nhttp = "127.0.0.1:10143"'
    assert folder.mistakes(toml) == ["admin.http: 127.0.0.1:10143 is already taken by a listener"]


def test_commands_take_no_listeners_place(folder: Folder):
    toml = '[[listener]]\naddress = "unix:/run/a"\ntls = "none"\n[admin]\ncontrol = "unix:/run/a"'
    assert folder.mistakes(toml) == ["admin.control: unix:/run/a is already taken by a listener"]
