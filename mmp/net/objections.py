"""What OpenSSL objects to in TLS settings, asked before anybody relies on them.

Whether it takes a key, a digest or a cipher list depends on its version and on how the system has set it up, so it is
asked by doing what will be done with them.
"""

from __future__ import annotations

from collections.abc import Callable

from OpenSSL import SSL

from mmp.net.certificates import Chain
from mmp.net.tls import ClientTLS, FrontSettings, ServerTLS


def to_serving(chain: Chain, min_version: str, ciphers: str) -> str:
    """Return why this chain cannot be shown to clients, in OpenSSL's words; empty if it can."""
    settings = FrontSettings(min_version, key_period=1.0, ciphers=ciphers)
    return _objection(lambda: ServerTLS((), settings, [chain], period=lambda: 0))


def to_showing(chain: Chain) -> str:
    """Return why this chain cannot be shown to a store; empty if it can."""
    return _objection(lambda: ClientTLS(own=chain))


def to_ciphers(ciphers: str) -> str:
    """Return why this list for TLS 1.2 and older cannot be used; empty if it can."""
    return _objection(lambda: SSL.Context(SSL.TLS_SERVER_METHOD).set_cipher_list(ciphers.encode()))


def _objection(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except SSL.Error as error:
        (reasons,) = error.args or ([],)
        return "; ".join(reason for _, _, reason in reasons) or "it gives no reason"
    return ""
