"""Who may hold a session, and who must wait, where nothing limits that: everybody may and nobody must."""

from __future__ import annotations

from collections.abc import Callable

from mmp.model import Account, Client, Credentials


class NoLease:
    """The slot of somebody whom no limit counts."""

    def close(self) -> None:
        """Give nothing back."""


class OpenDoor:
    """Lets every connection in."""

    async def admit(self, client: Client, make_room: Callable[[], bool]) -> NoLease:  # noqa: ARG002 - the seam's
        """Return a lease that holds nothing."""
        return NoLease()


class Unlimited:
    """Admits everybody."""

    async def admit(self, client: Client, account: Account) -> NoLease:  # noqa: ARG002 - the seam's arguments
        """Return a lease that holds nothing."""
        return NoLease()


class NoAttempt:
    """An attempt that nobody counts."""

    def failed(self) -> None:
        """Remember nothing."""

    def succeeded(self) -> None:
        """Remember nothing."""

    def close(self) -> None:
        """End nothing."""


class NoThrottle:
    """Holds nobody back."""

    async def hold(self, client: Client, credentials: Credentials) -> NoAttempt:  # noqa: ARG002 - the seam's arguments
        """Return at once."""
        return NoAttempt()
