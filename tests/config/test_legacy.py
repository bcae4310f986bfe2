"""The older product's files become a configuration that is accepted as it is."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.cli.main import main
from mmp.config.legacy import SHARED, convert
from mmp.config.legacy_options import OPTIONS

IMAP, POP = "ImapProxyAService.cfg", "PopProxyAService.cfg"
SHARED_FILE = """
# services
default:ServiceList "/opt/lib/ImapProxyAService@143|993 /opt/lib/PopProxyAService@110|192.0.2.1:995"
default:NumThreads 2
default:LogLevel 5
"""
IMAP_FILE = """
default:LdapUrl "ldap://ldap1.example.com ldap2.example.com:1389/o=internet"
default:UserGroupDN "o=usergroup"
default:BindDN "cn=mmp, o=usergroup"
default:BindPass hunter2
default:DefaultDomain example.com
default:VirtualDomainDelim "@+"
default:SearchFormat (uid=%U)
default:ReplayFormat %A[uid]@%V
default:MailHostAttrs "mailHost host"
default:LdapCacheSize 500
default:LdapCacheTTL 600
default:PreAuth yes
default:CRAMs yes
default:RestrictPlainPasswords yes
default:StoreAdmin admin
default:StoreAdminPass hunter3
default:BacksidePort 1143
default:SSLBacksidePort 0
default:Timeout 60
default:SSLEnable yes
default:SSLPorts 993
default:ConnLimits 10.0.0.0|255.0.0.0:100,0.0.0.0|0.0.0.0:20
default:BGPenalty 3
default:BGExcluded 10.0.0.1|255.255.255.255
default:ServerDownAlert "Back soon."
default:Capability "IMAP4rev1 IDLE"
default:Frobnicate 7
default:TCPAccessAttr access
"""
POP_FILE = """
default:SSLBacksidePort 995
default:SSLEnable no
default:SSLPorts 192.0.2.1:995
default:Timeout 1800
default:DefaultDomain pop.example.com
default:SpoofEmptyMailbox 1
default:LogLevel 7
"""
VDMAP = """
vdmap one 192.0.2.10
one:DefaultDomain one.example
one:PreAuth no
two:DefaultDomain two.example
"""
FILES = {SHARED: SHARED_FILE, IMAP: IMAP_FILE, POP: POP_FILE, "vdmap.cfg": VDMAP}


@pytest.fixture(scope="module")
def converted():
    return tomllib.loads(convert(FILES))


def remarks(files):
    return [line for line in convert(files).splitlines() if line.startswith("#")]


def test_each_service_listens_where_it_did(converted):
    places = [(each["service"], each.get("address"), each["port"], each["tls"]) for each in converted["listener"]]
    assert places == [
        ("imap", None, 143, "starttls"),
        ("imap", None, 993, "implicit"),
        ("pop3", None, 110, "none"),
        ("pop3", "192.0.2.1", 995, "implicit"),
    ]


def test_the_directory_is_the_same(converted):
    assert converted["directory"]["ldap"] == {
        "urls": ["ldap://ldap1.example.com", "ldap://ldap2.example.com:1389"],
        "domain_root": "o=internet",
        "base": "o=usergroup",
        "bind_dn": "cn=mmp, o=usergroup",
        "bind_password_file": "secrets/ldap",
        "filter": "(uid=%U)",
        "mail_host_attributes": ["mailHost", "host"],
        "access_attribute": "access",
        "schema": "1",
    }
    assert (converted["directory"]["cache_size"], converted["directory"]["cache_ttl"]) == (500, "10m")


def test_logins_are_the_same(converted):
    assert converted["login"] == {
        "default_domain": "example.com",
        "domain_separators": "@+",
        "replay_user": "%A[uid]@%V",
        "verify": "directory",
        "mechanisms": ["PLAIN", "LOGIN", "CRAM-MD5"],
        "restrict_plain_passwords": True,
        "admin_user": "admin",
        "admin_password_file": "secrets/storeadmin",
        "default_domains": [{"address": "192.0.2.10", "domain": "one.example"}],
    }


def test_what_one_service_has_to_itself_is_its_listeners(converted):
    assert [each.get("default_domain") for each in converted["listener"]] == [None, None, *["pop.example.com"] * 2]


def test_stores_are_reached_as_they_were(converted):
    assert converted["backend"] == {
        "imap": {"port": 1143, "idle_timeout": "30m"},
        "pop3": {"port": 995, "tls": "implicit", "idle_timeout": "30m"},
    }


def test_limits_and_throttle_are_the_same(converted):
    assert converted["limits"]["per_address"] == [
        {"network": "10.0.0.0/8", "sessions": 100},
        {"network": "0.0.0.0/0", "sessions": 20},
    ]
    assert converted["throttle"] == {"penalty": "3s", "exempt": ["10.0.0.1/32"]}
    assert converted["outage"] == {"imap_alert": "Back soon.", "pop3_spoof": "empty"}


@pytest.mark.parametrize(
    "remark",
    [
        "# ImapProxyAService.cfg: default:Capability: capabilities are learned from the stores",
        "# ImapProxyAService.cfg: default:Frobnicate: is not known",
        "# AService.cfg: default:LogLevel: another service has another value, and there is one for all: 'debug'",
        "# vdmap.cfg: one:PreAuth: give it to a [[listener]] of its own at that address",
        "# vdmap.cfg: two:DefaultDomain: no vdmap has this name",
    ],
)
def test_what_is_not_carried_over_is_told_with_the_reason(remark):
    assert remark in remarks(FILES)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("SearchFormat (uid=%X)", '"%X" that is none of'),
        ("Timeout soon", "'soon' is not a number"),
        ("PreAuth perhaps", "'perhaps' is neither yes nor no"),
        ("ConnLimits /etc/limits:20", "is not of the form IP|MASK"),
        ("LdapUrl ldapi:///", "is not of the form ldap://HOST/DN"),
        ("ReplayFormat %q", "begins none of %s"),
        ("DefaultDomain a..b", "is not a host name"),
        ("SMTPRelays", "names no relay"),
        ("SMTPRelays one:25 two:587", "relays with different ports"),
    ],
)
def test_a_value_that_has_no_meaning_here_is_told_and_left_out(line, reason):
    told = remarks({IMAP: f"default:{line}"})
    assert any(reason in each for each in told), told


def test_no_secret_is_printed():
    assert "hunter" not in convert(FILES)


def test_what_is_printed_is_accepted_once_its_files_are_there(folder, capsys):
    for name, text in FILES.items():
        folder.write(f"old/{name}", text)
    folder.write("old/ImapProxyAService-def.cfg", "default:Frobnicate default")
    assert main(["import-mmp", str(folder.path / "old")]) == 0
    printed = capsys.readouterr().out
    for name in ("secrets/ldap", "secrets/storeadmin"):
        folder.write(name, "hunter2")
    folder.write("mmp.toml", printed)
    status = main(["check", str(folder.path / "mmp.toml")])
    assert status == 0, capsys.readouterr()


def test_a_folder_without_such_files_is_refused(tmp_path, capsys):
    assert main(["import-mmp", str(tmp_path)]) == 1
    assert "no *.cfg" in capsys.readouterr().err


@given(st.lists(st.tuples(st.sampled_from([*OPTIONS, "servicelist", "sslports"]), st.text(max_size=30))))
def test_whatever_the_values_what_is_printed_is_toml(options):
    text = "".join(f"default:{name} {value}\n" for name, value in options)
    tomllib.loads(convert({SHARED: text, IMAP: text, "vdmap.cfg": "vdmap default 1\n" + text}))
