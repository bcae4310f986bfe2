"""Names, docstrings, tables and lists that must be complete."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from tests.architecture.source import PROTOCOLS, Module, Modules, last_word

EMPTY_WORDS = {"handler", "manager", "processor", "engine", "helper", "utils", "base", "common", "data", "info"}
BARE_WORDS = {"server", "upstream", "remote", "peer"}
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def names_say_what_things_are(modules: Modules) -> Iterator[str]:
    """No module or class is called handler, manager and the like."""
    for module in modules.values():
        yield from _empty_words(module, module.name.rpartition(".")[2], 1)
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                yield from _empty_words(module, node.name, node.lineno)


def sides_have_their_names(modules: Modules) -> Iterator[str]:
    """It is the client, or the backend or store: never a bare server, upstream, remote or peer."""
    for module in modules.values():
        is_role = module.within("mmp.wire", "mmp.cores")  # where a protocol has a server and a client side
        bare = BARE_WORDS - {"server"} if is_role else BARE_WORDS
        if module.name.rpartition(".")[2] in bare:
            yield module.at(1, f"is called {module.name.rpartition('.')[2]}: say which side")
        for node in ast.walk(module.tree):
            name = _defined(node)
            if name.strip("_").lower() in bare:
                yield module.at(node.lineno, f"calls something {name}: say which side")


def modules_say_their_purpose(modules: Modules) -> Iterator[str]:
    """Every module opens with a docstring; a protocol's names the RFC, and its server and client say their side."""
    for module in modules.values():
        text = ast.get_docstring(module.tree) or ""
        if not text:
            yield module.at(1, "has no docstring that says its purpose")
        _, _, protocol, *rest = [*module.name.split("."), "", "", ""]
        if module.within("mmp.wire") and protocol in PROTOCOLS and rest[0]:
            if not re.search(r"RFC \d", text):
                yield module.at(1, "names no RFC section")
            side = {"server": "client", "client": "store"}.get(rest[0], "")
            if side not in text.partition("\n")[0]:
                yield module.at(1, f"does not say in its first line that it is the side toward the {side}")


def every_refusal_has_words(modules: Modules) -> Iterator[str]:
    """Each protocol's table words every member of Refusal."""
    if "mmp.model" not in modules:
        return
    members = _members(modules["mmp.model"].tree, "Refusal")
    for protocol in PROTOCOLS:
        if f"mmp.wire.{protocol}.server" not in modules:
            continue
        replies = modules.get(f"mmp.wire.{protocol}.replies")
        if replies is None:
            yield f"mmp/wire/{protocol}/replies.py:1: is missing: the table that words refusals"
            continue
        for missing in sorted(members - _rows(replies.tree, "Refusal")):
            yield replies.at(1, f"has no row for Refusal.{missing}")


def packages_are_listed(modules: Modules, listed: Sequence[str]) -> Iterator[str]:
    """Every folder with modules is a package that setup.cfg lists, and the other way round."""
    packages = {module.name for module in modules.values() if module.path.endswith("/__init__.py")}
    folders = {module.path.rpartition("/")[0].replace("/", ".") for module in modules.values()}
    for folder in sorted(folders - packages):
        yield f"{folder.replace('.', '/')}:1: has no __init__.py"
    for package in sorted((folders | packages) ^ set(listed)):
        known = "is not a package of the tree" if package in listed else "is not listed"
        yield f"setup.cfg:1: {package} {known}"


def _empty_words(module: Module, name: str, line: int) -> Iterator[str]:
    for word in WORD.findall(name):
        if {word.lower(), f"{word.lower()}s", word.lower().removesuffix("s")} & EMPTY_WORDS:
            yield module.at(line, f"is called {name}: {word} says nothing about what it does")


def _defined(node: ast.AST) -> str:
    match node:
        case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
            return name
        case ast.Name(name, ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(name):
            return name
        case _:
            return ""


def _members(tree: ast.Module, enumeration: str) -> set[str]:
    return {
        last_word(target)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name == enumeration
        for part in node.body
        if isinstance(part, ast.Assign)
        for target in part.targets
    }


def _rows(tree: ast.Module, enumeration: str) -> set[str]:
    return {
        key.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Attribute) and last_word(key.value) == enumeration
    }
