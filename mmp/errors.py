"""The exceptions that cross module borders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmp.model import Refusal


class Refused(Exception):  # noqa: N818 - it names what happened to the client, as the enum does
    """The session or login is turned away; the only exception that becomes a reply.

    ``refusal`` decides what the client hears, ``reason`` is for the log alone. Raise it ``from None`` where the cause
    could carry a secret.
    """

    def __init__(self, refusal: Refusal, reason: str) -> None:
        super().__init__(refusal, reason)
        self.refusal = refusal
        self.reason = reason


class LocalProtocolError(Exception):
    """Our own code used a protocol core out of order: a bug here."""


class RemoteProtocolError(Exception):
    """The other end broke its protocol beyond repair; the core has its last words ready in ``data_to_send()``."""


class ConfigError(Exception):
    """The configuration is unusable; ``mistakes`` lists every one found, each beginning with its path."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)
