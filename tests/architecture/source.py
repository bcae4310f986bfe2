"""A source tree as the rules see it: modules, what they import, and where."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from attrs import frozen

PROTOCOLS = ("imap", "pop3", "submission", "managesieve")
ROOTS = (
    "mmp.tap",
    "mmp.supervisor",
    "mmp.succession",
    "mmp.rehearsal",
    "mmp.zygote",
    "mmp.worker",
    "mmp.cores",
    "mmp.receptions",
    "mmp.encryption",
    "mmp.dials",
    "mmp.authenticators",
    "mmp.administration",
    "mmp.admission",
    "mmp.sharing",
    "mmp.demo",
)
"""The composition roots: the programs, and what makes their parts from the configuration."""


@frozen
class Import:
    """One imported name: ``target`` is the module, with the name behind it where one was taken from it."""

    target: str
    line: int
    eager: bool
    """Whether it happens when the module is loaded: not in a function, not for the type checker alone."""


@frozen
class Module:
    """One source file."""

    name: str
    path: str
    tree: ast.Module
    imports: tuple[Import, ...]

    def within(self, *packages: str) -> bool:
        """Say whether this is one of those modules or in one of those packages."""
        return within(self.name, *packages)

    def at(self, line: int, what: str) -> str:
        """Return a violation: where, and what is wrong."""
        return f"{self.path}:{line}: {what}"


Modules = Mapping[str, Module]
Rule = Callable[[Modules], Iterator[str]]


def within(name: str, *packages: str) -> bool:
    """Say whether a dotted name is one of those or below one of those."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def read(root: Path, *folders: str) -> dict[str, str]:
    """Return the sources below the folders by their paths from the root."""
    return {
        str(path.relative_to(root)): path.read_text("utf-8")
        for folder in folders
        for path in sorted((root / folder).rglob("*.py"))
    }


def parse(sources: Mapping[str, str]) -> Modules:
    """Return the modules by their dotted names."""
    modules = (_module(path, source) for path, source in sources.items())
    return {module.name: module for module in modules}


def walk_eager(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk what runs when a module is loaded."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _for_types_only(node):
            continue
        yield node
        yield from walk_eager(node)


def last_word(node: ast.AST) -> str:
    """Return the last identifier of ``a.b.c``, empty for anything else."""
    match node:
        case ast.Name(name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _module(path: str, source: str) -> Module:
    parts = path.removesuffix(".py").split("/")
    package = parts[:-1]
    name = ".".join(package if parts[-1] == "__init__" else parts)
    tree = ast.parse(source, path)
    eager = set(walk_eager(tree))
    found = (
        Import(target, node.lineno, node in eager) for node in ast.walk(tree) for target in _targets(node, package)
    )
    return Module(name, path, tree, tuple(found))


def _targets(node: ast.AST, package: list[str]) -> list[str]:
    match node:
        case ast.Import(names):
            return [alias.name for alias in names]
        case ast.ImportFrom(origin, names, level):
            above = package[: len(package) - level + 1] if level else []
            start = ".".join([*above, *([origin] if origin else [])])
            return [f"{start}.{alias.name}" for alias in names]
        case ast.Call(func, [ast.Constant(str(target)), *_]) if last_word(func) in {"import_module", "__import__"}:
            return [target]
        case _:
            return []


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and last_word(node.test) == "TYPE_CHECKING"
