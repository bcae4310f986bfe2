"""What classes inherit and hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.architecture.source import Module, Modules, last_word

SECRET = re.compile(r"(.*_)?(secret|password|passphrase|token)")


def nothing_inherits_our_concrete_classes(modules: Modules) -> Iterator[str]:
    """Of our own classes only protocols and enums without members are inherited; the rest is composed."""
    abstract = {
        f"{module.name}.{node.name}" for module in modules.values() for node in _classes(module) if _is_abstract(node)
    }
    for module in modules.values():
        known = _known_classes(module)
        for node in _classes(module):
            for base in node.bases:
                target = _resolved(base, known)
                if target.startswith("mmp.") and target not in abstract:
                    yield module.at(node.lineno, f"{node.name} inherits {target}, a concrete class of ours")


def values_are_frozen(modules: Modules) -> Iterator[str]:
    """The values and events that every layer shares are enums or frozen attrs classes."""
    for name in ("mmp.model", "mmp.wire.events"):
        for node in _classes(modules[name]) if name in modules else ():
            decorators = {last_word(getattr(each, "func", each)) for each in node.decorator_list}
            if "frozen" not in decorators and "Enum" not in _base_names(node):
                yield modules[name].at(node.lineno, f"{node.name} is neither frozen nor an enum")


def seams_are_typing_protocols(modules: Modules) -> Iterator[str]:
    """Our seams are typing.Protocols: of zope.interface we take what declares an implementation of Twisted's.

    But for the one by which Twisted's plug-in system finds plug-ins.
    """
    for module in modules.values():
        if module.within("mmp.directory.plugin"):
            continue
        for found in module.imports:
            if found.target in {"zope.interface", "zope.interface.Interface", "zope.interface.Attribute"}:
                yield module.at(found.line, "declares a zope interface: our seams are typing.Protocols")


def secrets_are_not_shown(modules: Modules) -> Iterator[str]:
    """A field that holds a secret has repr=False."""
    for module in modules.values():
        for owner in _classes(module):
            for node in owner.body:
                if "Protocol" not in _base_names(owner) and _is_secret(node) and not _hides(node):
                    yield module.at(node.lineno, f"{owner.name} would show a secret: field(repr=False)")


def the_session_keeps_no_credentials(modules: Modules) -> Iterator[str]:
    """Credentials are arguments of the login steps, never an attribute in the session."""
    for module in modules.values():
        if module.within("mmp.session"):
            for node in ast.walk(module.tree):
                if _keeps_credentials(node):
                    yield module.at(node.lineno, "keeps credentials beyond the login step")


def _classes(module: Module) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef))


def _base_names(node: ast.ClassDef) -> set[str]:
    return {last_word(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases}


def _is_abstract(node: ast.ClassDef) -> bool:
    is_enum = any(name.endswith(("Enum", "Flag")) for name in _base_names(node))
    return "Protocol" in _base_names(node) or (is_enum and not any(_is_member(part) for part in node.body))


def _is_member(part: ast.stmt) -> bool:
    """Tell whether a statement of an enum's body makes a member of it, as no assignment to a dunder does."""
    targets = part.targets if isinstance(part, ast.Assign) else ()
    return any(isinstance(target, ast.Name) and not target.id.startswith("__") for target in targets)


def _known_classes(module: Module) -> dict[str, str]:
    """Return what a name in this module stands for, in full."""
    known = {node.name: f"{module.name}.{node.name}" for node in _classes(module)}
    origins = {found.target.rpartition(".")[2]: found.target for found in module.imports}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                last = alias.name.rpartition(".")[2]
                known[alias.asname or alias.name.split(".")[0]] = (
                    origins[last] if alias.asname or isinstance(node, ast.ImportFrom) else alias.name.split(".")[0]
                )
    return known


def _resolved(base: ast.expr, known: dict[str, str]) -> str:
    if isinstance(base, ast.Subscript):
        base = base.value
    first, _, rest = ast.unparse(base).partition(".")
    return ".".join([known.get(first, first), *([rest] if rest else [])])


def _is_secret(node: ast.stmt) -> bool:
    match node:
        case ast.AnnAssign(ast.Name(name), annotation):
            return bool(SECRET.fullmatch(name) and re.search(r"\b(bytes|str)\b", ast.unparse(annotation)))
        case _:
            return False


def _hides(node: ast.stmt) -> bool:
    value = getattr(node, "value", None)
    return isinstance(value, ast.Call) and any(
        word.arg == "repr" and isinstance(word.value, ast.Constant) and word.value.value is False
        for word in value.keywords
    )


def _keeps_credentials(node: ast.AST) -> bool:
    match node:
        case ast.ClassDef(body=body):
            return any(isinstance(part, ast.AnnAssign) and "Credentials" in ast.unparse(part) for part in body)
        case ast.AnnAssign(ast.Attribute(), annotation):
            return "Credentials" in ast.unparse(annotation)
        case ast.Assign(targets, value):
            return last_word(value) == "credentials" and any(isinstance(target, ast.Attribute) for target in targets)
        case _:
            return False
