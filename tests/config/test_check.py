from __future__ import annotations

import grp
import os
import pwd
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mmp.config.check import Report, check
from tests.authority import Authority, subject
from tests.config.folder import NOW, Folder, certificate_pem, key_pem

OLD = (
    "TLS older than 1.2 is deprecated (RFC 8996); OpenSSL then takes short keys and weak digests from every client here"
)


def report(folder: Folder, toml: str) -> Report:
    return check(str(folder.write("mmp.toml", toml)), NOW)


def warnings(folder: Folder, toml: str) -> list[str]:
    found = report(folder, toml)
    assert found.mistakes == ()
    return [warning.replace(str(folder.path), "DIR") for warning in found.warnings]


def test_nothing_is_found_in_a_sound_configuration(folder: Folder):
    assert report(folder, "[[listener]]\nport = 1143") == Report()


@pytest.mark.parametrize(("url", "told"), [("memcached://h", True), ("redis://h", False), ("", False)])
def test_that_memcached_carries_no_bans_is_a_warning(folder: Folder, url, told):
    why = "shared.url: memcached carries no bans and no kicks to other hosts, as Redis does: each host has its own"
    assert warnings(folder, f'[[listener]]\nport = 1143\n[shared]\nurl = "{url}"') == [why] * told


def test_ports_that_need_privileges_are_a_note_and_no_warning(folder: Folder):
    found = report(folder, '[[listener]]\nport = 993\n[[listener]]\nport = 1143\n[[listener]]\naddress = "::"')
    assert found.warnings == ()
    assert found.notes == (
        "Ports under 1024 (143, 993): after --uid they can be opened again only with CAP_NET_BIND_SERVICE.",
    )


def test_mistakes_and_warnings_are_told_together(folder: Folder):
    found = report(folder, '[[listener]]\nmin_version = "1.0"\nport = 0')
    assert found.mistakes == ("listener[1].port: must be a whole number from 1 to 65535, not 0",)
    assert found.warnings == (f"listener[1].min_version: {OLD}",)


def test_a_file_that_is_not_there_is_a_mistake(tmp_path):
    assert check(str(tmp_path / "x"), NOW).mistakes == (f"{tmp_path}/x: cannot be read: No such file or directory",)


@pytest.mark.parametrize(
    ("begin", "end", "doubt"),
    [
        (-30, -1, "expired on 2026-11-23"),
        (2, 90, "is not valid before 2026-11-26 12:00 UTC"),
        (-30, 20, "expires on 2026-12-14, in 20 days"),
    ],
)
def test_a_certificate_out_of_time_or_soon_is_a_warning(folder: Folder, begin, end, doubt):
    key = ec.generate_private_key(ec.SECP256R1())
    folder.write("tls/mail.key", key_pem(key))
    pem = certificate_pem(key, begin=NOW + timedelta(days=begin), end=NOW + timedelta(days=end))
    folder.write("tls/mail.pem", pem)
    assert warnings(folder, "[[listener]]") == [f"tls.certificate: DIR/tls/mail.pem: CN=mail.example.com {doubt}"]


def test_a_short_rsa_key_is_a_warning(folder: Folder):
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the point
    folder.write("tls/mail.key", key_pem(key))
    folder.write("tls/mail.pem", certificate_pem(key))
    weak = "CN=mail.example.com is weak: an RSA key of 1024 bits, where 2048 is the least"
    toml = "[[listener]]\n[[listener]]\nport = 993\n[tls]\nmin_version = '1.1'"
    assert warnings(folder, toml) == [f"tls.min_version: {OLD}", f"tls.certificate: DIR/tls/mail.pem: {weak}"]
    assert warnings(folder, "[[listener]]") == [f"tls.certificate: DIR/tls/mail.pem: {weak}"]


@pytest.mark.parametrize("mode", [0o644, 0o602, 0o604])
def test_a_key_or_secret_open_to_everybody_is_a_warning_with_owner_and_mode(folder: Folder, mode):
    (folder.path / "tls/mail.key").chmod(mode)
    folder.write("secret", "hunter2", mode)
    toml = '[[listener]]\n[directory.ldap]\nbind_dn = "cn=mmp"\nbind_password_file = "secret"'
    owner = pwd.getpwuid(os.getuid()).pw_name
    state = f"is open to every user of this machine (mode {mode:04o}, owner {owner}); 0600 would do"
    assert warnings(folder, toml) == [
        f"tls.private_key: DIR/tls/mail.key {state}",
        f"directory.ldap.bind_password_file: DIR/secret {state}",
    ]


def test_a_folder_or_public_file_that_everybody_can_write_is_a_warning_with_owner_and_mode(folder: Folder):
    (folder.path / "tls").chmod(0o777)
    folder.write("tls/mail.pem", (folder.path / "tls/mail.pem").read_bytes(), 0o646)
    owner = pwd.getpwuid(os.getuid()).pw_name
    place = f"DIR/tls is a folder in which every user of this machine can put another file (mode 0777, owner {owner})"
    assert warnings(folder, "[[listener]]") == [
        f"tls.certificate: DIR/tls/mail.pem can be changed by every user of this machine (mode 0646, owner {owner})",
        f"tls.private_key: {place}",
        f"tls.certificate: {place}",
    ]
    (folder.path / "tls").chmod(0o1777)
    assert len(warnings(folder, "[[listener]]")) == 1


def test_a_control_socket_that_everybody_can_put_another_in_place_of_is_a_warning(folder: Folder):
    place = folder.path / "run"
    place.mkdir()
    toml = f'[[listener]]\n[admin]\ncontrol = "unix:{place}/control.sock"'
    for mode, expected in ((0o755, 0), (0o777, 1), (0o1777, 0)):
        place.chmod(mode)
        found = warnings(folder, toml)
        assert len(found) == expected
        assert all(each.startswith("admin.control: DIR/run is a folder in which every user of") for each in found)
    assert warnings(folder, "[[listener]]\n[admin]\ncontrol = ''") == []


def test_a_configuration_that_everybody_can_write_is_a_warning(folder: Folder):
    path = folder.write("mmp.toml", "[[listener]]", 0o602)
    (found,) = check(str(path), NOW).warnings
    assert found.startswith(f"{path}: {path} can be changed by every user of this machine (mode 0602, owner ")


def test_users_passwords_are_not_for_everybody_to_read(folder: Folder):
    folder.write("users.toml", "", 0o604)
    (found,) = warnings(folder, '[[listener]]\n[directory]\nkind = "file"')
    assert found.startswith("directory.file.path: DIR/users.toml is open to every user of this machine (mode 0604")


def test_suites_that_openssl_does_not_have_are_named(folder: Folder):
    toml = '[[listener]]\n[tls]\nciphers = "ECDHE+AESGCM:RC4-SHA:DES-CBC3-SHA,FROBNICATE:!aNULL:-kRSA:@STRENGTH"'
    nothing = "is nothing that OpenSSL has here, or has any more"
    assert warnings(folder, toml) == [
        f'tls.ciphers: "{name}" {nothing}' for name in ("RC4-SHA", "DES-CBC3-SHA", "FROBNICATE")
    ]


def test_how_soon_an_end_is_worth_a_word_is_for_the_configuration_to_say(folder: Folder):
    assert warnings(folder, '[[listener]]\n[tls]\nexpiry_warning = "100d"') == [
        "tls.certificate: DIR/tls/mail.pem: CN=mail.example.com expires on 2027-02-22, in 90 days"
    ]


STAPLED = '[[listener]]\n[tls]\nocsp_staple = "staple"'


def test_a_staple_that_will_not_be_sent_is_a_warning(folder: Folder):
    root = Authority.make("Root")
    issued, other = (root.issue(subject(CN="mail.example"), days=300) for _ in range(2))
    folder.write("tls/mail.pem", issued.pem)
    folder.write("tls/mail.key", issued.key_pem)
    folder.write("staple", root.staple(issued, days=300))
    assert warnings(folder, STAPLED) == []
    folder.write("staple", root.staple(other, days=300))
    assert warnings(folder, STAPLED) == ["tls.ocsp_staple: DIR/staple is not about the certificate in DIR/tls/mail.pem"]
    folder.write("staple", root.staple(issued, days=-9))
    (found,) = check(str(folder.write("mmp.toml", STAPLED)), datetime.now(UTC)).warnings
    assert "/staple was good until " in found


def test_a_staple_that_cannot_be_read_is_a_mistake(folder: Folder):
    folder.write("staple", "nonsense")
    found = report(folder, STAPLED).mistakes
    assert found == (f"tls.ocsp_staple: {folder.path}/staple has no OCSP response in DER that can be read",)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_a_key_open_to_its_group_is_fine(folder: Folder, mode):
    (folder.path / "tls/mail.key").chmod(mode)
    assert warnings(folder, "[[listener]]") == []


@pytest.mark.parametrize("name", ["tls/mail.key", "tls/mail.pem", "mmp.toml"])
def test_what_a_group_can_write_is_a_warning_with_owner_group_and_mode(folder: Folder, name):
    path = folder.write("mmp.toml", "[[listener]]")
    (folder.path / name).chmod(0o660)
    owner, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    (found,) = check(str(path), NOW).warnings
    told = f"can be changed by the members of a group (mode 0660, owner {owner}, group {group})"
    assert found.endswith(f"{folder.path / name} {told}")


NOBODY = "listener[1]: nobody can log in here, since under these rules no password is taken"


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ('tls = "none"', [NOBODY]),
        ('tls = "none"\nrestrict_plain_passwords = false', []),
        ('tls = "none"\nrestrict_plain_passwords = false\nplaintext_min_cipher = -1', [NOBODY]),
        ('tls = "none"\nplaintext_min_cipher = 0', [NOBODY]),
        ('tls = "starttls"\nplaintext_min_cipher = -1', [NOBODY]),
        ('tls = "implicit"', []),
        ('tls = "starttls"\nplaintext_min_cipher = 256', []),
    ],
)
def test_a_listener_where_nobody_can_ever_log_in_is_a_warning(folder: Folder, toml, expected):
    assert warnings(folder, f"[[listener]]\n{toml}") == expected


def test_believing_everybody_about_addresses_is_a_warning(folder: Folder):
    assert warnings(folder, "[[listener]]\nproxy_protocol_from = ['10.0.0.0/8', '::/0']") == [
        'listener[1].proxy_protocol_from[2]: "::/0" is everybody, and so anybody may say any address here'
    ]


def test_trust_that_is_not_used_is_a_warning(folder: Folder):
    toml = '[[listener]]\n[backend.imap]\nca = "x"\nclient_certificate = "x"\n[directory.ldap]\nca = "x"'
    assert warnings(folder, toml) == [
        "directory.ldap.ca: is not used: no server is asked in TLS",
        'backend.imap.ca: is not used: stores are reached with tls = "none"',
        'backend.imap.client_certificate: is not used: stores are reached with tls = "none"',
    ]


CERTIFIED = """
[[listener]]
[tls]
client_ca = "ca.pem"
client_crl = "crl.pem"
[login]
admin_user = "admin"
admin_password_file = "admin"
"""


def test_an_authority_without_a_list_of_its_own_is_a_warning(folder: Folder):
    one, other = Authority.make("One"), Authority.make("Other")
    folder.write("admin", "secret")
    folder.write("ca.pem", one.pem + other.pem)
    folder.write("crl.pem", one.revoke() + other.revoke())
    path = str(folder.write("mmp.toml", CERTIFIED))
    assert check(path, datetime.now(UTC)).warnings == ()
    folder.write("crl.pem", one.revoke() + other.revoke(days=-1))
    why = f"tls.client_crl: {folder.path}/crl.pem has no list of CN=Other that is not out of date"
    assert check(path, datetime.now(UTC)).warnings == (why,)
    folder.write("crl.pem", one.revoke())
    assert check(path, datetime.now(UTC)).warnings == (why,)


def test_a_listener_for_certificates_alone_lets_somebody_in(folder: Folder):
    folder.write("admin", "secret")
    folder.write("ca.pem", Authority.make("One").pem)
    folder.write("crl.pem", "")
    alone = CERTIFIED.replace('client_crl = "crl.pem"', "").replace("[login]", "[login]\nplaintext_min_cipher = -1")
    assert report(folder, alone).mistakes == ()
    assert warnings(folder, alone) == []


def test_what_makes_certificates_of_clients_useful_has_to_be_there(folder: Folder):
    folder.write("ca.pem", Authority.make("One").pem)
    folder.write("crl.pem", "nonsense")
    folder.write("map", "certmap a CN=x\na:DNComps")
    toml = '[[listener]]\n[tls]\nclient_ca = "ca.pem"\nclient_crl = "crl.pem"\ncertificate_map = "map"'
    why = "is needed for EXTERNAL, which leaves us no password to say to the store"
    assert [mistake.replace(str(folder.path), "DIR") for mistake in report(folder, toml).mistakes] == [
        f"login.admin_user: {why}",
        f"login.admin_password_file: {why}",
        "tls.client_crl: DIR/crl.pem has no revocation list in PEM, or one that cannot be read",
        "tls.certificate_map: DIR/map: certmap a: with an empty DNComps and no FilterComps every entry would match",
    ]
    assert report(folder, '[[listener]]\n[tls]\nclient_certificate = "require"').mistakes == (
        "tls.client_ca: is needed, since client_certificate is given",
    )


def test_to_be_known_by_a_certificate_takes_one_and_tls(folder: Folder):
    folder.pair("own.pem", "own.key")
    known = '[[listener]]\n[directory.ldap]\nbind = "external"\n'
    shown = 'client_certificate = "own.pem"\nprivate_key = "own.key"\n'
    why = 'directory.ldap.bind: "external" needs client_certificate, and TLS to show it in'
    assert report(folder, known).mistakes == (why,)
    assert report(folder, known + shown).mistakes == (why,)
    assert report(folder, known + shown + "start_tls = true").mistakes == ()
    assert report(folder, known + shown.replace("own.key", "none") + "start_tls = true").mistakes == (
        f"directory.ldap.private_key: cannot read {folder.path}/none: No such file or directory",
    )
    folder.write("secret", "secret")
    both = 'start_tls = true\nbind_dn = "cn=x"\nbind_password_file = "secret"'
    assert report(folder, known + shown + both).mistakes == (
        'directory.ldap.bind_dn: has no meaning with bind = "external"',
    )


def test_a_file_of_bans_that_everybody_can_put_a_link_in_place_of_is_a_warning(folder: Folder):
    place = folder.path / "run"
    place.mkdir()
    place.chmod(0o777)
    (found,) = warnings(folder, f'[[listener]]\n[admin]\nstate = "{place}/state"')
    assert found.startswith("admin.state: DIR/run is a folder in which every user of")
