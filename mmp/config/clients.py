"""What is told and asked of clients: the tables of TLS and of logging in."""

from __future__ import annotations

from typing import Annotated, Literal

from attrs import frozen

from mmp.config.kinds import (
    Between,
    Ciphers,
    CipherSuites,
    DomainName,
    Duration,
    File,
    Mechanism,
    OptionalAddress,
    Period,
    Positive,
    ReplayName,
    SearchBase,
    Separators,
    Timeout,
)


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

    admin_policy: Literal["simple", "group"] = "simple"
    """Who may name another user to act as: admin_user alone, or the members of admin_group too."""

    admin_group: SearchBase = ""
    """Name of the group's entry, which lists the names of its members' entries; in a file they have it as memberOf."""

    @property
    def proofs(self) -> tuple[str, ...]:
        """The mechanisms offered here by which a password is proven to us and never said."""
        ours = {"CRAM-MD5"} | ({"SCRAM-SHA-256", "SCRAM-SHA-1"} if self.verify == "directory" else set())
        return tuple(name for name in self.mechanisms if name in ours)

    @property
    def passed_through(self) -> frozenset[str]:
        """The mechanisms by which the store has to hear what the client says."""
        exchanges = {"SCRAM-SHA-256", "SCRAM-SHA-1"} if self.verify == "backend" else set()
        return frozenset({"XOAUTH2", "OAUTHBEARER"} | exchanges)
