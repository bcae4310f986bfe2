from __future__ import annotations

import sys

import pytest

from mmp.config.values import allowed
from mmp.model import Service
from tests.config.folder import Folder

LISTENER = '[[listener]]\ntls = "none"\n'

VALUES = [
    ('hostname = "a b"', 'hostname: "a b" is not a host name'),
    ('hostname = "mail\\nx"', 'hostname: "mail\\nx" has characters that cannot be printed'),
    ('hostname = ""', 'hostname: "" is not a host name'),
    ("workers = true", "workers: must be a whole number from 0 to 1024, not true"),
    ("workers = 1.0", "workers: must be a whole number from 0 to 1024, not 1.0"),
    ("workers = -1", "workers: must be a whole number from 0 to 1024, not -1"),
    ('workers = "4"', 'workers: must be a whole number from 0 to 1024, not "4"'),
    ("workers = 1979-05-27", "workers: must be a whole number from 0 to 1024, not a date or time"),
    ("shutdown_grace = 30", 'shutdown_grace: must be a duration such as "500ms", "90s" or "15m", not 30'),
    ('shutdown_grace = "30"', 'shutdown_grace: "30" needs a number and a unit (ms, s, m, h or d), as in "90s"'),
    ('drain_timeout = "x"', 'drain_timeout: "x" needs a number and a unit (ms, s, m, h or d), as in "90s"'),
    ("tls = 5", "tls: must be a table, not 5"),
    ("login = [1]", "login: must be a table, not a list"),
    ('tls.min_version = "1.4"', 'tls.min_version: must be "1.0", "1.1", "1.2" or "1.3", not "1.4"'),
    ("tls.min_version = 1.2", 'tls.min_version: must be "1.0", "1.1", "1.2" or "1.3", not 1.2'),
    ('tls.key_period = "500ms"', 'tls.key_period: "500ms" is too short; at least "1s" is needed'),
    ('tls.ciphers = "nonsense"', 'tls.ciphers: "nonsense" cannot be used: no cipher match'),
    (
        'tls.ciphersuites = "TLS_AES_128_GCM_SHA256:TLS_X"',
        (
            'tls.ciphersuites: "TLS_AES_128_GCM_SHA256:TLS_X" has "TLS_X", which is none of TLS_AES_128_GCM_SHA256, '
            "TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256, TLS_AES_128_CCM_SHA256, TLS_AES_128_CCM_8_SHA256"
        ),
    ),
    (
        "tls.certificate = 1",
        "tls.certificate: must be a file's name, relative to the configuration file's folder, not 1",
    ),
    ("tls.sni = [1]", "tls.sni[1]: must be a table, not 1"),
    ("tls.sni = [{}, {x = 1}]", "tls.sni[2].x: unknown key; known here are certificate, private_key"),
    ('login.mechanisms = "PLAIN"', 'login.mechanisms: must be a list, not "PLAIN"'),
    (
        'login.mechanisms = ["PLAIN", "plain"]',
        (
            'login.mechanisms[2]: "plain" is no mechanism that we have, which are '
            "PLAIN, LOGIN, XOAUTH2, OAUTHBEARER, SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5, EXTERNAL"
        ),
    ),
    ("login.mechanisms = []", "login.mechanisms: is empty; at least one is needed"),
    ('login.mechanisms = ["PLAIN", "PLAIN"]', "login.mechanisms: names a mechanism twice"),
    ('login.restrict_plain_passwords = "yes"', 'login.restrict_plain_passwords: must be true or false, not "yes"'),
    ("login.restrict_plain_passwords = 1", "login.restrict_plain_passwords: must be true or false, not 1"),
    ("login.plaintext_min_cipher = -2", "login.plaintext_min_cipher: must be a whole number from -1 to 256, not -2"),
    ('login.verify = "store"', 'login.verify: must be "backend" or "directory", not "store"'),
    ('login.admin_policy = "all"', 'login.admin_policy: must be "simple" or "group", not "all"'),
    (
        'login.admin_group = "cn=admins"',
        'login.admin_group: has no meaning without admin_policy = "group"',
    ),
    (
        'login.admin_group = "admins"',
        'login.admin_group: "admins" is not a distinguished name, such as "dc=example,dc=com"',
    ),
    ('login.admin_user = "a\\n"', 'login.admin_user: "a\\n" has characters that cannot be printed'),
    (
        'login.admin_user = "admin"\nlogin.verify = "directory"',
        'login.admin_password_file: is needed with verify = "directory", to judge admin_user by',
    ),
    (
        'login.admin_user = "admin"\nlogin.mechanisms = ["PLAIN", "CRAM-MD5"]',
        "login.admin_password_file: is needed for CRAM-MD5, which leaves us no password to say to the store",
    ),
    (
        'login.admin_user = "admin"\nlogin.mechanisms = ["SCRAM-SHA-1"]\nlogin.verify = "directory"',
        "login.admin_password_file: is needed for SCRAM-SHA-1, which leaves us no password to say to the store",
    ),
    ('login.deadline = "0s"', 'login.deadline: "0s" is no time at all; at least "1ms" is needed'),
    ("login.max_failures = 0", "login.max_failures: must be a whole number from 1 to 10000000, not 0"),
    ('login.default_domain = "@x"', 'login.default_domain: "@x" is not a host name'),
    (
        'login.domain_separators = ""',
        'login.domain_separators: "" must be one or more characters other than letters, digits and blanks',
    ),
    (
        'login.replay_user = "%U%x"',
        'login.replay_user: "%U%x" has a "%" that begins none of %s, %o, %U, %V and %A[attribute]',
    ),
    (
        'login.replay_user = "%A[a b]"',
        'login.replay_user: "%A[a b]" has a "%" that begins none of %s, %o, %U, %V and %A[attribute]',
    ),
    ('login.replay_user = ""', 'login.replay_user: "" is empty: the store would be told no name'),
    (
        'directory.kind = "redis"',
        """directory.kind: "redis" is none of "ldap", "file" and "auth_http", nor a plug-in's name""",
    ),
    ("directory.ldap.urls = []", "directory.ldap.urls: is empty; at least one is needed"),
    (
        'directory.ldap.urls = ["ldap://h", "http://h"]',
        'directory.ldap.urls[2]: "http://h" is not of the form "ldap://HOST:PORT" or "ldaps://HOST:PORT"',
    ),
    (
        "directory.ldap.mail_host_attributes = []",
        "directory.ldap.mail_host_attributes: is empty; at least one is needed",
    ),
    (
        'directory.ldap.mail_host_attributes = ["mail host"]',
        'directory.ldap.mail_host_attributes[1]: "mail host" is not an attribute\'s name',
    ),
    (
        'directory.ldap = {referral_urls = ["ldap://h"]}',
        "directory.ldap.referral_urls: has no meaning without referrals = true",
    ),
    (
        'directory.ldap = {urls = ["ldap://h"], referrals = true, referral_urls = ["ldaps://i"], start_tls = true}',
        'directory.ldap.start_tls: cannot be true with "ldaps://i", which is TLS from its beginning',
    ),
    (
        'directory.ldap = {urls = ["ldaps://h"], start_tls = true}',
        'directory.ldap.start_tls: cannot be true with "ldaps://h", which is TLS from its beginning',
    ),
    (
        'directory.ldap.base = "example.com"',
        'directory.ldap.base: "example.com" is not a distinguished name, such as "dc=example,dc=com"',
    ),
    ('directory.ldap.bind_dn = "cn=x"', "directory.ldap.bind_password_file: is needed, since bind_dn is given"),
    (
        'directory.ldap.schema = "3"',
        'directory.ldap.schema: must be "flat", "1" or "2", not "3"',
    ),
    ('directory.kind = "auth_http"', "directory.auth_http.url: is needed"),
    (
        'directory = { kind = "auth_http", auth_http = { url = "ftp://x" } }',
        'directory.auth_http.url: "ftp://x" is not of the form "http://HOST:PORT/PATH" or "https://HOST:PORT/PATH"',
    ),
    (
        'directory = { kind = "auth_http", auth_http = { url = "http://x" } }\nlogin.mechanisms = ["SCRAM-SHA-256"]',
        'login.mechanisms: SCRAM-SHA-256 shows no password that kind = "auth_http" could ask by',
    ),
    (
        'directory.auth_http.secret_header = "X Key"',
        'directory.auth_http.secret_header: "X Key" is not the name of a header field',
    ),
    (
        'login.default_domains = [{ address = "192.0.2.1" }]',
        "login.default_domains[1].domain: is needed",
    ),
    (
        'login.default_domains = [{ domain = "example.com" }]',
        "login.default_domains[1].address: is needed",
    ),
    (
        'login.default_domains = [{ address = "::1", domain = "a" }, { address = "::0001", domain = "b" }]',
        "login.default_domains: names an address twice",
    ),
    ("pool = 5", "pool: must be a table, not 5"),
    ("pool.a = 5", "pool.a: must be a table, not 5"),
    (
        'limits.observe = ["per_adress"]',
        (
            'limits.observe[1]: must be "sessions", "per_address", "per_user", "per_backend", '
            '"connections_per_minute", "logins_per_minute", "messages_per_hour" or "recipients_per_hour", '
            'not "per_adress"'
        ),
    ),
    (
        'limits.per_address = [{ network = "10.0.0.0/8", prefix = 64 }]',
        "limits.per_address[1].prefix: 64 is too long; addresses in 10.0.0.0/8 have 32 bits",
    ),
    (
        'limits.per_address = [{ network = "10.0.0.0/8", prefix = 4 }]',
        "limits.per_address[1].prefix: 4 is shorter than that of 10.0.0.0/8, all of which would count as one",
    ),
    (
        "limits.mails = 5",
        (
            "limits.mails: unknown key; known here are observe, sessions, per_address, per_user, per_backend, "
            "connections_per_minute, logins_per_minute, messages_per_hour, recipients_per_hour"
        ),
    ),
    ('access.deny = ["imap"]', 'access.deny[1]: "imap" has no ":" between services and clients'),
    (
        'access.deny = ["ALL: 10.0.0.0/8", "imap: .example.com"]',
        "access.deny[2]: has a host name, for which reverse_dns = true is needed",
    ),
    ('throttle.mode = "off"', 'throttle.mode: must be "enforce" or "observe", not "off"'),
    ("pool.a = {}", "pool.a.hosts: is empty; at least one is needed"),
    ('pool.a.hosts = ["b", "B"]', "pool.a.hosts: names a host twice"),
    ('pool.a.host = ["b"]', "pool.a.host: unknown key; did you mean hosts?"),
    ('pool."a b".hosts = ["b"]', 'pool."a b": is named with something else than letters, digits, - and _'),
    (
        'directory.ldap.domain_root = ""',
        'directory.ldap.domain_root: "" is not a distinguished name, such as "o=internet"',
    ),
    (
        'backend.networks = ["10.0.0.1/8"]',
        (
            'backend.networks[1]: "10.0.0.1/8" is not a network, such as "10.0.0.0/8" or "2001:db8::/32"; '
            'did you mean "10.0.0.0/8"?'
        ),
    ),
    ('backend.networks = ["x"]', 'backend.networks[1]: "x" is not a network, such as "10.0.0.0/8" or "2001:db8::/32"'),
    (
        'backend.source_address = "localhost"',
        'backend.source_address: "localhost" is not an IPv4 or IPv6 address, such as "0.0.0.0" or "::"',
    ),
    (
        'backend.imap.idle_timeout = "29m"',
        'backend.imap.idle_timeout: "29m" is too short; "30m" is the least that the standard allows',
    ),
    ('shared.lease = "500ms"', 'shared.lease: "500ms" is too short; at least "1s" is needed'),
    ('shared.prefix = "a:b"', 'shared.prefix: "a:b" is not 1 to 32 letters, digits, dots and dashes'),
    ('outage.pop3_spoof = "message"', "outage.pop3_spoof_message: is needed"),
    ("backend.imap.port = 65536", "backend.imap.port: must be a whole number from 1 to 65535, not 65536"),
    (
        'backend.imap.client_address = "ip"',
        'backend.imap.client_address: must be "none", "id", "xclient", "proxy-v1" or "proxy-v2", not "ip"',
    ),
    ('outage.imap_alert = "Störung"', 'outage.imap_alert: "Störung" is not a line of at most 400 characters of ASCII'),
    (
        'backend.imap.hosts = ["a"]',
        "backend.imap.hosts: is for submission alone: elsewhere the user's mailHost is the store",
    ),
    ('backend.imap.hosts = ["a b"]', 'backend.imap.hosts[1]: "a b" is not a host name'),
    ('backend.imap.client_address = "xclient"', 'backend.imap.client_address: imap has no "xclient", but "id"'),
    ('log.level = "loud"', 'log.level: must be "debug", "info", "warn" or "error", not "loud"'),
]


@pytest.mark.parametrize(("toml", "mistake"), VALUES)
def test_a_wrong_value_is_told_with_its_path_and_what_is_allowed(folder: Folder, toml, mistake):
    assert folder.mistakes(f"{toml}\n{LISTENER}") == [mistake]


@pytest.mark.parametrize(("url", "mistakes"), [("redis://h", 1), ("rediss://h", 1), ("memcached://h", 0), ("", 0)])
def test_redis_needs_a_package_that_may_be_missing(folder: Folder, monkeypatch, url, mistakes):
    monkeypatch.setitem(sys.modules, "txredisapi", None)
    told = "shared.url: needs the Python package txredisapi, which is not here: pip install 'mmp[redis]'"
    text = f'shared.url = "{url}"\n{LISTENER}'
    if mistakes:
        assert folder.mistakes(text) == [told]
    else:
        folder.load(text)


@pytest.mark.parametrize(
    "url",
    ["redis://", "http://h", "redis://u:secret@h", "redis://h:0", "redis://h/x", "redis://h?x", "memcached://h/1", "h"],
)
def test_the_url_of_a_shared_store_has_no_password_in_it(folder: Folder, url):
    (mistake,) = folder.mistakes(f'shared.url = "{url}"\n{LISTENER}')
    assert mistake.startswith(f'shared.url: "{url.replace("u:secret", "***")}" is not of the form ')


@pytest.mark.parametrize(
    "url",
    ["redis://:s/e:c@ret@h", f"http://{'u' * 70}:secret@h", "redis://secret@h?x", "x://s@", r"redis://u:a\nsecret@h"],
)
@pytest.mark.parametrize("key", ["shared.url", "policy.url", "directory.auth_http.url", "hostname", "workers"])
def test_a_password_in_a_url_is_not_repeated(folder: Folder, key, url):
    (mistake,) = folder.mistakes(f'{key} = "{url}"\n{LISTENER}')
    assert "://***@" in mistake
    assert "ret" not in mistake


@pytest.mark.parametrize(
    "url",
    [
        "ldap://",
        "ldap:",
        "ldap://h:0",
        "ldap://h:x",
        "ldap://h:65536",
        "ldap://h/dc=x",
        "ldap://u@h",
        "ldap://h?x",
        "h",
        "ldapi://%2Frun%2Fslapd",
        "ldap://[::1",
    ],
)
def test_an_ldap_url_has_a_host_and_a_port_and_nothing_else(folder: Folder, url):
    mistake = f'directory.ldap.urls[1]: "{url.replace("u@", "***@")}" is not of the form "ldap://HOST:PORT" or "ldaps://HOST:PORT"'
    assert folder.mistakes(f'directory.ldap.urls = ["{url}"]\n{LISTENER}') == [mistake]


@pytest.mark.parametrize(
    "text",
    [
        "uid=%U",
        "(uid=%U",
        "(uid=%U))",
        "(uid=%q)",
        "(uid=50%)",
        "()",
        "(&)",
        "(uid=\\\\zz)",
        "(a=b)(c=d)",
        "",
        "(&" * 3000 + "(a=b)" + ")" * 3000,
    ],
)
def test_a_filter_that_no_directory_could_be_asked_is_a_mistake(folder: Folder, text):
    (mistake,) = folder.mistakes(f'directory.ldap.filter = "{text}"\n{LISTENER}')
    assert mistake.startswith("directory.ldap.filter: ")


@pytest.mark.parametrize(
    ("toml", "mistake"),
    [
        ("worker = 2", "worker: unknown key; did you mean workers?"),
        ('min_version = "1.3"', "min_version: unknown key; it belongs in [tls]"),
        ('login.filter = "(a=b)"', "login.filter: unknown key; it belongs in [directory.ldap]"),
        ("log.lvl = 1", "log.lvl: unknown key; did you mean level?"),
        ("log.colour = 1", "log.colour: unknown key; known here are format, level"),
        ('log."a b" = 1', 'log."a b": unknown key; known here are format, level'),
    ],
)
def test_an_unknown_key_is_told_with_what_may_have_been_meant(folder: Folder, toml, mistake):
    assert folder.mistakes(f"{toml}\n{LISTENER}") == [mistake]


def test_the_value_of_an_unknown_key_is_not_repeated_since_it_may_be_a_secret(folder: Folder):
    (mistake,) = folder.mistakes(f'directory.ldap.bind_password = "hunter2"\n{LISTENER}')
    assert mistake == "directory.ldap.bind_password: unknown key; did you mean bind_password_file?"


@pytest.mark.parametrize(
    ("toml", "mistakes"),
    [
        ("", ["listener: at least one table [[listener]] is needed, with these double brackets"]),
        ("[listener]", ["listener: at least one table [[listener]] is needed, with these double brackets"]),
        ("listener = []", ["listener: at least one table [[listener]] is needed, with these double brackets"]),
        ("listener = [1]", ["listener[1]: must be a table, not 1"]),
        ('[[listener]]\nservice = "pop"', [f'listener[1].service: must be {allowed(Service)}, not "pop"']),
        (
            '[[listener]]\naddress = "localhost"',
            ['listener[1].address: "localhost" is not an IPv4 or IPv6 address, such as "0.0.0.0" or "::"'],
        ),
        (
            '[[listener]]\naddress = "unix:imap.sock"',
            [
                (
                    'listener[1].address: "unix:imap.sock" is not "unix:" and an absolute path, '
                    'such as "unix:/run/mmp/control.sock"'
                )
            ],
        ),
        (
            '[[listener]]\naddress = "systemd:a:b"',
            [
                (
                    'listener[1].address: "systemd:a:b" is not "systemd:" and a name of ASCII without a colon, '
                    'such as "systemd:imap"'
                )
            ],
        ),
        (
            '[[listener]]\naddress = "systemd:a"\n[[listener]]\naddress = "systemd:a"\nport = 993',
            ["listener[2].port: systemd:a is already taken by listener[1]"],
        ),
        ('[[listener]]\ntls = "startls"', ['listener[1].tls: must be "none", "starttls" or "implicit", not "startls"']),
        ("[[listener]]\nport = 0", ["listener[1].port: must be a whole number from 1 to 65535, not 0"]),
        ("[[listener]]\nbacklog = 5", ["listener[1].backlog: unknown key; known here are …"]),
        (
            "[[listener]]\nproxy_protocol_from = ['10.0.0.1', 'lb1']",
            [
                'listener[1].proxy_protocol_from[2]: "lb1" is not a network, such as "10.0.0.0/8" or "2001:db8::/32"',
            ],
        ),
        ("[[listener]]\ndeadlin = '60s'", ["listener[1].deadlin: unknown key; did you mean deadline?"]),
        ("[[listener]]\nldap = { bas = 'x' }", ["listener[1].ldap.bas: unknown key; did you mean base?"]),
        ("[[listener]]\nldap = 'x'", ['listener[1].ldap: must be a table, not "x"']),
        (
            "[[listener]]\n[[listener]]",
            ["listener[2].port: 0.0.0.0:143 is already taken by listener[1]"],
        ),
        (
            (
                "[[listener]]\naddress = '127.0.0.1'\n[[listener]]\naddress = '::'\n[[listener]]\naddress = '::1'\n"
                "[[listener]]\naddress = '127.0.0.2'\n[[listener]]\nport = 993"
            ),
            ["listener[3].port: [::1]:143 is already taken by listener[2]"],
        ),
    ],
)
def test_mistakes_in_listeners_are_told_with_their_number_from_one(folder: Folder, toml, mistakes):
    told = [mistake.partition("known here")[0] for mistake in folder.mistakes(toml)]
    assert told == [mistake.partition("known here")[0] for mistake in mistakes]


def test_all_mistakes_are_told_in_one_run(folder: Folder):
    toml = """
        workers = "many"
        worker = 1
        [[listener]]
        tls = "implicit"
        private_key = "missing.key"
        [[listener]]
        tls = "starttls"
        deadline = "1x"
        kind = "file"
        [tls]
        min_versoin = "1.3"
        [backend.imap]
        idle_timeout = "1s"
        tls = "implicit"
        ca = "missing.pem"
        [directory.ldap]
        bind_password_file = "secret"
    """
    assert folder.mistakes(toml) == [
        'workers: must be a whole number from 0 to 1024, not "many"',
        "worker: unknown key; did you mean workers?",
        "tls.min_versoin: unknown key; did you mean min_version?",
        'listener[2].deadline: "1x" needs a number and a unit (ms, s, m, h or d), as in "90s"',
        "listener[2].port: 0.0.0.0:143 is already taken by listener[1]",
        "directory.ldap.bind_dn: is needed, since bind_password_file is given",
        'backend.imap.idle_timeout: "1s" is too short; "30m" is the least that the standard allows',
        "listener[1].private_key: cannot read DIR/missing.key: No such file or directory",
        "backend.imap.ca: cannot read DIR/missing.pem: No such file or directory",
        "directory.ldap.bind_password_file: cannot read DIR/secret: No such file or directory",
        "directory.file.path: cannot read DIR/users.toml: No such file or directory",
    ]


@pytest.mark.parametrize(
    "toml",
    [
        "[[listener]]\ntls = 'strttls'\n[tls]\ncertificate = 'missing'",
        "[[listener]]\n[tls]\ncertificat = 'missing'\nprivate_key = 'missing'\n[directory]\nkind = 'files'",
        "[[listener]]\nport = 'x'\n[[listener]]",
        "[[listener]]\n[directory.ldap]\nurls = 5\nstart_tls = true",
    ],
)
def test_what_only_follows_from_another_mistake_is_not_told(folder: Folder, toml):
    paths = [mistake.partition(":")[0] for mistake in folder.mistakes(toml)]
    assert "tls.certificate" not in paths
    assert "listener[2].port" not in paths
    assert "directory.ldap.start_tls" not in paths


def test_a_mistake_in_a_common_table_is_told_once_however_many_listeners_use_it(folder: Folder):
    toml = "[[listener]]\n[[listener]]\nport = 993\ntls = 'implicit'\n[tls]\ncertificate = 'missing.pem'"
    assert folder.mistakes(toml) == ["tls.certificate: cannot read DIR/missing.pem: No such file or directory"]


@pytest.mark.parametrize(
    ("content", "mistake"),
    [
        (b"workers = \n", "Invalid value (at line 1, column 11)"),
        (b"[log]\nlevel = 'info'\nlevel = 'info'\n", "Cannot overwrite a value (at line 3, column 15)"),
        (b"workers = 1\xff", "is not in UTF-8 at byte 11"),
        (b"x = " + b"[" * 100_000, "is nested too deeply"),
    ],
)
def test_a_file_that_is_not_toml_is_told_with_line_and_column(folder: Folder, content, mistake):
    (told,) = folder.mistakes(content)
    assert told.startswith(f"DIR/mmp.toml: {mistake}")


def test_who_proves_a_password_needs_an_administrator_with_name_and_password(folder: Folder):
    folder.write("admin", "hunter2")
    proving = f'login.mechanisms = ["CRAM-MD5"]\n{LISTENER}'
    assert folder.mistakes(proving) == [
        f"login.{key}: is needed for CRAM-MD5, which leaves us no password to say to the store"
        for key in ("admin_user", "admin_password_file")
    ]
    assert folder.mistakes(f'login.admin_user = "admin"\nlogin.admin_password_file = "admin"\n{proving}') == []


def test_an_administrators_password_without_a_name_is_a_mistake(folder: Folder):
    folder.write("admin", "hunter2")
    (mistake,) = folder.mistakes(f'login.admin_password_file = "admin"\n{LISTENER}')
    assert mistake == "login.admin_user: is needed, since admin_password_file is given"


def test_scram_that_the_stores_judge_needs_no_administrator(folder: Folder):
    assert folder.mistakes(f'login.mechanisms = ["SCRAM-SHA-256"]\n{LISTENER}') == []


def test_a_group_of_administrators_needs_a_name_and_one_to_log_in_at_the_stores(folder: Folder):
    assert folder.mistakes(f'login.admin_policy = "group"\n{LISTENER}') == [
        f'login.{key}: is needed with admin_policy = "group"'
        for key in ("admin_group", "admin_user", "admin_password_file")
    ]


@pytest.mark.parametrize("kind", ["ldap", "file", "auth_http"])
def test_members_of_a_group_are_known_to_directories_that_have_groups(folder: Folder, kind):
    folder.write("admin", "hunter2")
    folder.write("users.toml", "")
    mistakes = folder.mistakes(
        'login.admin_policy = "group"\nlogin.admin_group = "cn=admins,dc=example,dc=com"\n'
        'login.admin_user = "admin"\nlogin.admin_password_file = "admin"\n'
        f'directory.kind = "{kind}"\ndirectory.auth_http.url = "http://127.0.0.1/"\n{LISTENER}'
    )
    why = 'login.admin_policy: "group" is not possible with kind = "auth_http", which knows no groups'
    assert mistakes == ([why] if kind == "auth_http" else [])


@pytest.mark.parametrize("toml", ["workers = 1", "listener = [1]", "limits.sessions = 1", "directory.plugin.a = 1"])
@pytest.mark.parametrize("number", ["9" * 5000, f"0x{'f' * 5000}"], ids=["decimal", "hexadecimal"])
def test_a_number_of_any_length_is_a_mistake_and_nothing_worse(folder: Folder, toml, number):
    """Python reads and writes no more than 4300 digits, and reads hexadecimal ones of any length."""
    assert any(
        "Exceeds the limit" in mistake or "a number that is too large" in mistake
        for mistake in folder.mistakes(f"{toml.replace('1', number)}\n")
    )


def test_what_is_wrong_and_cannot_be_printed_is_told_in_ascii(folder: Folder):
    (mistake,) = folder.mistakes('hostname = "\\u009b1m\\u202e"\n' + LISTENER)
    assert mistake == r'hostname: "\u009b1m\u202e" has characters that cannot be printed'


@pytest.mark.parametrize(
    "toml",
    [
        '[[listener]]\naddress = "fe80::1%eth0"\ntls = "none"',
        f'{LISTENER}[backend]\nsource_address = "fe80::1%eth0"',
        f'{LISTENER}[login]\ndefault_domains = [{{ address = "fe80::1%eth0", domain = "a" }}]',
    ],
)
def test_an_address_has_no_zone(folder: Folder, toml):
    (mistake,) = folder.mistakes(toml)
    assert mistake.endswith('address: "fe80::1%eth0" has a zone, the part from % on, which is not possible here')
