"""What an operator who looks on may see of a conversation: no secret, whatever either end says and wherever it does.

Of a command that is its name, of an exchange of SASL's nothing, and of a store's words all but the password.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from attrs import define, field

from mmp.wire.sasl import MECHANISMS, lines

HIDDEN = b"***"
RESPONSE = b"*** (a response of SASL's)"
CHALLENGE = b"*** (a challenge of SASL's)"
LONGEST = 2000
"""Octets of a line of a store's; of a longer one only that it was there is seen, since a password may lie across."""

SHORTEST = 3
"""Octets of a word of a password that is hidden by itself."""

_SPECIAL = re.compile(rb'["\\]')
_NAMING_MECHANISMS = frozenset({b"AUTH", b"AUTHENTICATE"})
_GREETING = frozenset({b"EHLO", b"HELO"})
_HOST_NAME = re.compile(rb"[A-Za-z0-9._:\[\]-]{1,255}")
_CHALLENGES = re.compile(rb'\+(?: |$)|334[ -]|"|\{')
"""What a challenge begins with, in any protocol."""
_LAST_WORD = re.compile(rb"(?i)(\(SASL )[^)]*")
"""What a store adds to its agreement (RFC 5804, 2.1)."""


class Onlooker(Protocol):
    """Whoever looks on; ``text`` is fit to be shown."""

    def heard(self, text: bytes, /) -> None:
        """The other end has said this."""

    def said(self, text: bytes, /) -> None:
        """We have."""


def command(name: bytes, argument: bytes) -> bytes:
    """Return what is shown of a command, whose name is empty if it is none that is known: that might be anything."""
    if not name:
        return HIDDEN
    first, _, rest = argument.strip().partition(b" ")
    if not first:
        return name
    if name in _NAMING_MECHANISMS and (mechanism := first.strip(b'"').upper()).decode("latin-1") in MECHANISMS:
        return b" ".join((name, mechanism, HIDDEN) if rest else (name, mechanism))
    if name in _GREETING and not rest and _HOST_NAME.fullmatch(first):
        return name + b" " + first
    return name + b" " + HIDDEN


def without(text: bytes, secrets: Iterable[bytes]) -> bytes:
    """Return the text with each secret replaced, however it is written, and each word of it: lines may part them."""
    forms = {form for secret in secrets for part in _parts(secret) for form in _forms(part)}
    longest_first = sorted(map(re.escape, forms), key=len, reverse=True)
    return re.sub(b"|".join(longest_first), HIDDEN, text) if forms else text


def _parts(secret: bytes) -> Iterator[bytes]:
    if secret:
        yield secret
    yield from (word for word in secret.split() if len(word) >= SHORTEST)


def _forms(part: bytes) -> tuple[bytes, ...]:
    """Return it as it is, in a quoted string, and in base64."""
    return part, _SPECIAL.sub(rb"\\\g<0>", part), lines.encoded(part)


@define(eq=False, repr=False)
class Lines:
    """Puts what a store says together to whole lines."""

    _begun: bytes = field(default=b"", init=False)
    _passing_over: bool = field(default=False, init=False)

    def shown(self, octets: bytes, secrets: tuple[bytes, ...]) -> Iterator[bytes]:
        """Yield what is shown of the lines that are whole now; there are secrets as long as a login is pending."""
        *whole, self._begun = (self._begun + octets).split(b"\n")
        for line in whole:
            yield HIDDEN if self._passing_over or len(line) > LONGEST else _shown(line.rstrip(b"\r"), secrets)
            self._passing_over = bool(secrets) and line.endswith((b"}", b"}\r"))  # a literal may be a challenge
        if len(self._begun) > LONGEST:
            self._begun, self._passing_over = b"", True


def _shown(line: bytes, secrets: tuple[bytes, ...]) -> bytes:
    if secrets and _CHALLENGES.match(line):
        return CHALLENGE
    return without(_LAST_WORD.sub(rb"\1***", line), secrets)
