"""Running coroutines and looking at Deferreds where no reactor runs."""

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mmp.errors import Refused


def started(coroutine):
    """Run it as far as it goes by itself."""
    return Deferred.fromCoroutine(coroutine)


def finished(deferred):
    """Return the result, or raise the failure, of what must have one by now."""
    outcomes = []
    deferred.addBoth(outcomes.append)
    assert outcomes, "not finished"
    if isinstance(outcomes[0], Failure):
        outcomes[0].raiseException()
    return outcomes[0]


def run(coroutine):
    """Return the result of one that waits for nothing."""
    return finished(started(coroutine))


def pending(deferred):
    """Whether it has no result yet."""
    return not deferred.called


def refusal(deferred):
    """Return the Refused that must have come out by now."""
    with pytest.raises(Refused) as raised:
        finished(deferred)
    return raised.value
