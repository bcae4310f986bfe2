"""Frozen values that every layer shares: who connected, what they sent, where their mail lives, and why we said no."""

from __future__ import annotations

import enum
from collections.abc import Callable

from attrs import field, frozen


class Service(enum.Enum):
    """A protocol that mail clients speak to us; the value is its name in configuration, log and metrics."""

    IMAP = "imap"
    POP3 = "pop3"
    SUBMISSION = "submission"
    MANAGESIEVE = "managesieve"

    def __init__(self, word: str) -> None:
        self.word = word
        """The value, without the two functions in Python behind ``value``: lines and metrics say it all the time."""

    __hash__ = object.__hash__  # the standard library's is a function in Python, called at every look-up


class TLSMode(enum.Enum):
    """How a connection comes to be encrypted; toward clients and toward stores alike (RFC 8314)."""

    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


class Refusal(enum.Enum):
    """Every way to turn a session or a login away; each protocol has one table that words it."""

    BANNED = "banned"
    ACCESS_DENIED = "access-denied"
    TOO_MANY_CONNECTIONS = "too-many-connections"
    RATE_EXCEEDED = "rate-exceeded"
    BAD_CREDENTIALS = "bad-credentials"
    POLICY_REFUSED = "policy-refused"
    NOT_AUTHORIZED = "not-authorized"
    ACCOUNT_DISABLED = "account-disabled"
    ACCOUNT_ON_HOLD = "account-on-hold"
    ACCOUNT_LOCKED = "account-locked"
    PASSWORD_EXPIRED = "password-expired"  # noqa: S105 - a reason, not a password
    PASSWORD_MUST_CHANGE = "password-must-change"  # noqa: S105 - likewise
    PRIVACY_REQUIRED = "privacy-required"
    TOO_MANY_SESSIONS = "too-many-sessions"
    MAILBOX_IN_USE = "mailbox-in-use"
    MAILBOX_UNUSABLE = "mailbox-unusable"
    TOO_MANY_ERRORS = "too-many-errors"
    LOGIN_TIMEOUT = "login-timeout"
    DIRECTORY_UNAVAILABLE = "directory-unavailable"
    BACKEND_UNAVAILABLE = "backend-unavailable"
    SHUTTING_DOWN = "shutting-down"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


@frozen
class Endpoint:
    """A host (name or address literal, without brackets) and a TCP port; or a socket with a name, and no port."""

    host: str
    port: int

    @property
    def is_named(self) -> bool:
        """Whether it is a socket with a name: ``unix:`` and a path, or ``systemd:`` and what systemd calls it."""
        return self.host.startswith(("unix:", "systemd:"))

    def __str__(self) -> str:
        """Return ``host:port``, with brackets around an IPv6 literal (RFC 3986, 3.2.2)."""
        host = self.host
        if ":" not in host:  # nearly always, and said in two lines of every session
            return f"{host}:{self.port}"
        return host if self.is_named else f"[{host}]:{self.port}"


@frozen(cache_hash=True)
class Security:
    """What protects a connection: empty strings and 0 bits before TLS; names as OpenSSL spells them.

    ``certificate`` is the client's in DER, and there only if it has been verified; ``intermediates`` are those, of the
    authorities behind it, that the client sent along.
    """

    version: str = ""
    cipher: str = ""
    bits: int = 0
    resumed: bool = False
    certificate: bytes = field(default=b"", repr=False)
    intermediates: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def encrypted(self) -> bool:
        """Whether TLS is in force."""
        return bool(self.version)


CLEAR = Security()


@frozen(cache_hash=True)
class Offer:
    """What a client may do at its present security, before login.

    ``mechanisms`` are the SASL names usable right now, in the order to offer them; ``plaintext`` says whether LOGIN,
    USER and PASS may be used; ``starttls`` whether STARTTLS is available (false once TLS is in force).
    """

    mechanisms: tuple[str, ...]
    plaintext: bool
    starttls: bool


@frozen
class Client:
    """The facts about one accepted connection; ``session`` is unique for the life of the service.

    ``greeting`` is the name that the client gave itself in EHLO or HELO (RFC 5321, 4.1.1.1), if it did; ``ttl`` how
    many proxies the connection may still go through, ours included: Dovecot begins with the same number.
    """

    session: str
    service: Service
    address: Endpoint
    local: Endpoint
    security: Security = CLEAR
    greeting: str = ""
    ttl: int = 5

    def under(self, security: Security) -> Client:
        """Return the same once TLS is in force; attrs' way to say so takes ten times as long."""
        return Client(self.session, self.service, self.address, self.local, security, self.greeting, self.ttl)


@frozen
class Credentials:
    """What a client gave to log in: the mechanism, a name, perhaps another to act as, and the secret.

    ``user`` is the authentication identity as typed; ``authzid`` is empty when absent or equal (RFC 4616).
    The secret is what the mechanism gives of it: a password, an access token, or, of one whose exchange goes on with
    whoever judges it (SCRAM), the client's first message. Mechanisms that show no password but prove that the client
    knows it (CRAM-MD5, APOP) leave it empty and set ``proves``, which says whether this is that password.
    Never stored beyond the login attempt, never shown.
    """

    mechanism: str
    user: str
    secret: bytes = field(repr=False)
    authzid: str = ""
    proves: Callable[[bytes], bool] | None = field(default=None, repr=False, eq=False)


@frozen
class Administrator:
    """Somebody who may act as any user at the stores, by an authorization identity (RFC 4616)."""

    user: str
    secret: bytes = field(repr=False)


@frozen(eq=False, weakref_slot=False)
class Standing:
    """What a session was let in by, to see later whether it still would be.

    ``name`` is what was looked up, with whoever has this number (``by``); ``user`` and ``domain`` are the names of the
    entries that were found, ``host`` the mailHost; ``mark`` is another one once the password has been changed.
    """

    by: int
    name: str
    user: str
    domain: str
    host: str
    mark: int


@frozen
class Account:
    """A user as the directory knows them.

    ``user`` is the canonical name (limits, log), ``replay_user`` the name that the store is told, ``host`` the mailHost
    as the directory spells it. ``administrator`` is who logs in at the store on the user's behalf, where that is not
    for the user's own secret to do. ``judged``: whether we have judged the secret, so that no store need do it.
    ``note`` is what the log should know of a login that is good for now.
    ``port``, unless 0, and ``secret``, unless None, are said by the directory in place of what is configured and of
    what the client gave. ``standing`` is there if the directory tells when something of this changes.
    """

    user: str
    replay_user: str
    host: str
    administrator: Administrator | None = None
    judged: bool = False
    note: str = ""
    port: int = 0
    secret: bytes | None = field(default=None, repr=False)
    standing: Standing | None = field(default=None, repr=False, eq=False)


@frozen
class Origin:
    """Who is behind us, as told to the store: whence the client came and where it arrived, how often we may be passed.

    ``ttl`` is how many more proxies the connection may go through; ``greeting`` the client's own name, if it gave one.
    ``user`` is whom the store may let in on our word alone; empty unless we have judged the secret.
    """

    session: str
    address: Endpoint
    local: Endpoint
    ttl: int
    greeting: str = ""
    user: str = ""


@frozen
class Replay:
    """What is said to the store to log in as the user.

    ``mechanism`` PLAIN stands for any way to say a password; any other is the SASL mechanism that has to be used.
    ``origin`` is None where the store is not told.
    """

    user: str
    secret: bytes = field(repr=False)
    authzid: str = ""
    mechanism: str = "PLAIN"
    origin: Origin | None = None
