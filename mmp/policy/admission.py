"""Who may hold a session, and who must wait: at present, everybody may and nobody must."""

from __future__ import annotations

from mmp.model import Account, Client, Credentials


class NoLease:
    """The slot of somebody whom no limit counts."""

    def close(self) -> None:
        """Give nothing back."""


class Unlimited:
    """Admits everybody."""

    async def admit(self, client: Client, account: Account) -> NoLease:  # noqa: ARG002 - the seam's arguments
        """Return a lease that holds nothing."""
        return NoLease()


class NoThrottle:
    """Holds nobody back."""

    async def hold(self, client: Client, credentials: Credentials) -> None:
        """Return at once."""

    def failed(self, client: Client, credentials: Credentials) -> None:
        """Remember nothing."""

    def succeeded(self, client: Client, credentials: Credentials) -> None:
        """Remember nothing."""
