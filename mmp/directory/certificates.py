"""Logging in by a client certificate: it stands for one entry, and the login goes on as that user's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from attrs import evolve, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mmp.directory.certmap import CertificateMap, Query, Rule
from mmp.directory.entry import Entry
from mmp.directory.locate import Locator
from mmp.directory.verify import Verdict
from mmp.errors import Refused
from mmp.interfaces import Ask
from mmp.model import Account, Client, Credentials, Refusal, Security

USER_CERTIFICATE = "userCertificate;binary"
"""The attribute that holds certificates (RFC 4523, 4.1)."""
LOGIN_NAMES = ("uid", "mail")
"""Attributes by whose values a user can be looked up, as far as the directory's filter goes by them."""


class Matcher(Protocol):
    """Finds entries by what is in them."""

    async def match(self, query: Query) -> Sequence[Entry]:
        """Return the entries, two at most; Refused if the directory cannot say."""


@frozen
class _TheEntry:
    """A judge who lets in the one whom the certificate is for."""

    name: str

    async def __call__(self, entry: Entry | None, credentials: Credentials, ask: Ask) -> Verdict:  # noqa: ARG002 - a judge's
        theirs = entry is not None and entry.name.casefold() == self.name.casefold()
        return Verdict(right=theirs)


@frozen
class ByCertificate:
    """An authenticator around another one that knows nothing of certificates.

    ``good`` tells of a certificate that was good in the handshake whether it still is: that may have been a minute ago.
    The certificate is mapped to an entry; then the user is located by a name of that entry, or the one that the client
    gave, and has to be that very entry. So all rules about users are as for any login.
    """

    locator: Locator
    matcher: Matcher
    good: Callable[[Security], bool]
    rules: CertificateMap = field(factory=CertificateMap)

    async def locate(self, client: Client, credentials: Credentials, ask: Ask) -> Account:
        """Return the account, or raise Refused."""
        if credentials.mechanism != "EXTERNAL":
            return await self.locator.locate(client, credentials, ask)
        if not self.good(client.security):
            raise Refused(Refusal.BAD_CREDENTIALS, "no certificate that is good now")
        entry = await self._entry(client.security.certificate)
        locator = evolve(self.locator, authority=evolve(self.locator.authority, judge=_TheEntry(entry.name)))
        why = Refused(Refusal.BAD_CREDENTIALS, "the certificate's entry has no name to log in by")
        for name in [credentials.user] if credentials.user else _login_names(entry):
            try:
                return await locator.locate(client, evolve(credentials, user=name), ask)
            except Refused as refused:
                if refused.refusal is not Refusal.BAD_CREDENTIALS:
                    raise
                why = refused
        if credentials.user:
            raise Refused(Refusal.NOT_AUTHORIZED, "the certificate is for somebody else")
        raise why

    async def reconsider(self, client: Client, credentials: Credentials, ask: Ask, account: Account) -> Account | None:
        """Look again, unless it was by a certificate, of which no store can think that it is wrong."""
        if credentials.mechanism == "EXTERNAL":
            return None
        return await self.locator.reconsider(client, credentials, ask, account)

    async def _entry(self, der: bytes) -> Entry:
        """Return the one entry that a certificate is for."""
        certificate = x509.load_der_x509_certificate(der)
        rule = self.rules.rule(certificate)
        if rule is None:
            raise Refused(Refusal.BAD_CREDENTIALS, "no rule for certificates of this issuer")
        for query in rule.queries(certificate):
            entries = await self.matcher.match(query)
            if len(entries) > 1:
                raise Refused(Refusal.BAD_CREDENTIALS, "several entries match the certificate")
            if entries:
                return _verified(rule, certificate, entries[0])
        raise Refused(Refusal.BAD_CREDENTIALS, "no entry matches the certificate")


def _verified(rule: Rule, certificate: x509.Certificate, entry: Entry) -> Entry:
    """Return the entry, if it holds the certificate where the rule wants that."""
    kept = (*entry.get(USER_CERTIFICATE), *entry.get(USER_CERTIFICATE.partition(";")[0]))
    der = certificate.public_bytes(Encoding.DER)
    if rule.verify and der not in {value.encode("utf-8", "surrogateescape") for value in kept}:
        raise Refused(Refusal.BAD_CREDENTIALS, "the certificate is not the one in the entry")
    return entry


def _login_names(entry: Entry) -> Iterator[str]:
    for attribute in LOGIN_NAMES:
        yield from entry.get(attribute)
    yield entry.name
