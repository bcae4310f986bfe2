"""Every option of the older product, file by file: what it becomes here, or why it becomes nothing."""

import tomllib

import pytest

from mmp.cli.main import main
from mmp.config.legacy import SHARED, convert
from mmp.config.legacy_options import OPTIONS

IMAP, POP, SMTP = "ImapProxyAService.cfg", "PopProxyAService.cfg", "SmtpProxyAService.cfg"

CARRIED_OVER = [
    # 1.2: services and connections
    (IMAP, "BacksidePort 1143", "backend.imap.port", 1143),
    (POP, "BacksidePort 1110", "backend.pop3.port", 1110),
    (IMAP, "Timeout 3600", "backend.imap.idle_timeout", "1h"),
    (IMAP, "Timeout 60", "backend.imap.idle_timeout", "30m"),
    (POP, "Timeout 60", "backend.pop3.idle_timeout", "10m"),
    (SMTP, "Timeout 60", "backend.submission.idle_timeout", "10m"),
    (
        SHARED,
        "ConnLimits 10.0.0.0|255.0.0.0:100,0.0.0.0|0.0.0.0:20",
        "limits.per_address",
        [{"network": "10.0.0.0/8", "sessions": 100}, {"network": "0.0.0.0/0", "sessions": 20}],
    ),
    (IMAP, "TCPAccess +imap:10.0.0.0/8$-ALL:*", "access.allow", ["imap,imaps: 10.0.0.0/8"]),
    (IMAP, "TCPAccess +imap:10.0.0.0/8$-ALL:*", "access.deny", ["imap,imaps: ALL"]),
    (POP, "TCPAccess +ALL:192.0.2.7", "access.deny", ["pop,pops: ALL"]),
    (
        SHARED,
        "TCPAccess -pop,smtp:192.0.2.0/24 EXCEPT 192.0.2.7",
        "access.deny",
        [f"{names}: 192.0.2.0/24 EXCEPT 192.0.2.7" for names in ("pop,pops", "smtp,smtps")],
    ),
    (IMAP, "TCPAccessAttr myAccess", "directory.ldap.access_attribute", "myAccess"),
    (IMAP, "ClientLookup yes", "access.reverse_dns", True),
    (SHARED, "NumThreads 4", "workers", 4),
    (SHARED, "LogLevel 3", "log.level", "error"),
    (SHARED, "LogLevel 5", "log.level", "info"),
    (SHARED, "LogLevel 7", "log.level", "debug"),
    # 1.3: directory, identity and routing
    (IMAP, 'LdapUrl "ldaps://a.example b.example:1636/o=internet"', "directory.ldap.domain_root", "o=internet"),
    (
        IMAP,
        'LdapUrl "ldaps://a.example b.example:1636/o=internet"',
        "directory.ldap.urls",
        ["ldaps://a.example", "ldaps://b.example:1636"],
    ),
    (IMAP, 'UserGroupDN "o=usergroup"', "directory.ldap.base", "o=usergroup"),
    (IMAP, 'BindDN "cn=mmp, o=usergroup"', "directory.ldap.bind_dn", "cn=mmp, o=usergroup"),
    (IMAP, "BindPass secret", "directory.ldap.bind_password_file", "secrets/ldap"),
    (IMAP, "HostedDomains no", "directory.ldap.schema", "flat"),
    (IMAP, "HostedDomains 1", "directory.ldap.schema", "1"),
    (IMAP, "DefaultDomain example.com", "login.default_domain", "example.com"),
    (IMAP, "VirtualDomainDelim @+%", "login.domain_separators", "@+%"),
    (IMAP, "SearchFormat uid=%U", "directory.ldap.filter", "(uid=%U)"),
    (IMAP, "SearchFormat (|(uid=%U)(mail=%s))", "directory.ldap.filter", "(|(uid=%U)(mail=%s))"),
    (IMAP, "ReplayFormat %A[uid]@%V", "login.replay_user", "%A[uid]@%V"),
    (IMAP, 'MailHostAttrs "mailHost host"', "directory.ldap.mail_host_attributes", ["mailHost", "host"]),
    (IMAP, "LdapCacheSize 500", "directory.cache_size", 500),
    (IMAP, "LdapCacheTTL 600", "directory.cache_ttl", "10m"),
    # 1.4: authentication
    (IMAP, "PreAuth yes", "login.verify", "directory"),
    (IMAP, "PreAuth 0", "login.verify", "backend"),
    (IMAP, "CRAMs yes", "login.mechanisms", ["PLAIN", "LOGIN", "CRAM-MD5"]),
    (IMAP, "RestrictPlainPasswords no", "login.restrict_plain_passwords", False),
    (IMAP, "plaintextmincipher 128", "login.plaintext_min_cipher", 128),
    (IMAP, "plaintextmincipher -1", "login.plaintext_min_cipher", -1),
    (IMAP, "StoreAdmin admin", "login.admin_user", "admin"),
    (IMAP, "StoreAdminPass secret", "login.admin_password_file", "secrets/storeadmin"),
    (IMAP, "AdminPolicy simple", "login.admin_policy", "simple"),
    (IMAP, "CertMapFile certmap.conf", "tls.certificate_map", "certmap.conf"),
    (IMAP, "BGMax 500", "throttle.table_size", 500),
    (IMAP, "BGPenalty 3", "throttle.penalty", "3s"),
    (IMAP, "BGMaxBadness 90", "throttle.max_penalty", "90s"),
    (IMAP, "BGDecay 900", "throttle.decay", "15m"),
    (IMAP, "BGLinear 1", "throttle.linear", True),
    (IMAP, "BGExcluded 10.0.0.1|255.255.255.255,192.0.2.0|255.255.255.0", "throttle.exempt", None),
    # 1.5: TLS, outages and submission
    (IMAP, "SSLBacksidePort 993", "backend.imap.tls", "implicit"),
    (POP, "SSLBacksidePort 995", "backend.pop3.port", 995),
    (IMAP, 'ServerDownAlert "Back soon."', "outage.imap_alert", "Back soon."),
    (POP, "SpoofMessageFile spoof.txt", "outage.pop3_spoof_message", "spoof.txt"),
    (POP, "SpoofMessageFile spoof.txt", "outage.pop3_spoof", "message"),
    (POP, "SpoofEmptyMailbox 1", "outage.pop3_spoof", "empty"),
    (POP, "SpoofTempFail 1", "outage.pop3_spoof_on_hold", True),
    (SMTP, 'SMTPRelays "relay1:587 relay2:587"', "backend.submission.hosts", ["relay1", "relay2"]),
    (SMTP, 'SMTPRelays "relay1:587 relay2:587"', "backend.submission.port", 587),
    (SMTP, "SMTPRelays relay1", "backend.submission.port", 25),
    (SMTP, "FailoverTimeout 10", "backend.submission.connect_timeout", "10s"),
]
LEFT_OUT = [
    ("Banner hello", "the greeting is fixed"),
    ("Capability IMAP4rev1", "learned from the stores"),
    ("LogDir /var/log", "--logfile"),
    ("CanonicalVirtualDomainDelim @", "%s has an @ always"),
    ("VirtualDomainFile vdmap.cfg", "in the same folder"),
    ("AuthCacheSize 1", "the same as cache_size"),
    ("AuthCacheTTL 1", "the same as cache_ttl"),
    ("LdapRefreshInterval 2100", "replaced every 35 minutes"),
    ("AuthenticationServer 127.0.0.1:56", 'kind = "auth_http"'),
    ("AuthenticationLdapAttributes mail", "told nothing out of the directory"),
    ("AuthService 1", "POP before SMTP is gone"),
    ("AuthServiceTTL 60", "POP before SMTP is gone"),
    ("POPBeforeSMTPKludgeChannel tcp_intranet", "POP before SMTP is gone"),
    *((f"{name} x", "is of NSS") for name in ("SSLCertNicknames", "sslnicknames", "SSLCertPrefix", "SSLKeyPrefix")),
    *((f"{name} x", "is of NSS") for name in ("SSLCertFile", "SSLKeyFile", "SSLSecmodFile", "SSLKeyPasswdFile")),
    ("SSLCacheDir /tmp", "resumed by tickets"),
    ("SSLCipherSpecs all", "OpenSSL's names"),
    ("ssladjustciphersuites -ALL", "OpenSSL's names"),
    ("tlsv12enable 1", "min_version"),
    ("sslv3enable 0", "min_version"),
    ("SMTPProxyPassword secret", "XCLIENT"),
    ("EhloKeywords X", "learned from the relays"),
    ("TCPAccess who knows", 'does not begin with "+" or "-"'),
]


def value(converted, path):
    """Return what a configuration has at a path, None if it has nothing there."""
    for key in path.split("."):
        converted = converted.get(key, {})
    return converted


@pytest.mark.parametrize(("file", "line", "path", "expected"), CARRIED_OVER, ids=[row[1] for row in CARRIED_OVER])
def test_an_option_becomes(file, line, path, expected):
    text = convert({file: f"default:{line}"})
    found = value(tomllib.loads(text), path)
    assert found == (["10.0.0.1/32", "192.0.2.0/24"] if expected is None else expected)
    assert f"# {file}:" not in text


@pytest.mark.parametrize(("line", "reason"), LEFT_OUT, ids=[row[0] for row in LEFT_OUT])
def test_an_option_is_left_out_with_the_reason(line, reason):
    name, _, _ = line.partition(" ")
    (told,) = (each for each in convert({IMAP: f"default:{line}"}).splitlines() if each.startswith(f"# {IMAP}: "))
    assert told.startswith(f"# {IMAP}: default:{name}: ")
    assert reason in told


def test_no_option_is_missing_here():
    listed = {line.split()[0].lower() for _, line, *_ in CARRIED_OVER} | {
        line.split()[0].lower() for line, _ in LEFT_OUT
    }
    assert set(OPTIONS) == listed


def test_rules_of_several_services_about_who_may_connect_stand_together():
    files = {IMAP: "default:TCPAccess -imap:192.0.2.7", POP: "default:TCPAccess -pop:192.0.2.8"}
    assert tomllib.loads(convert(files))["access"]["deny"] == ["imap,imaps: 192.0.2.7", "pop,pops: 192.0.2.8"]


def test_all_of_them_together_are_accepted_once_the_files_are_there(folder, capsys):
    chosen = {}
    for file, line, *_ in CARRIED_OVER:  # the first of each name in each file
        chosen.setdefault((file, line.split()[0]), line)
    for file in (SHARED, IMAP, POP, SMTP):
        lines = [f"default:{line}\n" for (name, _), line in chosen.items() if name == file]
        folder.write(f"old/{file}", "".join(lines))
    ports = '"x/ImapProxyAService@143|993 x/PopProxyAService@110|995 x/SmtpProxyAService@25|587"'
    with (folder.path / f"old/{SHARED}").open("a") as shared:
        shared.write(f"default:ServiceList {ports}\n")
    folder.write("old/vdmap.cfg", "vdmap one 192.0.2.10\none:DefaultDomain one.example\n")
    folder.pair("tls/client-ca.pem", "unused.key")
    for name, text in (
        ("secrets/ldap", "s3cret"),
        ("secrets/storeadmin", "s3cret"),
        ("certmap.conf", "certmap default default\n"),
        ("spoof.txt", "Subject: gone\n\nsoon back\n"),
    ):
        folder.write(name, text)
    assert main(["import-mmp", str(folder.path / "old")]) == 0
    folder.write("mmp.toml", capsys.readouterr().out)
    status = main(["check", str(folder.path / "mmp.toml")])
    assert status == 0, capsys.readouterr()


@pytest.mark.parametrize(
    ("place", "mistake"),
    [
        ("x", 'port: must be a whole number from 1 to 65535, not "x"'),
        ("99999", "port: must be a whole number from 1 to 65535, not 99999"),
        ("9" * 5000, "port: must be a whole number from 1 to 65535, not"),
        ("[::1]:143", 'address: "[::1]" is not an IPv4 or IPv6 address'),
    ],
)
def test_where_nothing_can_listen_is_told_and_left_out(place, mistake):
    written = convert({SHARED: f"default:ServiceList ImapProxyAService@143|{place}"})
    assert f"# {SHARED}: ServiceList: {place}: listener[1].{mistake}" in written
    assert [each["port"] for each in tomllib.loads(written)["listener"]] == [143]
