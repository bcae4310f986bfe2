"""What ``mmp explain`` walks through: the parts of a login one after the other, with what each decides, and by what.

Each part is an asynchronous generator in ``PARTS``: it yields what it looks at and what it finds there, and raises
Refused at the decision that refuses the login.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from attrs import field, frozen

from mmp.authenticators import Authenticators
from mmp.cli import standing
from mmp.config.load import Loaded
from mmp.config.schema import Listener
from mmp.directory.explain import Step, explain, explain_question
from mmp.directory.http_client import server_of
from mmp.errors import Refused
from mmp.model import Client, Refusal
from mmp.net.access import AccessDoor
from mmp.net.reactor import LeanReactor
from mmp.net.reverse import HostNames
from mmp.policy.admission import OpenDoor
from mmp.shared.kept_bans import read as read_bans


@frozen
class Attempt:
    """The login that is walked through, and what it takes to do so."""

    loaded: Loaded
    listener: Listener
    client: Client
    user: str
    reactor: LeanReactor
    authenticators: Authenticators
    found: dict[str, str] = field(factory=dict)
    """What the steps so far have told."""


async def _listener(attempt: Attempt) -> AsyncIterator[Step]:
    listener = attempt.listener
    yield "listener", f"{listener.service.value} at {listener.endpoint}, tls {listener.tls.value}"


async def _bans(attempt: Attempt) -> AsyncIterator[Step]:
    address, path = ip_address(attempt.client.address.host), attempt.loaded.config.admin.state_path(os.environ)
    try:
        bans = read_bans(path, time.time())
    except (OSError, ValueError) as error:
        yield "bans", f"{path} cannot be read: {error}"
        return
    for ban in bans:
        if ban.seconds and address.version == ban.network.version and address in ban.network:
            raise Refused(Refusal.BANNED, f"ban: {ban.network}{ban.reason and ', ' + ban.reason}")


async def _door(attempt: Attempt) -> AsyncIterator[Step]:
    access = attempt.loaded.config.access
    if not (access.allow or access.deny):
        return
    names = HostNames(attempt.reactor)
    name = names.name if access.reverse_dns else None
    try:
        door = AccessDoor(access.rules, attempt.listener.tls, name, OpenDoor())
        await door.admit(attempt.client, lambda: False)
    finally:
        names.close()
    yield "access", "the rules at the door let the client in"


async def _directory(attempt: Attempt) -> AsyncIterator[Step]:
    listener = attempt.listener
    walk = _asked_in_http if listener.directory.kind == "auth_http" else _looked_up
    async for step in walk(attempt):
        yield step


async def _looked_up(attempt: Attempt) -> AsyncIterator[Step]:
    async for step in explain(attempt.authenticators.locator(attempt.listener), attempt.client, attempt.user):
        yield step


async def _asked_in_http(attempt: Attempt) -> AsyncIterator[Step]:
    """Tell what is asked; the answer depends on the password, so that nobody knows it here."""
    settings = attempt.listener.directory.auth_http
    for step in explain_question(attempt.authenticators.auth_http(attempt.listener), attempt.client, attempt.user):
        yield step
    where = server_of(urlsplit(settings.url))
    try:
        await attempt.authenticators.http_client(settings).reach()
    except OSError as error:
        raise Refused(Refusal.DIRECTORY_UNAVAILABLE, f"{where}: {error}") from None
    yield "directory", f"{where} can be reached; it judges the password, and names the store and its port"


async def _limits(attempt: Attempt) -> AsyncIterator[Step]:
    """Tell what a proxy that runs with this configuration knows."""
    store, _, _ = attempt.found.get("store", "").partition(" by ")
    names = {"typed": attempt.user, "user": attempt.found.get("user", attempt.user), "backend": store}
    for step in standing.told(attempt.loaded.config.admin.control_path, attempt.client, names):
        yield step


async def _backend(attempt: Attempt) -> AsyncIterator[Step]:
    backend = attempt.loaded.config.backend
    how, networks = backend.reaching(attempt.listener.service), ", ".join(map(str, backend.networks))
    if how.hosts:
        yield "relays", f"{', '.join(how.hosts)}, in turn; not the store"
    yield "backend", f"port {how.port}, tls {how.tls.value}, in {networks or 'any network'}"


PARTS: Final[tuple[Callable[[Attempt], AsyncIterator[Step]], ...]] = (
    _listener,
    _bans,
    _door,
    _directory,
    _limits,
    _backend,
)
"""In the order in which a login comes to them."""


async def walk(attempt: Attempt) -> AsyncIterator[Step]:
    """Yield every step of the login; Refused at the one that refuses it."""
    for part in PARTS:
        async for step in part(attempt):
            attempt.found[step[0]] = step[1]
            yield step
