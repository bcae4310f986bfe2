"""Passwords as directories keep them: in clear, hashed, or as the keys of SCRAM, with the scheme in front.

``{PLAIN}``, ``{CLEARTEXT}`` and no scheme at all (RFC 4519, 2.41) are clear; ``$argon2id$…``, ``$scrypt$…``, ``$6$…``,
``{SSHA512}…`` and their kin are hashes, with or without a ``{CRYPT}`` or the like before a dollar;
``{SCRAM-SHA-256}4096,salt,stored key,server key`` are keys, as Dovecot writes them.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64decode
from typing import Final

from passlib.context import CryptContext

from mmp.wire.sasl.scram import DIGESTS, Keys

_SCHEME: Final = re.compile(r"\{([A-Za-z0-9.-]+)\}(.*)", re.DOTALL)
_CLEAR: Final = frozenset({"PLAIN", "CLEARTEXT", "CLEAR"})
_HASHES: Final = CryptContext(
    (
        *("argon2", "scrypt", "bcrypt", "sha512_crypt", "sha256_crypt", "pbkdf2_sha512", "pbkdf2_sha256"),
        *("ldap_salted_sha512", "ldap_salted_sha256", "ldap_salted_sha1"),
    )
)
_LEAST_ITERATIONS: Final = 1000
"""Of SCRAM's keys; the standards want 4096, which a password kept for long may not have had."""
_MALFORMED: Final = (ValueError, TypeError)
"""What passlib raises at a hash that is cut off, or has wrong base64 in it."""


def cleartext(kept: str) -> bytes | None:
    """Return the password itself, if that is what is kept."""
    scheme, rest = _taken_apart(kept)
    if scheme in _CLEAR or not (scheme or kept.startswith("$")):
        return rest.encode("utf-8", "surrogateescape")
    return None


def keys(kept: str, mechanism: str, salt: bytes) -> Keys | None:
    """Return what judges proofs by this mechanism, made with the salt if the password is kept in clear; else None.

    To make them takes milliseconds.
    """
    scheme, rest = _taken_apart(kept)
    if scheme == mechanism:
        return _read_keys(rest)
    clear = cleartext(kept)
    return Keys.derive(mechanism, clear, salt) if clear else None


def matches(kept: str, password: bytes) -> bool:
    """Tell whether it is this password; it may take a tenth of a second, and as much memory as the hash asks for."""
    if not password:
        return False
    clear = cleartext(kept)
    if clear is not None:
        return hmac.compare_digest(clear, password)
    scheme, rest = _taken_apart(kept)
    try:
        if scheme in DIGESTS:
            known = _read_keys(rest)
            return Keys.derive(scheme, password, known.salt, known.iterations).stored_key == known.stored_key
        return bool(_HASHES.verify(password, _hash(kept)))
    except _MALFORMED:  # a hash that is none, or a password that no such hash can be made of
        return False


def check(kept: str) -> None:
    """Raise ValueError, with the end of a sentence that does not show it, unless it is in a scheme that we know."""
    scheme, rest = _taken_apart(kept)
    if scheme in _CLEAR:
        return
    if scheme in DIGESTS:
        _read_keys(rest)
        return
    handler = _HASHES.identify(_hash(kept), resolve=True)
    if handler is None:
        raise ValueError('begins with no scheme that we know, such as "$argon2id$", "{SSHA512}", "$6$" or "{PLAIN}"')
    try:
        handler.from_string(_hash(kept))
    except _MALFORMED:
        raise ValueError(f"is no {handler.name} hash, though it begins like one") from None


def _taken_apart(kept: str) -> tuple[str, str]:
    match = _SCHEME.fullmatch(kept)
    return (match[1].upper(), match[2]) if match else ("", kept)


def _hash(kept: str) -> str:
    scheme, rest = _taken_apart(kept)
    return rest if rest.startswith("$") else f"{{{scheme}}}{rest}" if scheme else kept


def _read_keys(text: str) -> Keys:
    try:
        iterations, *encoded = text.split(",")
        salt, stored_key, server_key = (b64decode(each, validate=True) for each in encoded)
        found = Keys(salt, int(iterations), stored_key, server_key)
    except ValueError:
        raise ValueError("has no iterations, salt and two keys of SCRAM behind its scheme") from None
    if found.iterations < _LEAST_ITERATIONS:
        raise ValueError(f"has fewer than {_LEAST_ITERATIONS} iterations")
    return found
