"""Remembers for a while which passwords were right."""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Callable

from attrs import evolve

from mmp.directory.changes import Changed, comparable
from mmp.directory.entry import Entry
from mmp.directory.verify import WRONG, Judge, Verdict
from mmp.interfaces import Ask
from mmp.model import Credentials
from mmp.wire.sasl import replayed


class Remembered:
    """A judge that asks another one only about passwords that it has not lately found right.

    What is kept of them is a digest under a key that never leaves this process. Those that were wrong are judged anew
    each time: a password that was just changed must be taken at once. The clock counts seconds and never goes back.
    """

    def __init__(self, judge: Judge, size: int, lifetime: float, clock: Callable[[], float], key: bytes) -> None:
        self._judge = judge
        self._size = size
        self._lifetime = lifetime
        self._clock = clock
        self._key = key
        self._right: OrderedDict[bytes, tuple[float, str, Verdict]] = OrderedDict()
        """Until when a verdict holds, and the name of the entry that the password was right for."""
        self._changes = 0

    def forget(self, changed: Changed = None) -> None:
        """Judge those anew whose entries have changed, or everybody."""
        self._changes += 1
        if changed is None:
            self._right.clear()
        else:
            for known in [known for known, (_, name, _) in self._right.items() if comparable(name) in changed]:
                del self._right[known]

    async def __call__(self, entry: Entry | None, credentials: Credentials, ask: Ask) -> Verdict:
        """Judge the secret; mechanisms that do not say it are always judged."""
        if entry is None or credentials.proves is not None or replayed(credentials.mechanism) != "PLAIN":
            return await self._judge(entry, credentials, ask)
        known = self._digest(entry, credentials)
        until, _, verdict = self._right.get(known, (0.0, "", WRONG))
        if until > self._clock():
            self._right.move_to_end(known)
            return verdict
        self._right.pop(known, None)
        changes = self._changes
        verdict = await self._judge(entry, credentials, ask)
        if verdict.right and changes == self._changes:  # else it was perhaps judged before the change
            self._keep(known, entry.name, verdict)
        return verdict

    def _keep(self, known: bytes, name: str, verdict: Verdict) -> None:
        """Remember a verdict without its note, which is news only once."""
        self._right[known] = self._clock() + self._lifetime, name, evolve(verdict, note="")
        if len(self._right) > self._size:
            self._right.popitem(last=False)

    def _digest(self, entry: Entry, credentials: Credentials) -> bytes:
        """Return what stands for a password, together with all that it was right for: another entry needs another."""
        judged = (entry.at, entry.name, sorted(entry.attributes.items()), credentials.mechanism, credentials.secret)
        return hmac.digest(self._key, repr(judged).encode("utf-8", "surrogatepass"), "sha256")
