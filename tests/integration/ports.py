"""Free ports that no other test process takes, whichever run it belongs to."""

import random
import socket
from contextlib import ExitStack, closing, suppress

from attrs import define, field

RANGE = range(20000, 32000)
"""Below the ports that Linux gives to outgoing connections."""


@define
class Ports:
    """Hands out ports; they stay ours until this is closed."""

    claims: ExitStack = field(factory=ExitStack)

    def free(self):
        """Return a port that is free on all addresses."""
        return self.base([0])

    def base(self, offsets):
        """Return a number that becomes a free port when any of these is added."""
        while True:
            base = random.choice(RANGE)  # noqa: S311 - nothing secret
            with ExitStack() as held, suppress(OSError):
                for offset in offsets:
                    _claim(base + offset, held)
                self.claims.enter_context(held.pop_all())
                return base

    def close(self):
        """Give all ports back."""
        self.claims.close()


def _claim(port, held):
    """Claim a port among the tests and see that nobody else has it; OSError if either fails."""
    claim = held.enter_context(socket.socket(socket.AF_UNIX))
    claim.bind(f"\0mmp-test-port-{port}")  # an abstract name: gone with the process
    with closing(socket.socket(socket.AF_INET6)) as probe:
        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        probe.bind(("::", port))
