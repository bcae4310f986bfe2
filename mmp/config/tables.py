"""Turns TOML tables into the schema's classes, noting every mistake with its path."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin

from attrs import AttrsInstance, define, evolve, field, fields, frozen, has, resolve_types

from mmp.config.kinds import File, PluginSettings
from mmp.config.values import CONVERTER, show

Table = TypeVar("Table", bound=AttrsInstance)

_NAME = re.compile("[A-Za-z0-9_-]+")
"""What TOML takes for a key without quotes."""


@frozen
class Finding:
    """What is wrong or doubtful at a path; not worth telling if a path that it ``rests`` on is mistaken itself."""

    path: str
    text: str
    rests: tuple[str, ...] = field(default=(), eq=False)

    def __str__(self) -> str:
        """Return the line that the operator reads."""
        return f"{self.path}: {self.text}"


def join(path: str, key: str) -> str:
    """Return the path of a key in a table, quoted as TOML would where it must be; the top is the empty path."""
    spelled = key if _NAME.fullmatch(key) else json.dumps(key)
    return f"{path}.{spelled}" if path else spelled


def keys(shape: type[AttrsInstance]) -> dict[str, Any]:
    """Return the kind of value that each key of a table holds."""
    return {attribute.name: attribute.type for attribute in fields(resolve_types(shape, include_extras=True))}


def merge(table: Table, given: Mapping[str, Any]) -> Table:
    """Return the table with what is given in place of its own values; tables in it are merged likewise."""
    return _with(
        table,
        {
            key: merge(getattr(table, key), value) if has(type(getattr(table, key))) else value
            for key, value in given.items()
        },
    )


def resolve(table: Table, folder: Path) -> Table:
    """Return the table with every file name in it made absolute."""

    def resolved(kind: Any, value: Any) -> Any:
        if kind == File:
            return str(folder / value) if value else ""
        if kind == PluginSettings:
            return {key: resolved(File, item) if _is_file(key, item) else item for key, item in value.items()}
        if isinstance(value, tuple):
            return tuple(resolved(get_args(kind)[0], item) for item in value)
        return resolve(value, folder) if has(type(value)) else value

    return _with(table, {key: resolved(kind, getattr(table, key)) for key, kind in keys(type(table)).items()})


def _is_file(key: str, value: object) -> bool:
    return key.endswith("_file") and isinstance(value, str)


def _with(table: Table, values: Mapping[str, Any]) -> Table:
    changed: Table = evolve(cast("Any", table), **values)
    return changed


@define
class Reading:
    """Reads tables and collects what is wrong in them.

    ``doubtful`` are the paths whose values are not known: what rests on them cannot be judged.
    """

    homes: Mapping[str, str]
    mistakes: list[Finding] = field(factory=list)
    doubtful: list[str] = field(factory=list)

    def table(self, kinds: Mapping[str, Any], raw: Mapping[str, Any], path: str) -> dict[str, Any]:
        """Return the values given in a table, those of tables in it as dictionaries; what is mistaken is left out."""
        values = {}
        for key, value in raw.items():
            where = join(path, key)
            if key not in kinds:
                self._unknown(key, kinds, path)
                continue
            try:
                values[key] = self._value(kinds[key], value, where)
            except ValueError as error:
                self.note(where, str(error))
        return values

    def note(self, path: str, text: str) -> None:
        """Add a mistake."""
        self.mistakes.append(Finding(path, text))
        self.doubtful.append(path)

    def judge(self, derived: Iterator[Finding]) -> None:
        """Add mistakes in what the values mean together, unless already told or resting on what is not known."""
        for mistake in derived:
            rests = (mistake.path, *mistake.rests)
            if mistake not in self.mistakes and not any(_overlap(a, b) for a in rests for b in self.doubtful):
                self.mistakes.append(mistake)

    def _value(self, kind: Any, raw: object, path: str) -> Any:
        if has(kind) or get_origin(kind) is Mapping:
            if not isinstance(raw, dict):
                raise ValueError(f"must be a table, not {show(raw)}")
            return self.table(keys(kind), raw, path) if has(kind) else self._named(get_args(kind)[1], raw, path)
        if get_origin(kind) is tuple:
            if not isinstance(raw, list):
                raise ValueError(f"must be a list, not {show(raw)}")
            return tuple(self._items(get_args(kind)[0], raw, path))
        return CONVERTER.structure(raw, kind)

    def _named(self, kind: Any, raw: Mapping[str, object], path: str) -> dict[str, Any]:
        """Return tables by the names that the operator has given them."""
        named = {}
        for name, item in raw.items():
            where = join(path, name)
            if not _NAME.fullmatch(name):
                self.note(where, "is named with something else than letters, digits, - and _")
            elif not isinstance(item, dict):
                self.note(where, f"must be a table, not {show(item)}")
            else:
                named[name] = merge(kind(), self.table(keys(kind), item, where))
        return named

    def _items(self, kind: Any, raw: list[object], path: str) -> Iterator[Any]:
        for number, item in enumerate(raw, 1):
            where = f"{path}[{number}]"
            try:
                value = self._value(kind, item, where)
            except ValueError as error:
                self.note(where, str(error))
            else:
                yield merge(kind(), value) if has(kind) else value

    def _unknown(self, key: str, kinds: Mapping[str, Any], path: str) -> None:
        if close := difflib.get_close_matches(key, kinds, n=1):
            hint = f"did you mean {close[0]}?"
            self.doubtful.append(join(path, close[0]))
        elif key in self.homes:
            hint = f"it belongs in [{self.homes[key]}]"
        else:
            hint = f"known here are {', '.join(kinds)}"
        self.note(join(path, key), f"unknown key; {hint}")


def _overlap(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    return longer == shorter or longer.startswith((f"{shorter}.", f"{shorter}["))
