"""The part of ``mmp explain`` that a running proxy knows: limits with their counts, rates, throttle and bans."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Final

from mmp.cli.answer import NOT_RUNNING, Answer, RemoteError
from mmp.directory.explain import Step
from mmp.errors import Refused
from mmp.model import Client, Refusal

_STEPS: Final = frozenset({"throttle", "shared"})
"""What is no limit."""

_REFUSALS: Mapping[str, Refusal] = {
    "ban": Refusal.BANNED,
    "per_user": Refusal.TOO_MANY_SESSIONS,
    "per_backend": Refusal.TOO_MANY_SESSIONS,
    "connections_per_minute": Refusal.RATE_EXCEEDED,
    "logins_per_minute": Refusal.RATE_EXCEEDED,
}
"""What a login hears of each; of limits at the door TOO_MANY_CONNECTIONS."""


def told(control: str, client: Client, names: Mapping[str, str]) -> Iterator[Step]:
    """Yield what is in force for a login, and Refused for what would refuse it; nothing where no proxy is running."""
    if not control:
        return
    asked = Answer(Namespace(control=control), "standing", address=client.address.host, **names)
    try:
        rows = list(asked.items())
    except RemoteError as error:
        if error.status != NOT_RUNNING:
            yield "limits", f"the running proxy does not tell: {error}"
        return
    for row in rows:
        if row["refuses"]:
            kind = "ban" if row["what"] == "ban" else "limit"
            named = row["found"] if kind == "ban" else f"{row['what']}: {row['found']}"
            raise Refused(_REFUSALS.get(row["what"], Refusal.TOO_MANY_CONNECTIONS), f"{kind}: {named}")
        yield (row["what"], row["found"]) if row["what"] in _STEPS else ("limit", f"{row['what']}: {row['found']}")
