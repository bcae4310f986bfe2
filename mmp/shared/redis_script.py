"""Questions as the script in ``redis.lua`` reads them, and its replies as whoever asked reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from mmp.policy.badness import REMEMBERED, Record
from mmp.policy.throttle import Known
from mmp.shared.store import (
    Announce,
    Count,
    Fail,
    Fetch,
    Forget,
    Heard,
    Hold,
    Item,
    Look,
    Question,
    StoreError,
    Strike,
    Take,
    Uncount,
    Vouch,
)

DIGEST: Final = 8
"""Octets of the digests of failures."""


def written(questions: Sequence[Question]) -> tuple[list[bytes], list[Any]]:
    """Return the keys and the further arguments of the script."""
    keys: list[bytes] = []
    words: list[Any] = []
    for question in questions:
        _WORDS[type(question)](question, keys, words)
    return keys, words


def _take(question: Take, keys: list[bytes], words: list[Any]) -> None:
    words += ("take", len(question.slots))
    for slot in question.slots:
        keys.append(slot.key)
        words += (slot.own, slot.most, int(slot.observed))


def _hold(question: Hold, keys: list[bytes], words: list[Any]) -> None:
    keys.append(question.key)
    words += ("hold", question.own)


def _count(question: Count, keys: list[bytes], words: list[Any]) -> None:
    keys.append(question.key)
    words += ("count", repr(question.step), repr(question.period))


def _uncount(question: Uncount, keys: list[bytes], words: list[Any]) -> None:
    keys.append(question.key)
    words += ("uncount", repr(question.step))


def _look(question: Look, keys: list[bytes], words: list[Any]) -> None:
    keys += (question.household, question.user, question.vouched)
    words.append("look")


def _failed(question: Fail, keys: list[bytes], words: list[Any]) -> None:
    rules = question.penalties
    keys.append(question.key)
    words += ("fail", question.digest.hex(), REMEMBERED)
    words += (repr(rules.penalty), repr(rules.most), repr(rules.decay), int(rules.linear))


def _forget(question: Forget, keys: list[bytes], words: list[Any]) -> None:
    keys.append(question.key)
    words.append("forget")


def _strike(question: Strike, keys: list[bytes], words: list[Any]) -> None:
    keys.append(question.key)
    words += ("strike", question.digest.hex(), question.after, repr(question.window))


def _announce(question: Announce, keys: list[bytes], words: list[Any]) -> None:
    keys += question.keys
    words += ("announce", _hex(question.subject), repr(question.seconds), repr(question.kept), _hex(question.text))


def _hex(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").hex()


def _fetch(question: Fetch, keys: list[bytes], words: list[Any]) -> None:
    keys += question.keys
    words += ("fetch", question.era, question.number)


def _vouch(question: Vouch, keys: list[bytes], words: list[Any]) -> None:
    keys.append(question.key)
    words += ("vouch", repr(question.seconds))


_WORDS: Final[dict[type, Callable[[Any, list[bytes], list[Any]], None]]] = {
    Take: _take,
    Hold: _hold,
    Count: _count,
    Uncount: _uncount,
    Look: _look,
    Fail: _failed,
    Forget: _forget,
    Vouch: _vouch,
    Strike: _strike,
    Announce: _announce,
    Fetch: _fetch,
}


# Replies


def read(replies: list[Any], questions: Sequence[Question]) -> list[Any]:
    """Return what the script's replies mean; StoreError if they cannot be that."""
    if len(replies) != len(questions):
        raise StoreError("the number of replies is wrong")
    return [_reply(question, reply) for question, reply in zip(questions, replies, strict=True)]


def _reply(question: Question, reply: Any) -> Any:
    if isinstance(question, Look):
        household, user, milliseconds = reply.split("|")
        return Known(_record(household), _record(user), max(0, int(milliseconds)) / 1000)
    if isinstance(question, Fetch):
        return _heard(reply)
    if not isinstance(reply, int):
        raise StoreError("a reply is no number")
    return reply / 1e6 if isinstance(question, Count) else reply


def _record(line: str) -> Record | None:
    if not line:
        return None
    badness, age, failures, seen = line.split(" ")
    digests = bytes.fromhex(seen)
    each = tuple(digests[at : at + DIGEST] for at in range(0, len(digests), DIGEST))
    return Record(float(badness), float(age), int(failures), each)


def _heard(line: str) -> Heard:
    era, number, anew, goes_on, *items = line.split(" ")
    return Heard(era, int(number), anew == "1", goes_on == "1", tuple(_item(item) for item in items if item))


def _item(item: str) -> Item:
    subject, own, seconds, text = item.split("|")
    return Item(_text(subject), own == "1", float(seconds), _text(text))


def _text(digits: str) -> str:
    return bytes.fromhex(digits).decode("utf-8", "surrogateescape")
