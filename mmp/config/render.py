"""Writes a configuration as TOML, every key with the value in force."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmp.config.schema import OVERRIDABLE, Config
from mmp.config.values import CONVERTER


def render(config: Config) -> str:
    """Return a file that loads as this configuration. Secrets are in other files, whose names alone are shown."""
    tables = CONVERTER.unstructure(config)
    listeners = [_listener(listener, tables) for listener in tables.pop("listener")]
    return document(listeners, tables)


def document(listeners: Sequence[Mapping[str, Any]], tables: Mapping[str, Any]) -> str:
    """Return a file of these tables, as plain values, with the listeners before all but the keys at the top."""
    first, *others = _tables("", tables)
    repeated = [f"[[listener]]\n{_keys(listener)}" for listener in listeners]
    return "\n".join([first, *repeated, *others])


def value(plain: Any) -> str:
    """Return a value as TOML has it in one line. Its strings have printable characters alone."""
    match plain:
        case Mapping():
            return f"{{ {', '.join(f'{key} = {value(item)}' for key, item in plain.items())} }}"
        case list() | tuple():
            return f"[{', '.join(value(item) for item in plain)}]"
        case float():
            return repr(plain)  # TOML has inf and nan
        case _:
            return json.dumps(plain, ensure_ascii=False)


def _listener(listener: dict[str, Any], tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return a listener's own keys and what it has in place of the common tables."""
    own = {key: item for key, item in listener.items() if key not in OVERRIDABLE}
    for attribute, table in OVERRIDABLE.items():
        own |= _differing(listener[attribute], tables[table])
    return own


def _differing(table: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _differing(item, common[key]) if isinstance(item, Mapping) else item
        for key, item in table.items()
        if item != common[key]
    }


def _tables(path: str, table: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table's own keys under its header, then each table in it."""
    header = f"[{path}]\n" if path else ""
    yield header + _keys({key: item for key, item in table.items() if not isinstance(item, Mapping)})
    for key, item in table.items():
        if isinstance(item, Mapping):
            yield from _tables(f"{path}.{key}" if path else key, item)


def _keys(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {value(item)}\n" for key, item in table.items())
