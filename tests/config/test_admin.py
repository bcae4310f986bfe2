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
