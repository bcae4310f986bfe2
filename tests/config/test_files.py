from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mmp.config import files
from mmp.config.files import Files
from mmp.demo.certificates import Authority
from tests.config.folder import Folder, certificate_pem, key_pem

FILE_DIRECTORY = '[[listener]]\ntls = "none"\n[directory]\nkind = "file"'
LDAP = '[[listener]]\ntls = "none"\n[directory.ldap]\nbind_dn = "cn=mmp"\nbind_password_file = "secret"'


def test_a_private_key_of_another_certificate_is_a_mistake(folder: Folder):
    folder.pair("other.pem", "other.key")
    assert folder.mistakes('[[listener]]\nprivate_key = "other.key"') == [
        "listener[1].private_key: DIR/other.key does not belong to the first certificate in DIR/tls/mail.pem"
    ]


def test_the_leaf_must_come_first_in_a_chain(folder: Folder):
    folder.pair("ca.pem", "ca.key")
    folder.write("chain.pem", b"".join((folder.path / name).read_bytes() for name in ("ca.pem", "tls/mail.pem")))
    assert folder.mistakes('[[listener]]\ncertificate = "chain.pem"') == [
        "tls.private_key: DIR/tls/mail.key does not belong to the first certificate in DIR/chain.pem"
    ]


TO_STORES = """
[[listener]]
tls = "none"
[backend.imap]
tls = "implicit"
client_certificate = "tls/mail.pem"
private_key = "tls/mail.key"
"""


def test_a_weak_certificate_is_a_mistake_toward_stores_whom_it_could_not_be_shown(folder: Folder):
    """To clients it is shown all the same; toward stores that would weaken what we ask of theirs."""
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the point
    folder.write("tls/mail.key", key_pem(key))
    folder.write("tls/mail.pem", certificate_pem(key))
    assert folder.mistakes("[[listener]]") == []
    assert folder.mistakes(TO_STORES) == [
        "backend.imap.client_certificate: DIR/tls/mail.pem cannot be used: ee key too small"
    ]


def test_a_key_with_a_passphrase_is_a_mistake(folder: Folder):
    key = ec.generate_private_key(ec.SECP256R1())
    folder.write("tls/mail.key", key_pem(key, "hunter2"))
    folder.write("tls/mail.pem", certificate_pem(key))
    assert folder.mistakes("[[listener]]") == [
        "tls.private_key: DIR/tls/mail.key is protected by a passphrase, which nobody could type at start"
    ]


@pytest.mark.parametrize("content", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_without_a_certificate_or_key_is_a_mistake(folder: Folder, content):
    folder.write("tls/mail.pem", content)
    folder.write("tls/mail.key", content)
    assert folder.mistakes("[[listener]]") == [
        "tls.certificate: DIR/tls/mail.pem has no certificate in PEM, or one that cannot be read",
        "tls.private_key: DIR/tls/mail.key has no private key in PEM that can be read",
    ]


def test_a_certificate_that_is_empty_is_needed(folder: Folder):
    assert folder.mistakes('[[listener]]\n[tls]\ncertificate = ""') == ["tls.certificate: is needed"]


def test_each_further_certificate_needs_its_key(folder: Folder):
    toml = '[[listener]]\nsni = [{ certificate = "tls/mail.pem", private_key = "tls/mail.key" }, {}]'
    assert folder.mistakes(toml) == [
        "listener[1].sni[2].certificate: is needed",
        "listener[1].sni[2].private_key: is needed",
    ]


def test_what_we_show_a_store_needs_its_key(folder: Folder):
    toml = '[[listener]]\n[backend.imap]\ntls = "implicit"\nclient_certificate = "tls/mail.pem"'
    assert folder.mistakes(toml) == ["backend.imap.private_key: is needed"]


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_secret_is_a_mistake(folder: Folder, content):
    folder.write("secret", content)
    (mistake,) = folder.mistakes(LDAP)
    assert mistake == "directory.ldap.bind_password_file: DIR/secret is empty, where a secret should be"


@pytest.mark.parametrize(
    ("content", "mistake"),
    [
        (b"users = 5", "users: must be a table"),
        (b"x = [", "is not TOML: Invalid value (at end of document)"),
        (b"\xff", "is not in UTF-8"),
        (b"[users.alice]\nmailHost = 5", "users.alice.mailHost: must be a string or a list of strings"),
    ],
)
def test_a_file_of_users_that_cannot_be_used_is_a_mistake(folder: Folder, content, mistake):
    folder.write("users.toml", content)
    assert folder.mistakes(FILE_DIRECTORY) == [f"directory.file.path: DIR/users.toml: {mistake}"]


def test_a_folder_is_no_file(folder: Folder):
    assert folder.mistakes('[[listener]]\n[tls]\ncertificate = "tls"') == [
        "tls.certificate: cannot read DIR/tls: Is a directory"
    ]


def test_a_named_pipe_is_refused_and_not_waited_for(folder: Folder):
    os.mkfifo(folder.path / "secret")
    assert folder.mistakes(LDAP) == [
        "directory.ldap.bind_password_file: cannot read DIR/secret: it is not a regular file"
    ]


def test_a_device_without_end_is_refused(folder: Folder):
    assert folder.mistakes('[[listener]]\n[tls]\ncertificate = "/dev/zero"') == [
        "tls.certificate: cannot read /dev/zero: it is not a regular file"
    ]


def test_a_file_that_is_too_large_is_refused(folder: Folder, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", 10)
    large = folder.write("large", b"x" * 11)
    with pytest.raises(OSError, match="it has more than 10 bytes"):
        Files().read(str(large))


def test_a_file_is_read_once_so_that_everybody_sees_the_same(folder: Folder):
    reading = Files()
    file = folder.write("x", "before")
    assert reading.read(str(file)) == b"before"
    folder.write("x", "after")
    assert reading.read(str(file)) == b"before"
    assert "before" not in repr(reading)


def test_no_descriptor_stays_open(folder: Folder):
    before = len(list(Path("/proc/self/fd").iterdir()))
    folder.mistakes('[[listener]]\n[tls]\ncertificate = "tls"\nprivate_key = "/dev/zero"')
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("content", [b"a\n\n", b"a\nb", b"a\rb", b"a\0"])
def test_a_password_is_one_line(folder: Folder, content):
    """It would end a header, a line or a string of somebody else's protocol."""
    folder.write("secret", content)
    text = "has a line break or NUL in the middle, where a password of one line should be"
    assert folder.mistakes(LDAP) == [f"directory.ldap.bind_password_file: DIR/secret {text}"]


def test_passwords_need_not_be_utf8_and_keys_are_any_octets(folder: Folder):
    folder.write("password", b"\xff\n")
    folder.write("key", b"\xff\0\n\r\n\n")
    toml = '[[listener]]\ntls = "none"\n[shared]\nurl = "redis://h"\npassword_file = "password"\nkey_file = "key"\n'
    assert folder.mistakes(toml + '[policy]\nurl = "http://h/"\nsecret_file = "password"\nnonce_file = "key"') == []


def _changed(pem: bytes, part: bytes, other: bytes) -> bytes:
    """Return what is in PEM with these octets instead of those."""
    begin, *body, end = pem.splitlines()
    octets = base64.b64decode(b"".join(body))
    assert part in octets
    return b"\n".join((begin, base64.b64encode(octets.replace(part, other)), end, b""))


def test_a_certificate_of_a_version_that_there_is_not_is_a_mistake(folder: Folder):
    pem = (folder.path / "tls/mail.pem").read_bytes()
    folder.write("tls/mail.pem", _changed(pem, b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x09"))
    text = "has no certificate in PEM, or one that cannot be read"
    assert folder.mistakes("[[listener]]") == [f"tls.certificate: DIR/tls/mail.pem {text}"]


def test_a_certificate_that_has_an_extension_twice_is_a_mistake(folder: Folder):
    authority = Authority.make("authority")
    issued = authority.issue(["mail.example.com"])
    basic_constraints, names = b"\x55\x1d\x13", b"\x55\x1d\x11"
    folder.write("tls/mail.pem", _changed(issued.certificate, basic_constraints, names))
    folder.write("tls/mail.key", issued.key)
    text = "has a certificate whose extensions cannot be read"
    assert folder.mistakes("[[listener]]") == [f"tls.certificate: DIR/tls/mail.pem {text}"]
