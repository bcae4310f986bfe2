"""What a configuration holds: one frozen class per table, one documented field per key."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Final, Literal

from attrs import field, frozen

from mmp.config.kinds import (
    HTTPURL,
    LDAPURL,
    Address,
    Alert,
    Attribute,
    Between,
    Ciphers,
    CipherSuites,
    ControlSocket,
    Count,
    DistinguishedName,
    DomainName,
    Duration,
    File,
    HeaderName,
    HostName,
    LDAPFilter,
    ListenAddress,
    Mechanism,
    Network,
    OptionalAddress,
    OptionalDuration,
    Period,
    Port,
    Positive,
    ReplayName,
    SearchBase,
    Separators,
    Timeout,
)
from mmp.config.spellings import parse_endpoint
from mmp.model import Endpoint, Service, TLSMode

OVERRIDABLE: Final = {"login": "login", "tls_settings": "tls", "directory": "directory"}
"""Attributes of a listener for which it takes the keys of a common table, which is the second name."""


@frozen(kw_only=True)
class KeyPair:
    """A certificate and its private key, as ``[tls] sni`` lists them."""

    certificate: File = ""
    """Certificate chain in PEM, leaf first."""

    private_key: File = ""
    """Its private key in PEM, without a passphrase."""


@frozen(kw_only=True)
class TLS:
    """``[tls]``: what clients are shown, and what is asked of them."""

    certificate: File = "tls/mail.pem"
    """Certificate chain in PEM, leaf first."""

    private_key: File = "tls/mail.key"
    """Its private key in PEM, without a passphrase."""

    sni: tuple[KeyPair, ...] = ()
    """More certificates; the name that a client asks for decides which it is shown."""

    min_version: Literal["1.0", "1.1", "1.2", "1.3"] = "1.2"
    """Oldest TLS version that is spoken."""

    key_period: Period = 12 * 3600.0
    """How long one set of ticket keys is used; a ticket from an ended period costs a full handshake."""

    ciphers: Ciphers = ""
    """OpenSSL's list for TLS 1.2 and older; empty means the library's own modern default."""

    ciphersuites: CipherSuites = ""
    """OpenSSL's list for TLS 1.3; empty means the library's own default."""

    client_ca: File = ""
    """CA certificates in PEM whose client certificates are taken, and no others; empty means none is asked for."""

    client_crl: File = ""
    """Revocation lists in PEM, one at least for each of these CAs; empty means that nothing is revoked."""

    client_certificate: Literal["request", "require"] = "request"
    """Whether a client may come without a certificate and log in some other way."""

    certificate_map: File = ""
    """Rules as in certmap.conf: whose certificate is for which entry; empty means by e-mail address."""

    ocsp_staple: File = ""
    """OCSP response in DER about certificate, for clients that ask; whoever fetches it puts a new one there in time."""

    expiry_warning: Duration = 21 * 86400.0
    """How long before its end a certificate is worth a word in the log, every day, and in mmp check."""


@frozen(kw_only=True)
class DefaultDomain:
    """One of ``[login] default_domains``."""

    address: OptionalAddress = ""
    """Our address that a client has connected to."""

    domain: DomainName = ""
    """Domain of its user who gives none."""


@frozen(kw_only=True)
class Login:
    """``[login]``: how clients may log in, and what the store is told."""

    mechanisms: tuple[Mechanism, ...] = ("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER", "EXTERNAL")
    """SASL mechanisms offered, in this order; the stores must have those that are passed through: tokens, and SCRAM."""

    restrict_plain_passwords: bool = True
    """Whether a password in plain text is refused without TLS."""

    plaintext_min_cipher: Annotated[int, Between(-1, 256)] = 128
    """Bits that TLS's cipher must have before a password in plain text is taken; 0 = any, -1 = none is ever taken."""

    verify: Literal["backend", "directory"] = "backend"
    """Who judges passwords: the store, or we by the directory; CRAM-MD5 is always judged here, tokens by the store."""

    deadline: Timeout = 60.0
    """From accepting the connection to being logged in, TLS included."""

    max_failures: Positive = 3
    """Failed logins on one connection before it is closed."""

    default_domain: DomainName = ""
    """Domain of a user who gives none; empty means none."""

    default_domains: tuple[DefaultDomain, ...] = ()
    """The same for single addresses of ours, where a listener is at several."""

    domain_separators: Separators = "@"
    """Characters any of which separates user and domain in what was typed."""

    replay_user: ReplayName = "%U"
    """Name that the store is told: %s user@domain, %o as typed, %U user, %V domain, %A[attr] an attribute's value."""

    admin_user: str = ""
    """Who may act as any user at the stores: for logins without a password to say again; empty means nobody."""

    admin_password_file: File = ""
    """File that holds the password of admin_user; one newline at its end is ignored."""

    admin_policy: Literal["simple"] = "simple"
    """Who may name another user to act as: simple means admin_user alone."""

    @property
    def proofs(self) -> tuple[str, ...]:
        """The mechanisms offered here by which a password is proven to us and never said."""
        ours = {"CRAM-MD5"} | ({"SCRAM-SHA-256", "SCRAM-SHA-1"} if self.verify == "directory" else set())
        return tuple(name for name in self.mechanisms if name in ours)


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

    mail_host_attributes: tuple[Attribute, ...] = ("mailHost",)
    """Attributes that may name the store; the first that has a value counts."""

    timeout: Timeout = 5.0
    """For connecting and for each answer."""

    @property
    def over_tls(self) -> bool:
        """Whether any server is spoken to in TLS."""
        return self.start_tls or any(url.startswith("ldaps:") for url in self.urls)


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

    kind: Literal["ldap", "file", "auth_http"] = "ldap"
    """Which of the tables below is used."""

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


@frozen(kw_only=True)
class BackendService:
    """``[backend.imap]`` and the like: how to reach a store for one service."""

    port: Port = 143
    """Port on the store."""

    tls: TLSMode = TLSMode.NONE
    """How the connection is encrypted."""

    ca: File = ""
    """CA certificates in PEM that may have signed the store's; empty means the system's trust."""

    verify: bool = True
    """Whether the store's certificate must be valid and name the mailHost (RFC 6125)."""

    client_certificate: File = ""
    """Certificate chain in PEM that we show the store; empty means none."""

    private_key: File = ""
    """Private key in PEM of client_certificate."""

    client_address: Literal["none", "id", "xclient", "proxy-v1", "proxy-v2"] = "none"
    """How the store is told the client's address: not at all, in ID (IMAP), in XCLIENT (others), in a PROXY header."""

    connect_timeout: Timeout = 10.0
    """For TCP, TLS and greeting together."""

    max_connecting: Positive = 32
    """Connections being made to one store at a time; more are refused for now."""

    idle_timeout: Timeout = 1800.0
    """How long a logged-in session may be silent; at least 30m for IMAP and ManageSieve, 10m for the others."""

    hosts: tuple[HostName, ...] = ()
    """For submission: relays, each used in its turn instead of the user's mailHost; empty means none."""


@frozen(kw_only=True)
class Backend:
    """``[backend]``: the stores."""

    networks: tuple[Network, ...] = ()
    """Where stores may be; empty means anywhere."""

    retry_after: Duration = 30.0
    """How long an address of a store that failed is tried only after its others."""

    login_timeout: Timeout = 30.0
    """For the store's answer to the login."""

    source_address: OptionalAddress = ""
    """Address to connect from; empty means what the system chooses."""

    imap: BackendService = BackendService()
    """How to reach a store for IMAP."""

    pop3: BackendService = BackendService(port=110)
    """How to reach a store for POP3."""

    submission: BackendService = BackendService(port=587)
    """How to reach a relay for submission."""

    managesieve: BackendService = BackendService(port=4190)
    """How to reach a store for ManageSieve."""

    def reaching(self, service: Service) -> BackendService:
        """Return the table for a service."""
        table: BackendService = getattr(self, service.value)
        return table


@frozen(kw_only=True)
class Pool:
    """``[pool.NAME]``: stores that share users, for the mailHost ``pool:NAME``."""

    hosts: tuple[HostName, ...] = ()
    """Stores; each user is always on the same of them."""


EVERY_IPV4: Final = IPv4Network("0.0.0.0/0")
EVERY_IPV6: Final = IPv6Network("::/0")

LimitName = Literal["sessions", "per_address", "per_user", "per_backend", "connections_per_minute", "logins_per_minute"]


@frozen(kw_only=True)
class AddressLimit:
    """One entry of ``[limits] per_address``; the one with the most specific network counts."""

    network: Network = EVERY_IPV4
    """Clients it is for."""

    sessions: Count = 20
    """Simultaneous sessions of each; 0 means any number."""

    prefix: Annotated[int, Between(0, 128)] = 0
    """Addresses that agree in so many bits are counted as one; 0 means 32 of IPv4 and 64 of IPv6."""

    mode: Literal["enforce", "observe"] = "enforce"
    """Whether it refuses, or only tells in the log when it would."""


@frozen(kw_only=True)
class Limits:
    """``[limits]``: how many sessions there may be, over all services."""

    observe: tuple[LimitName, ...] = ()
    """Limits, by name, that only tell in the log what they would have refused."""

    sessions: Count = 0
    """Simultaneous sessions in all; 0 means no limit."""

    per_address: tuple[AddressLimit, ...] = (
        AddressLimit(),
        AddressLimit(network=EVERY_IPV6, prefix=64),
    )
    """Simultaneous sessions of each client address."""

    per_user: Count = 0
    """Simultaneous sessions of each user; 0 means no limit."""

    per_backend: Count = 0
    """Simultaneous sessions on each store; 0 means no limit."""

    connections_per_minute: Count = 0
    """Connections from each client address; 0 means no limit."""

    logins_per_minute: Count = 0
    """Login attempts from each client address; 0 means no limit."""


@frozen(kw_only=True)
class Throttle:
    """``[throttle]``: how clients are slowed down whose logins fail."""

    mode: Literal["enforce", "observe"] = "enforce"
    """Whether attempts are delayed, or it is only told in the log which would be."""

    penalty: Duration = 2.0
    """What each failed login adds to the delay of further attempts from its address; none means no throttle."""

    max_penalty: Duration = 60.0
    """Longest delay."""

    decay: Timeout = 900.0
    """How long after the last failure an address is as good as any other."""

    linear: bool = False
    """Whether the delay shrinks evenly over that time, instead of ending with it."""

    table_size: Positive = 10_000
    """Addresses that are remembered; for one more, the one whose last failure is longest ago is forgotten."""

    exempt: tuple[Network, ...] = ()
    """Networks that are never delayed and whose failures are not counted."""

    per_user: bool = False
    """Whether failures count against the account as well, from wherever they come."""


@frozen(kw_only=True)
class Outage:
    """``[outage]``: what clients see while a store is away."""

    imap_alert: Alert = "Your mail store is temporarily out of service."
    """What an IMAP client is asked to show its user, at most 400 characters of ASCII; empty means nothing."""

    pop3_spoof: Literal["none", "empty", "message"] = "none"
    """What a POP3 client is given instead of an error: nothing, a maildrop without mail, or one with one message."""

    pop3_spoof_message: File = ""
    """File with that message, header and body (RFC 822), at most 64 KiB."""


@frozen(kw_only=True)
class Admin:
    """``[admin]``: how operators reach a running proxy."""

    control: ControlSocket = "unix:/run/mmp/control.sock"
    """Socket for the commands of mmp, open to the proxy's own user and root; empty means none."""

    http: ListenAddress = ""
    """Where monitoring finds /metrics, /healthz and /readyz; empty means nowhere."""

    token_file: File = ""
    """File that holds what monitoring has to show, as Authorization: Bearer …; needed unless http is on loopback."""

    @property
    def control_path(self) -> str:
        """Where that socket is."""
        return self.control.removeprefix("unix:")

    @property
    def http_endpoint(self) -> Endpoint | None:
        """Where monitoring finds us, None if nowhere."""
        return parse_endpoint(self.http) if self.http else None


@frozen(kw_only=True)
class Log:
    """``[log]``: what is written, and how."""

    format: Literal["text", "json"] = "text"
    """One line of text or one JSON object for each event."""

    level: Literal["debug", "info", "warn", "error"] = "info"
    """Least severity that is written."""


@frozen(kw_only=True)
class Listener:
    """``[[listener]]``: one address and port that clients connect to.

    ``login``, ``tls_settings`` and ``directory`` are complete: the common tables with what this listener overrides.
    """

    service: Service = Service.IMAP
    """Protocol spoken."""

    address: Address = "0.0.0.0"  # noqa: S104 - the documented default
    """Address to listen at; "::" means every IPv6 address."""

    port: Port = 143
    """TCP port."""

    tls: TLSMode = TLSMode.STARTTLS
    """How connections are encrypted."""

    proxy_protocol_from: tuple[Network, ...] = ()
    """Networks, of load balancers, whose connections must begin with a PROXY header, version 1 or 2."""

    login: Login = Login()
    tls_settings: TLS = TLS()
    directory: Directory = Directory()

    @property
    def takes_certificates(self) -> bool:
        """Whether clients can log in by a certificate."""
        return (
            self.tls is not TLSMode.NONE and bool(self.tls_settings.client_ca) and "EXTERNAL" in self.login.mechanisms
        )

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return Endpoint(self.address, self.port)


@frozen(kw_only=True)
class Config:
    """The whole file. File names are absolute once it is loaded; it holds no secret."""

    hostname: HostName = "mail.example.com"
    """Our name in greetings."""

    workers: Annotated[int, Between(0, 1024)] = 1
    """Worker processes; 0 means one for each core."""

    shutdown_grace: Duration = 30.0
    """How long sessions may go on after SIGTERM."""

    drain_timeout: OptionalDuration = None
    """How long replaced workers may keep their sessions; empty means until the last one ends."""

    listener: tuple[Listener, ...] = (Listener(),)
    tls: TLS = TLS()
    """Toward clients."""

    login: Login = Login()
    """Logging in."""

    directory: Directory = Directory()
    """Looking users up."""

    backend: Backend = Backend()
    """The stores."""

    pool: Mapping[str, Pool] = field(factory=dict, hash=False)
    """Stores that share users."""

    limits: Limits = Limits()
    """How many sessions there may be."""

    throttle: Throttle = Throttle()
    """Slowing down those who guess."""

    outage: Outage = Outage()
    """When a store is away."""

    admin: Admin = Admin()
    """Administration."""

    log: Log = Log()
    """The log."""
