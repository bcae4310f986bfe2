"""Writes TOML, as the standard library only reads it."""

import json


def document(tables):
    """Return nested dictionaries as TOML; a list of dictionaries becomes inline tables."""
    return "".join(_lines(tables, ()))


def _lines(table, path):
    for key, value in table.items():
        if not isinstance(value, dict):
            yield f"{_key(key)} = {_value(value)}\n"
    for key, value in table.items():
        if isinstance(value, dict):
            below = (*path, _key(key))
            yield f"\n[{'.'.join(below)}]\n"
            yield from _lines(value, below)


def _key(key):
    return json.dumps(key)


def _value(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[ " + ", ".join(map(_value, value)) + " ]"
    return json.dumps(value)  # strings, numbers and booleans are written alike
