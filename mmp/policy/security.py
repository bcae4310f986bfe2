"""What a client may use to log in, by what protects its connection."""

from __future__ import annotations

from mmp.model import Offer, Security

PLAINTEXT_MECHANISMS = frozenset({"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"})
"""Those that show the secret itself to whoever listens; an access token is as good as a password."""


def offer(
    mechanisms: tuple[str, ...],
    restrict_plain_passwords: bool,  # noqa: FBT001 - the configuration's own keys, in its order
    plaintext_min_cipher: int,
    security: Security,
    starttls: bool,  # noqa: FBT001 - likewise
) -> Offer:
    """Return what to offer of the configured mechanisms, in their order; STARTTLS only before TLS.

    ``plaintext_min_cipher`` is in bits and judges the cipher of a TLS connection: 0 takes any, -1 takes no plaintext
    password at all. Whether one is taken without TLS is for ``restrict_plain_passwords`` alone to say. EXTERNAL is for
    those who have shown a certificate that is good.
    """
    plaintext = _takes_plaintext(restrict_plain_passwords, plaintext_min_cipher, security)
    return Offer(
        mechanisms=tuple(name for name in mechanisms if _usable(name, security, plaintext=plaintext)),
        plaintext=plaintext,
        starttls=starttls and not security.encrypted,
    )


def _usable(mechanism: str, security: Security, *, plaintext: bool) -> bool:
    if mechanism == "EXTERNAL":
        return bool(security.certificate)
    return plaintext or mechanism not in PLAINTEXT_MECHANISMS


def _takes_plaintext(restricted: bool, min_bits: int, security: Security) -> bool:  # noqa: FBT001 - see above
    if min_bits < 0:
        return False
    if not security.encrypted:
        return not restricted
    return security.bits >= min_bits
