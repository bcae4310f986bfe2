"""One value of TOML to one value of the schema and back, without any of the leniency that a converter usually has."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from cattrs import Converter

from mmp.config.kinds import Between, Settings, Text

_KEY: Final = re.compile("[A-Za-z0-9_-]+")
"""What TOML takes for a key without quotes."""
_PASSWORD: Final = re.compile("(?<=://).*(?=@)", re.DOTALL)
"""Who a URL is opened as; a password does not belong there, nor, if it stands there, in a log."""
_SHOWN: Final = 60
"""Characters of a wrong value that are repeated to the operator."""
_BITS: Final = 64
"""TOML's whole numbers have no more; Python reads longer ones, which it then cannot write."""


def show(raw: object) -> str:
    """Return a wrong value as it was written, as far as that helps and tells no password."""
    match raw:
        case int() if raw.bit_length() > _BITS:
            return "a number that is too large"
        case bool() | int():
            return json.dumps(raw)
        case float():
            return repr(raw)
        case str():
            text = _PASSWORD.sub("***", raw)
            return json.dumps(text if len(text) <= _SHOWN else text[:_SHOWN] + "…", ensure_ascii=not raw.isprintable())
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def choices(kind: Any) -> tuple[str, ...]:
    """Return the spellings of an enum or a Literal."""
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return tuple(member.value for member in kind)
    return get_args(kind)


def allowed(kind: Any) -> str:
    """Describe what may stand for a value of this kind."""
    if constraint := _constraint(kind):
        return constraint.allowed
    if kind is bool:
        return "true or false"
    if kind is str:
        return "a string"
    *others, last = (json.dumps(choice) for choice in choices(kind))
    return f"{', '.join(others)} or {last}" if others else last


def _constraint(kind: Any) -> Text | Between | Settings | None:
    return get_args(kind)[1] if get_origin(kind) is Annotated else None


def _refusal(raw: object, kind: Any) -> ValueError:
    return ValueError(f"must be {allowed(kind)}, not {show(raw)}")


def _string(raw: object, kind: Any) -> str:
    if not isinstance(raw, str):
        raise _refusal(raw, kind)
    if not raw.isprintable():
        raise ValueError(f"{show(raw)} has characters that cannot be printed")
    return raw


def _boolean(raw: object, kind: Any) -> bool:
    if not isinstance(raw, bool):
        raise _refusal(raw, kind)
    return raw


def _number(raw: object, kind: Any) -> int:
    bounds = get_args(kind)[1]
    if isinstance(raw, bool) or not isinstance(raw, int) or not bounds.least <= raw <= bounds.most:
        raise _refusal(raw, kind)
    return raw


def _text(raw: object, kind: Any) -> Any:
    text = _string(raw, kind)
    try:
        return get_args(kind)[1].parse(text)
    except ValueError as error:
        raise ValueError(f"{show(text)} {error}") from None


def _choice(raw: object, kind: Any) -> Any:
    if not isinstance(raw, str) or raw not in choices(kind):
        raise _refusal(raw, kind)
    return kind(raw) if isinstance(kind, type) else raw


def _settings(raw: object, kind: Any) -> Any:
    if not isinstance(raw, dict):
        raise _refusal(raw, kind)
    _check_plain(raw)
    return raw


def _check_plain(raw: object) -> None:
    """Raise ValueError at what could not be written as we write TOML."""
    match raw:
        case dict():
            for key, value in raw.items():
                if not _KEY.fullmatch(key):
                    raise ValueError(f"{show(key)} is no key of letters, digits, - and _")
                _check_plain(value)
        case list():
            for value in raw:
                _check_plain(value)
        case str():
            _string(raw, str)
        case int() if raw.bit_length() > _BITS:
            raise ValueError(f"has {show(raw)} in it")
        case bool() | int() | float():
            return
        case _:
            raise ValueError("has a date or time in it, which nobody here reads")


def _is(sort: type) -> Callable[[Any], bool]:
    return lambda kind: isinstance(_constraint(kind), sort)


def _is_choice(kind: Any) -> bool:
    return get_origin(kind) is Literal or (isinstance(kind, type) and issubclass(kind, enum.Enum))


def _converter() -> Converter:
    converter = Converter(detailed_validation=False)
    converter.register_structure_hook(str, _string)
    converter.register_structure_hook(bool, _boolean)
    converter.register_structure_hook_func(_is_choice, _choice)
    converter.register_structure_hook_func(_is(Between), _number)
    converter.register_structure_hook_func(_is(Text), _text)
    converter.register_structure_hook_func(_is(Settings), _settings)
    converter.register_unstructure_hook_func(_is(Settings), dict)
    converter.register_unstructure_hook_factory(_is(Text), lambda kind: get_args(kind)[1].render)
    return converter


CONVERTER: Final = _converter()
