"""Writes the reference of the configuration file in Markdown: ``python -m mmp.config.reference``."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, get_args, get_origin

from attrs import has

from mmp.config.render import value
from mmp.config.schema import Config, Listener
from mmp.config.tables import keys
from mmp.config.values import CONVERTER, allowed

_INTRODUCTION = """\
# Configuration

The file is TOML. Every key has a default, so a file holds only what differs; at least one `[[listener]]` is needed.
Durations are strings with a unit: `ms`, `s`, `m`, `h` or `d`. Networks are in CIDR notation.
File names are relative to the folder of the configuration file. A secret is never in the file itself: a key that ends
in `_file` names the file that holds one, and a newline at that file's end is ignored.

`mmp check FILE` tells every mistake at once, each with its path: `listener[2].tls` is the key `tls` of the second
`[[listener]]`, for lists count from one. `mmp config FILE` prints the whole configuration in force.
"""

_LISTENER = """\
One table for each address and port. Besides its own keys it may give any key of `[login]`, `[tls]` and `[directory]`
that is different for its clients, written in the same table; those of `[directory.ldap]` and `[directory.file]` in
`ldap = { … }` and `file = { … }`.
"""

_NAMED = """\
As many of these as you like, each with a name of letters, digits, `-` and `_`.
"""


def reference() -> str:
    """Return the whole document."""
    defaults = CONVERTER.unstructure(Config())
    (listener,) = defaults.pop("listener")
    parts = [
        _INTRODUCTION,
        _section("At the top", Config, defaults),
        _section("`[[listener]]`", Listener, listener, _LISTENER),
        *_tables(Config, "", defaults),
    ]
    return "\n".join(parts)


def _tables(shape: Any, path: str, defaults: Mapping[str, Any]) -> Iterator[str]:
    for key, kind in keys(shape).items():
        where = f"{path}.{key}" if path else key
        if has(kind):
            yield _section(f"`[{where}]`", kind, defaults[key])
            yield from _tables(kind, where, defaults[key])
        elif get_origin(kind) is Mapping:
            named = get_args(kind)[1]
            yield _section(f"`[{where}.NAME]`", named, CONVERTER.unstructure(named()), _NAMED)


def _section(title: str, shape: Any, defaults: Mapping[str, Any], preface: str = "") -> str:
    """Return a heading and the table of a TOML table's own keys."""
    sentences = docs(shape)
    rows = [
        f"| `{key}` | {_cell(_allowed(kind))} | {_cell(f'`{value(defaults[key])}`')} | {_cell(sentences[key])} |\n"
        for key, kind in keys(shape).items()
        if key in defaults and not (has(kind) or get_origin(kind) is Mapping)
    ]
    head = "| key | allowed | default | meaning |\n|---|---|---|---|\n"
    return f"## {title}\n\n{preface}{preface and chr(10)}{head}{''.join(rows)}"


def _allowed(kind: Any) -> str:
    if get_origin(kind) is not tuple:
        return allowed(kind)
    item = get_args(kind)[0]
    return f"a list, each {{ {', '.join(keys(item))} }}" if has(item) else f"a list, each {allowed(item)}"


def _cell(text: str) -> str:
    """Keep a bar in the text from ending the cell."""
    return text.replace("|", "\\|")


def docs(shape: type) -> dict[str, str]:
    """Return the sentence that stands below each key in the source of a table's class."""
    module = ast.parse(inspect.getsource(shape))
    definition = next(node for node in module.body if isinstance(node, ast.ClassDef))
    sentences = {}
    for key, below in pairwise(definition.body):
        match key, below:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(sentence))):
                sentences[name] = sentence
    return sentences


if __name__ == "__main__":
    sys.stdout.write(reference())
