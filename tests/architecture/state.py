"""No function rebinds or mutates a module's global."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.source import Module, Modules, last_word, walk_eager

MUTATORS = (
    {"add", "clear", "discard", "pop", "popitem", "remove", "setdefault", "update"}
    | {"append", "appendleft", "extend", "extendleft", "insert", "popleft", "reverse", "sort"}
    | {"difference_update", "intersection_update", "symmetric_difference_update"}
)
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def no_function_changes_a_global(modules: Modules) -> Iterator[str]:
    """State belongs to objects that somebody made and handed on."""
    for module in modules.values():
        for node, name in _changes(module):
            yield module.at(node.lineno, f"a function changes {name}, which is global")


def _changes(module: Module) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    variables = {name for node in walk_eager(module.tree) for name in _bound_by(node)}
    imported = {
        alias.asname or alias.name.split(".")[0]
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    classes = {node.name for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)}
    for node, local in _in_functions(module.tree, frozenset()):
        shared = (variables | imported | classes) - local | ({"cls"} & local)
        if isinstance(node, ast.Global):
            yield node, ", ".join(node.names)
        for target in _written(node):
            if _root(target) in shared:
                yield node, ast.unparse(target)
        if isinstance(node, ast.Call):
            yield from ((node, name) for name in _changed_by_call(node, variables - local, imported - local, shared))


def _in_functions(
    node: ast.AST, local: frozenset[str], *, inside: bool = False
) -> Iterator[tuple[ast.AST, frozenset[str]]]:
    """Walk what runs later, inside functions, each node with the names that are local there."""
    for child in ast.iter_child_nodes(node):
        if inside:
            yield child, local
        if isinstance(child, Function):
            yield from _in_functions(child, local | _locals(child), inside=True)
        else:
            yield from _in_functions(child, local, inside=inside)


def _locals(function: Function) -> frozenset[str]:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    names = {argument.arg for argument in named if argument}
    for node in walk_eager(function):
        names |= _bound_by(node)
    return frozenset(names)


def _bound_by(node: ast.AST) -> set[str]:
    match node:
        case ast.Name(name, ast.Store()) | ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            return {name}
        case ast.MatchStar(str(name)) | ast.MatchMapping(rest=str(name)):
            return {name}
        case _:
            return set()


def _written(node: ast.AST) -> Iterator[ast.expr]:
    """Return the attributes and items that a statement assigns or deletes."""
    match node:
        case (ast.Attribute() | ast.Subscript()) as target if isinstance(target.ctx, ast.Store | ast.Del):
            yield target


def _changed_by_call(
    call: ast.Call, variables: frozenset[str] | set[str], imported: set[str], shared: set[str]
) -> Iterator[str]:
    match call:
        case ast.Call(ast.Attribute(of, method)) if method in MUTATORS:
            is_module = isinstance(of, ast.Name) and not of.id.isupper()  # os.remove changes nothing of os
            if _root(of) in variables or (_root(of) in imported and not is_module):
                yield ast.unparse(of)
        case ast.Call(ast.Name("next"), [ast.Name(name), *_]) if name in variables:
            yield name
        case ast.Call(ast.Name("setattr" | "delattr"), [target, *_]) if _root(target) in shared:
            yield ast.unparse(target)
        case ast.Call(ast.Name("globals")):
            yield "globals()"


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return last_word(node)
