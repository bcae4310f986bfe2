"""Who may connect, by the operator's rules about addresses and host names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import evolve, frozen

from mmp.errors import Refused
from mmp.interfaces import Door, Lease
from mmp.model import Client, Refusal, TLSMode
from mmp.policy.access import AccessRules, Visitor


@frozen
class AccessDoor:
    """A door that only those get to whom the rules let in.

    ``name`` finds the host name of an address, where that may be asked for: empty if there is none, None if not known.
    """

    rules: AccessRules
    tls: TLSMode
    name: Callable[[str], Awaitable[str | None]] | None
    door: Door

    async def admit(self, client: Client, make_room: Callable[[], bool]) -> Lease:
        """Return a lease for the connection, or raise Refused."""
        visitor = Visitor.make(
            client.service.value,
            client.address.host,
            implicit_tls=self.tls is TLSMode.IMPLICIT,
            encrypted=self.tls is not TLSMode.NONE,
        )
        verdict = self.rules.judge(visitor)
        if verdict.unsure and self.name is not None:
            host = await self.name(str(visitor.address))
            verdict = self.rules.judge(evolve(visitor, host=host))
        if not verdict.granted:
            raise Refused(Refusal.ACCESS_DENIED, f"access: {verdict.why:.300}")
        return await self.door.admit(client, make_room)
