"""Walks the steps of a look-up one by one, with what each has found; the decisions are those of the login itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from mmp.directory.auth_http import AuthHTTP
from mmp.directory.domains import Domain
from mmp.directory.entry import Entry
from mmp.directory.locate import Locator
from mmp.directory.names import Names
from mmp.directory.status import DOMAIN_STATUS, USER_STATUS, check_status
from mmp.errors import Refused
from mmp.model import Client, Refusal

Step = tuple[str, str]
"""What is looked at, and what was found."""


async def explain(locator: Locator, client: Client, typed: str) -> AsyncIterator[Step]:
    """Yield the steps of a login without judging a secret; Refused at the one that refuses it."""
    names = locator.naming.names(client, typed)
    yield "name", f"user {names.user}, {f'domain {names.domain}' if names.domain else 'no domain'}"
    if locator.domains is not None:
        names = await locator.domains.place(names)
        yield "domain", _domain(names)
    entries = await locator.directory.find(names)
    if len(entries) != 1:
        raise Refused(Refusal.BAD_CREDENTIALS, f"{len(entries) or 'no'} entries match")
    yield "entry", entries[0].name
    for step in _decisions(locator, client, names, entries[0]):
        yield step


def explain_question(authenticator: AuthHTTP, client: Client, typed: str) -> Iterator[Step]:
    """Yield what a server is asked about a login, but for what is secret in it; Refused if it would not be asked."""
    names = authenticator.naming.names(client, typed)
    yield "name", f"asked for as {names.typed}"
    hidden = {"Auth-Pass", *(authenticator.secret or ())[:1]}
    for field, value in authenticator.fields(client, names.typed, "plain", b""):
        yield "question", f"{field}: {'***' if field in hidden else value.decode()}"


def _domain(names: Names) -> str:
    if names.within is None:
        return "none, or more than one"
    return f"{names.within.name}, {names.within.entry.name}"


def _decisions(locator: Locator, client: Client, names: Names, user: Entry) -> Iterator[Step]:
    domain = names.within
    yield "password", _judge(locator, domain)
    of_domain = None if domain is None else domain.entry
    check_status(of_domain, user)
    yield "status", ", ".join(_statuses(of_domain, user)) or "none, so active"
    granted = [] if locator.access is None else locator.access.check(client, of_domain, user)
    yield "access", "; ".join(granted) or "no rules"
    looked_at = locator.state.check(user, by_password=True)
    yield "account", ", ".join(looked_at) or "not locked, the password not out of date"
    account = locator.rules.account(names, user)
    yield "user", account.user
    yield "store", f"{account.host} by {_source(locator, user)}, told {account.replay_user}"


def _judge(locator: Locator, domain: Domain | None) -> str:
    here = locator.authority.everything
    if domain is None or domain.verified_here is None:
        return f"judged by {'the directory' if here else 'the store'}"
    return f"judged by {'the directory' if domain.verified_here else 'the store'}, as the domain says"


def _statuses(domain: Entry | None, user: Entry) -> Iterator[str]:
    pairs = [(domain, name) for name in DOMAIN_STATUS] + [(user, name) for name in USER_STATUS]
    return (f"{name} {value}" for entry, name in pairs if entry is not None for value in entry.get(name))


def _source(locator: Locator, user: Entry) -> str:
    """Return what in the entry names the store."""
    named = ((name, value) for name in locator.rules.mail_host_attributes for value in user.get(name))
    return " ".join(next(named))
