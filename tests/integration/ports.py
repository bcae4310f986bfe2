"""Free ports that no other test process takes, whichever run it belongs to."""

import random
import socket
from contextlib import ExitStack, closing

from attrs import define, field

RANGE = range(20000, 32000)
"""Below the ports that Linux gives to outgoing connections."""


@define
class Ports:
    """Hands out ports; they stay ours until this is closed."""

    claims: ExitStack = field(factory=ExitStack)

    def free(self):
        """Return a port that is free on all addresses."""
        while True:
            port = random.choice(RANGE)  # noqa: S311 - nothing secret
            claim = socket.socket(socket.AF_UNIX)
            try:
                claim.bind(f"\0mmp-test-port-{port}")  # an abstract name: gone with the process
                with closing(socket.socket(socket.AF_INET6)) as probe:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                    probe.bind(("::", port))
            except OSError:
                claim.close()
            else:
                self.claims.enter_context(claim)
                return port

    def close(self):
        """Give all ports back."""
        self.claims.close()
