"""What code must not do, wherever it stands."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.source import Module, Modules, last_word, within

PYOPENSSL_INSIDES = frozenset({"_lib", "_ffi", "_ssl", "_context"})
CATCH_ALL = frozenset({"Exception", "BaseException"})


def transports_keep_their_protocol(modules: Modules) -> Iterator[str]:
    """Nobody sets ``transport.protocol``: after STARTTLS it would cut the TLS layer off."""
    for module in modules.values():
        for node in ast.walk(module.tree):
            match node:
                case ast.Attribute(owner, "protocol", ast.Store()) if _is_transport(owner):
                    yield module.at(node.lineno, "sets transport.protocol: switch what the channel feeds instead")
                case ast.Call(ast.Name("setattr"), [owner, ast.Constant("protocol"), *_]) if _is_transport(owner):
                    yield module.at(node.lineno, "sets transport.protocol: switch what the channel feeds instead")


def expected_faults_are_named(modules: Modules) -> Iterator[str]:
    """Session, policy and cores never keep everything they catch: a cancellation is an ordinary exception.

    Giving back what is held and raising it on is no keeping.
    """
    for module in modules.values():
        if module.within("mmp.session", "mmp.policy", "mmp.wire"):
            for node in ast.walk(module.tree):
                if _catches_everything(node) and not _raises_on(node):
                    yield module.at(node.lineno, "catches everything, cancellations too")


def nothing_is_star_imported(modules: Modules) -> Iterator[str]:
    """Every name says where it comes from."""
    for module in modules.values():
        for found in module.imports:
            if found.target.endswith(".*"):
                yield module.at(found.line, f"imports {found.target}")


def private_modules_stay_private(modules: Modules) -> Iterator[str]:
    """Nothing is taken from another package's underscore modules, ours or a library's; pyOpenSSL's have a rule."""
    for module in modules.values():
        for found in module.imports:
            owner = _owner_of_private(found.target)
            if owner and not module.within(owner) and not within(found.target, "OpenSSL"):
                yield module.at(found.line, f"imports {found.target}, which is private to {owner}")


def one_file_knows_pyopenssl_inside(modules: Modules) -> Iterator[str]:
    """What we need below pyOpenSSL's surface stands in one file of ``net/``."""
    insiders = {name: lines for name, module in modules.items() if (lines := list(_inside_pyopenssl(module)))}
    allowed = next((name for name in sorted(insiders) if within(name, "mmp.net")), None)
    for name, lines in insiders.items():
        if name != allowed:
            yield modules[name].at(
                lines[0], f"reaches into pyOpenSSL: only one file of mmp.net may ({allowed or 'none'} now)"
            )


def _is_transport(node: ast.expr) -> bool:
    return last_word(node).lower().endswith("transport")


def _raises_on(node: ast.AST) -> bool:
    """Whether this handler ends with a bare ``raise`` and has no way out before it."""
    match node:
        case ast.ExceptHandler(body=[*before, ast.Raise(exc=None)]):
            ways_out = (ast.Return, ast.Break, ast.Continue)
            return not any(isinstance(each, ways_out) for step in before for each in ast.walk(step))
    return False


def _catches_everything(node: ast.AST) -> bool:
    match node:
        case ast.ExceptHandler(type=None):
            return True
        case ast.ExceptHandler(type=caught):
            return any(last_word(part) in CATCH_ALL for part in ast.walk(caught))
        case ast.Call(func, arguments) if last_word(func) == "suppress":
            return any(last_word(argument) in CATCH_ALL for argument in arguments)
        case _:
            return False


def _owner_of_private(target: str) -> str:
    """Return the package that a private name belongs to, empty if no part of it is private."""
    parts = target.split(".")
    for at, part in enumerate(parts):
        if part.startswith("_") and not part.startswith("__"):
            return ".".join(parts[:at]) or part
    return ""


def _inside_pyopenssl(module: Module) -> Iterator[int]:
    for found in module.imports:
        if within(found.target, "OpenSSL") and _owner_of_private(found.target):
            yield found.line
    for node in ast.walk(module.tree):
        match node:
            case ast.Attribute(ast.Name("self"), _):
                continue
            case ast.Attribute(_, name) if name in PYOPENSSL_INSIDES:
                yield node.lineno
