"""Coroutines that wait as those of a session do, begun by a test that looks at a Deferred of the outcome."""

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mmp.net.running import Running


def started(coroutine):
    """Run it as far as it goes by itself; cancelling the Deferred cancels what it waits for."""

    def told(result):
        done.callback(Failure(result) if isinstance(result, BaseException) else result)

    running = Running(coroutine, told)
    done = Deferred(lambda _: running.cancel())
    running.go_on()
    return done


def awaited(awaitable):
    """Begin to wait for it; return the Deferred of the outcome."""
    return started(_outcome(awaitable))


async def _outcome(awaitable):
    return await awaitable
