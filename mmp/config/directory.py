"""Where users are looked up: the table of the directory, and one for each kind of it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Literal, get_args

from attrs import field, frozen

from mmp.config.kinds import (
    HTTPURL,
    LDAPURL,
    Attribute,
    Count,
    DirectoryKind,
    DistinguishedName,
    Duration,
    File,
    HeaderName,
    LDAPFilter,
    PluginSettings,
    SearchBase,
    Timeout,
)
from mmp.config.spellings import BUILT_IN_KINDS

StateAttribute = Literal[
    "nsAccountLock", "pwdAccountLockedTime", "accountUnlockTime", "pwdReset", "passwordExpirationTime"
]


@frozen(kw_only=True)
class LDAP:
    """``[directory.ldap]``: the servers asked, and what for."""

    urls: tuple[LDAPURL, ...] = ("ldap://127.0.0.1:389",)
    """Servers, tried in order; ldaps:// for TLS."""

    start_tls: bool = False
    """Whether TLS is started on an ldap:// connection before anything is sent."""

    ca: File = ""
    """CA certificates in PEM that may have signed the servers'; empty means the system's trust."""

    balance: bool = False
    """Whether servers are used in turn instead of in order."""

    referrals: bool = False
    """Whether searches go on where the servers refer to others: to those in urls and referral_urls, and no more."""

    referral_urls: tuple[LDAPURL, ...] = ()
    """Further servers that may be referred to, each reached as it is written here, with the same bind_dn."""

    bind: Literal["simple", "external"] = "simple"
    """How we make ourselves known: by name and password, or by client_certificate."""

    client_certificate: File = ""
    """Certificate chain in PEM that we show the servers; empty means none."""

    private_key: File = ""
    """Private key in PEM of client_certificate."""

    bind_dn: str = ""
    """Name to bind as; empty means anonymously."""

    bind_password_file: File = ""
    """File that holds the password for bind_dn; one newline at its end is ignored."""

    base: SearchBase = "dc=example,dc=com"
    """Where users are searched, with all that is below."""

    schema: Literal["flat", "1", "2"] = "flat"
    """How domains are laid out: one tree for all, each with an entry in a tree of dc entries, or by organisation."""

    domain_root: DistinguishedName = "o=internet"
    """Above the dc entries of schema 1."""

    filter: LDAPFilter = "(|(uid=%U)(mail=%s)(mailAlternateAddress=%s))"
    """Filter that finds a user: %s user@domain, %o as typed, %U user, %V domain, %C client, %S we, %D certificate."""

    access_attribute: Attribute = "mailAllowedServiceAccess"
    """Attribute of users that says which services they may use, and from where."""

    state_attributes: tuple[StateAttribute, ...] = get_args(StateAttribute)
    """Attributes that may say that an account is locked, or its password out of date; none are read if empty."""

    mail_host_attributes: tuple[Attribute, ...] = ("mailHost",)
    """Attributes that may name the store; the first that has a value counts."""

    timeout: Timeout = 5.0
    """For connecting and for each answer."""

    watch: Literal["auto", "off"] = "auto"
    """Whether changes are followed where a server tells of them (syncrepl or persistent search)."""

    password_change_attributes: tuple[Attribute, ...] = ("pwdChangedTime", "passwordExpirationTime", "userPassword")
    """Attributes of users that change with the password; what is followed ends the sessions of a user then."""

    @property
    def over_tls(self) -> bool:
        """Whether any server is spoken to in TLS."""
        return self.start_tls or any(url.startswith("ldaps:") for url in (*self.urls, *self.referral_urls))

    @property
    def all_urls(self) -> tuple[str, ...]:
        """Every server that may be asked about users."""
        return tuple(dict.fromkeys((*self.urls, *self.referral_urls)))

    @property
    def reached(self) -> Hashable:
        """What says how the servers are reached, and not what they are asked."""
        tls = self.start_tls, self.ca, self.client_certificate, self.private_key
        where = self.urls, self.balance, self.referrals, self.referral_urls
        return where, tls, self.bind, self.bind_dn, self.bind_password_file, self.timeout


@frozen(kw_only=True)
class AuthHTTP:
    """``[directory.auth_http]``: a server that speaks the mail authentication protocol of nginx."""

    url: HTTPURL = ""
    """Where it is asked; https:// for TLS."""

    ca: File = ""
    """CA certificates in PEM that may have signed the server's; empty means the system's trust."""

    secret_header: HeaderName = "X-Auth-Key"  # noqa: S105 - a name
    """Header field that shows the server who asks."""

    secret_file: File = ""
    """File that holds what is said in secret_header; one newline at its end is ignored; empty means nothing is."""

    timeout: Timeout = 5.0
    """For connecting and the answer together."""


@frozen(kw_only=True)
class FileDirectory:
    """``[directory.file]``: users in a TOML file."""

    path: File = "users.toml"
    """File with one table for each user."""


@frozen(kw_only=True)
class Directory:
    """``[directory]``: who the user is and where the mail lives."""

    kind: DirectoryKind = "ldap"
    """Which of the tables below is used; that of any plug-in is called plugin."""

    cache_size: Count = 10_000
    """Entries remembered; 0 means none."""

    cache_ttl: Duration = 900.0
    """How long an entry is used without asking again."""

    negative_ttl: Duration = 30.0
    """How long it is remembered that there is no such user."""

    stale_ttl: Duration = 86400.0
    """How long an expired entry may still serve while the directory is down."""

    ldap: LDAP = LDAP()
    """An LDAP directory."""

    auth_http: AuthHTTP = AuthHTTP()
    """A server that is asked in HTTP."""

    file: FileDirectory = FileDirectory()
    """A file."""

    plugin: PluginSettings = field(factory=dict, hash=False)
    """What a plug-in wants to be told; a key that ends in _file names a file, with a secret in it."""

    @property
    def plugin_files(self) -> dict[str, str]:
        """The files that a plug-in's settings name, by their keys."""
        return {key: name for key, name in self.plugin.items() if key.endswith("_file") and isinstance(name, str)}

    @property
    def is_plugin(self) -> bool:
        """Whether it comes from another package."""
        return self.kind not in BUILT_IN_KINDS

    @property
    def is_watched(self) -> bool:
        """Whether its changes are to be followed."""
        return self.kind == "ldap" and self.ldap.watch == "auto"
