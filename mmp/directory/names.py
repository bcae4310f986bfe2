"""Login names, taken apart at the domain, and what ``%U`` and the like stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from attrs import field, frozen
from cryptography.x509 import load_der_x509_certificate

from mmp.errors import Refused
from mmp.model import Client, Refusal
from mmp.wire.sasl.saslprep import saslprep

if TYPE_CHECKING:
    from mmp.directory.domains import Domain

ESCAPES: Mapping[str, str] = {
    "s": "full",
    "o": "typed",
    "U": "user",
    "V": "domain",
    "C": "client_address",
    "S": "our_address",
    "D": "certificate_name",
}
"""The letter behind ``%``, and the field of Names that it stands for."""

_LONGEST = 512
"""Characters of a login name. No mailbox has more (RFC 5321, 4.5.3.1), and caches keep names by the thousand."""


class Names(NamedTuple):
    """What one login may be looked up by: a tuple, which is made in a third of the time that a frozen class takes.

    ``full`` is user@domain, or the user alone if there is no domain; ``typed`` is what the client sent. ``within`` is
    the domain as the directory knows it, where domains are looked up; ``certificate_name`` the subject of the client's
    certificate, if it has shown one. ``current`` is whether the answer has to be of now, so that none that has expired
    will do.
    """

    full: str
    typed: str
    user: str
    domain: str
    client_address: str
    our_address: str
    certificate_name: str = ""
    within: Domain | None = None
    current: bool = False


@frozen
class Naming:
    """How a login name is read: the last of any of the separators ends the user, a bare name has the default domain.

    That is the one of the address that the client has connected to, or else the one for all.
    """

    separators: str = "@"
    default_domain: str = ""
    default_domains: Mapping[str, str] = field(factory=dict)

    def names(self, client: Client, typed: str) -> Names:
        """Take a login name apart, in the form that SASLprep gives it; refuse one that can be nobody's.

        It is refused as an unknown user's. What cannot be printed is: NUL and other control characters, octets that
        are no text, and the invisible characters that make one name look like another in a log.
        """
        if len(typed) > _LONGEST:
            raise Refused(Refusal.BAD_CREDENTIALS, f"login name of {len(typed)} characters")
        if not typed.isascii():  # printable ASCII is in that form
            typed = _prepared(typed)
        if not typed.isprintable():
            raise Refused(Refusal.BAD_CREDENTIALS, "login name with characters that cannot be printed")
        end = max(map(typed.rfind, self.separators))
        if end < 0:
            user, domain = typed, self.default_domains.get(client.local.host, self.default_domain)
        else:
            user, domain = typed[:end], typed[end + 1 :]
        if not user or (end >= 0 and not domain):
            raise Refused(Refusal.BAD_CREDENTIALS, "login name without a user or without a domain")
        full = f"{user}@{domain}" if domain else user
        certificate = client.security.certificate
        subject = _subject(certificate) if certificate else ""
        return Names(full, typed, user, domain, client.address.host, client.local.host, subject)


def _subject(certificate: bytes) -> str:
    """Return the name of whom a certificate is for (RFC 4514)."""
    return load_der_x509_certificate(certificate).subject.rfc4514_string()


def _prepared(typed: str) -> str:
    try:
        prepared = saslprep(typed)
    except ValueError as error:
        raise Refused(Refusal.BAD_CREDENTIALS, f"login name {error}") from None
    if len(prepared) > _LONGEST:  # one character can stand for eighteen
        raise Refused(Refusal.BAD_CREDENTIALS, f"login name that stands for {len(prepared)} characters")
    return prepared


def field_of(letter: str, known: str = "".join(ESCAPES)) -> str:
    """Return the field of Names that ``%`` and this letter stand for; ValueError unless it is one of the known."""
    if not letter or letter not in known:
        listed = ", ".join(f"%{each}" for each in known)
        raise ValueError(f'has a "%{letter}" that is none of {listed}')
    return ESCAPES[letter]


def reader_of(fields: Sequence[str]) -> Callable[[Names], tuple[str, ...]]:
    """Return the function that reads these fields."""
    if len(fields) > 1:  # attrgetter makes a tuple only of several
        return attrgetter(*fields)
    if not fields:
        return lambda _: ()
    (only,) = fields
    return lambda names: (getattr(names, only),)
