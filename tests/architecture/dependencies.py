"""Which way dependencies point."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping

from tests.architecture.source import PROTOCOLS, ROOTS, Module, Modules, within

CORE: Mapping[str, tuple[str, ...]] = {
    "mmp.model": (),
    "mmp.errors": ("mmp.model",),
    "mmp.interfaces": ("mmp.model", "mmp.errors", "mmp.wire.events", "mmp.wire.overheard"),
    "mmp.wire": ("mmp.wire", "mmp.model", "mmp.errors"),
    "mmp.policy": ("mmp.policy", "mmp.model", "mmp.errors"),
    "mmp.session": ("mmp.session", "mmp.interfaces", "mmp.wire.events", "mmp.model", "mmp.errors"),
}
"""The parts that do no input or output, each with what it may know of us."""

IMPURE = (
    {"time", "datetime", "sched", "timeit"}
    | {"socket", "socketserver", "ssl", "select", "selectors", "asyncio"}
    | {"random", "secrets", "uuid"}
    | {"logging", "syslog"}
    | {"os", "subprocess", "signal", "threading", "multiprocessing", "concurrent"}
)
"""Modules of the standard library that are a clock, a socket, randomness, a log or a door to the outside."""

OWNERS: Mapping[str, str] = {
    "ldap3": "mmp.directory.ldap",
    "passlib": "mmp.directory.passwords",
    "OpenSSL": "mmp.net",
    "service_identity": "mmp.net",
    "twisted.internet.ssl": "mmp.net",
    "twisted.protocols.tls": "mmp.net",
    "txredisapi": "mmp.shared.redis",
    "redis": "mmp.shared.redis",
    "valkey": "mmp.shared.redis",
    "twisted.protocols.memcache": "mmp.shared.memcached",
    "pymemcache": "mmp.shared.memcached",
    "twisted.mail": "mmp.demo",
}
"""Whose business a library is; nobody else imports it."""

REACTOR = "twisted.internet.reactor"
REACTOR_OWNERS = ("mmp.tap", "mmp.worker", "mmp.demo", "mmp.cli.demo")


def core_does_no_io(modules: Modules) -> Iterator[str]:
    """The core imports nothing from outside but attrs and the harmless part of the standard library."""
    harmless = {*sys.stdlib_module_names, "attr", "attrs", "mmp"} - IMPURE
    for module in modules.values():
        if module.within(*CORE):
            for found in module.imports:
                if found.target.split(".")[0] not in harmless:
                    yield module.at(found.line, f"imports {found.target}: the core has no clock, socket, random or log")


def core_knows_only_what_is_below(modules: Modules) -> Iterator[str]:
    """Each part of the core knows what is below it and nothing beside it."""
    for module in modules.values():
        for part, known in CORE.items():
            if module.within(part):
                for found in module.imports:
                    if within(found.target, "mmp") and not within(found.target, *known):
                        yield module.at(
                            found.line, f"imports {found.target}: {part} knows {', '.join(known) or 'none'}"
                        )


def protocols_are_strangers(modules: Modules) -> Iterator[str]:
    """No protocol's package imports another's."""
    for module in modules.values():
        own = _protocol_of(module)
        for found in module.imports:
            other = found.target.split(".")[2:3]
            if own and within(found.target, "mmp.wire") and other[0] in PROTOCOLS and other[0] != own:
                yield module.at(found.line, f"imports {found.target}: protocols know nothing of one another")


def a_protocol_is_named_in_few_places(modules: Modules) -> Iterator[str]:
    """A further protocol touches its own folder, Service, the worker's table, the schema (and the demo) only."""
    packages = [f"mmp.wire.{protocol}" for protocol in PROTOCOLS]
    for module in modules.values():
        if module.within("mmp.model", "mmp.cores", "mmp.config", "mmp.demo", *packages):
            continue
        for found in module.imports:
            if within(found.target, *packages):
                yield module.at(found.line, f"imports {found.target}: only the worker's table names protocols")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Service":
                yield module.at(node.lineno, f"names Service.{node.attr}: only the worker's table names protocols")


def nothing_imports_the_roots(modules: Modules) -> Iterator[str]:
    """Composition roots and commands are on top: nothing below imports them."""
    for module in modules.values():
        if module.within("mmp") and not module.within(*ROOTS, "mmp.cli"):
            for found in module.imports:
                if within(found.target, *ROOTS, "mmp.cli"):
                    yield module.at(found.line, f"imports {found.target}, which is above it")


def libraries_have_owners(modules: Modules) -> Iterator[str]:
    """Each library that could spread is imported in one place."""
    for module in modules.values():
        for found in module.imports:
            for library, owner in OWNERS.items():
                if within(found.target, library) and not module.within(owner):
                    yield module.at(found.line, f"imports {found.target}: only {owner} may")


def only_roots_read_the_configuration(modules: Modules) -> Iterator[str]:
    """Everyone but the composition roots and commands is handed the few values it needs."""
    for module in modules.values():
        if not module.within(*ROOTS, "mmp.cli", "mmp.config"):
            for found in module.imports:
                if within(found.target, "mmp.config"):
                    yield module.at(
                        found.line, f"imports {found.target}: only composition roots read the configuration"
                    )


def the_reactor_is_an_argument(modules: Modules) -> Iterator[str]:
    """Nobody imports the reactor but those who install or start one."""
    for module in modules.values():
        if module.within(*REACTOR_OWNERS):
            continue
        for found in module.imports:
            if within(found.target, REACTOR):
                yield module.at(found.line, "imports the reactor: it is an argument")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == REACTOR:
                yield module.at(node.lineno, "reaches for the reactor: it is an argument")


def the_zygote_loads_no_reactor(modules: Modules) -> Iterator[str]:
    """What is loaded before the fork neither imports a reactor nor the Redis client, which imports one."""
    for module in _loaded_by("mmp.zygote", modules):
        for found in module.imports:
            if found.eager and within(found.target, REACTOR, "txredisapi"):
                yield module.at(found.line, f"imports {found.target} as it is loaded, and the zygote loads it")


def _loaded_by(start: str, modules: Modules) -> Iterator[Module]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        while name and name not in seen:  # a package is loaded before what is in it
            seen.add(name)
            if name in modules:
                yield modules[name]
                waiting += [found.target for found in modules[name].imports if found.eager]
            name = name.rpartition(".")[0]


def _protocol_of(module: Module) -> str:
    part = module.name.split(".")[2:3] if module.within("mmp.wire") else []
    return part[0] if part and part[0] in PROTOCOLS else ""
