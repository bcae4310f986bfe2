"""Whether the access rules in the directory let somebody in: those of the domain, and those of the user."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

from mmp.directory.entry import Entry
from mmp.errors import Refused
from mmp.interfaces import Log
from mmp.model import Client, Refusal
from mmp.policy.access import AccessRules, Visitor

DOMAIN_ACCESS: Final = "mailDomainAllowedServiceAccess"
_REMEMBERED: Final = 1000
"""Sets of rules, and entries about which something was said."""


class AccessByEntry:
    """Judges clients of one listener by the rules that entries hold; those of domain and user must both let them in.

    Rules that cannot be read let nobody in, and are told to the log once for each entry.
    """

    def __init__(self, attribute: str, log: Log, *, implicit_tls: bool) -> None:
        """Users have their rules in this attribute."""
        self.attribute = attribute
        self._log = log
        self._implicit_tls = implicit_tls
        self._parsed: OrderedDict[tuple[str, ...], AccessRules] = OrderedDict()
        self._told: OrderedDict[tuple[str, tuple[str, ...]], None] = OrderedDict()

    def check(self, client: Client, domain: Entry | None, user: Entry) -> list[str]:
        """Return what lets the client in, by attribute; Refused unless all rules do."""
        granted = []
        if domain is not None and (values := domain.get(DOMAIN_ACCESS)):
            granted.append(self._judge(client, domain, DOMAIN_ACCESS, values))
        if values := user.get(self.attribute):
            granted.append(self._judge(client, user, self.attribute, values))
        return granted

    def _judge(self, client: Client, entry: Entry, attribute: str, values: tuple[str, ...]) -> str:
        service, encrypted = client.service.value, client.security.encrypted
        visitor = Visitor.make(service, client.address.host, implicit_tls=self._implicit_tls, encrypted=encrypted)
        try:
            verdict = self._rules(values).judge(visitor)
        except ValueError as error:
            self._tell(entry, attribute, values, str(error))
            raise Refused(Refusal.NOT_AUTHORIZED, f"{attribute} {error}") from None
        if not verdict.granted:
            raise Refused(Refusal.NOT_AUTHORIZED, f"{attribute}: {verdict.why:.300}")
        return f"{attribute}: {verdict.why}"

    def _rules(self, values: tuple[str, ...]) -> AccessRules:
        rules = self._parsed.get(values)
        if rules is None:
            rules = self._parsed[values] = AccessRules.parse("$".join(values))
            _shorten(self._parsed)
        return rules

    def _tell(self, entry: Entry, attribute: str, values: tuple[str, ...], why: str) -> None:
        if (entry.name, values) not in self._told:
            self._told[entry.name, values] = None
            _shorten(self._told)
            self._log.event("rules", "warn", entry=entry.name, attribute=attribute, rules="$".join(values), reason=why)


def _shorten(remembered: OrderedDict[Any, Any]) -> None:
    if len(remembered) > _REMEMBERED:
        remembered.popitem(last=False)
