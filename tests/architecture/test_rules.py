"""Every rule sees what it forbids, and lets pass what looks like it."""

from __future__ import annotations

import pytest

from tests.architecture import classes, conduct, dependencies, state, words
from tests.architecture.source import Rule, parse

REFUSALS = "import enum\nclass Refusal(enum.Enum):\n    BANNED = 'banned'\n    INTERNAL = 'internal'\n"

FORBIDDEN: list[tuple[Rule, str, str, int]] = [
    (dependencies.core_does_no_io, "mmp/policy/rate.py", "import time", 1),
    (dependencies.core_does_no_io, "mmp/policy/rate.py", "def wait():\n    from time import monotonic", 2),
    (dependencies.core_does_no_io, "mmp/model.py", "if TYPE_CHECKING:\n    import twisted.internet.defer", 2),
    (dependencies.core_does_no_io, "mmp/session/session.py", "import contextlib, logging", 1),
    (dependencies.core_does_no_io, "mmp/wire/sasl/scram.py", "import secrets", 1),
    (dependencies.core_does_no_io, "mmp/wire/imap/server.py", "from ldap3.utils import conv", 1),
    (dependencies.core_does_no_io, "mmp/errors.py", "import importlib\nimportlib.import_module('OpenSSL.SSL')", 2),
    (dependencies.core_does_no_io, "mmp/interfaces.py", "import zope.interface", 1),
    (dependencies.core_knows_only_what_is_below, "mmp/session/login.py", "from mmp.wire.imap import server", 1),
    (dependencies.core_knows_only_what_is_below, "mmp/session/login.py", "from ..policy import rate", 1),
    (dependencies.core_knows_only_what_is_below, "mmp/session/login.py", "import mmp.config.schema", 1),
    (dependencies.core_knows_only_what_is_below, "mmp/policy/rate.py", "from mmp.interfaces import Lease", 1),
    (dependencies.core_knows_only_what_is_below, "mmp/model.py", "from mmp.errors import Refused", 1),
    (dependencies.core_knows_only_what_is_below, "mmp/wire/events.py", "from mmp import interfaces", 1),
    (dependencies.core_knows_only_what_is_below, "mmp/interfaces.py", "from mmp.wire.imap.server import Server", 1),
    (dependencies.protocols_are_strangers, "mmp/wire/pop3/server.py", "from mmp.wire.imap import grammar", 1),
    (dependencies.protocols_are_strangers, "mmp/wire/imap/server.py", "from ..submission.replies import ROWS", 1),
    (dependencies.a_protocol_is_named_in_few_places, "mmp/net/listen.py", "from mmp.wire.imap.server import Server", 1),
    (dependencies.a_protocol_is_named_in_few_places, "mmp/session/login.py", "\nif x is Service.IMAP: pass", 2),
    (dependencies.a_protocol_is_named_in_few_places, "mmp/worker.py", "if x is Service.POP3: pass", 1),
    (dependencies.nothing_imports_the_roots, "mmp/net/listen.py", "from mmp.worker import Worker", 1),
    (dependencies.nothing_imports_the_roots, "mmp/admin/http.py", "from mmp import supervisor", 1),
    (dependencies.nothing_imports_the_roots, "mmp/observe/log.py", "import mmp.cli.main", 1),
    (dependencies.libraries_have_owners, "mmp/directory/file.py", "import ldap3", 1),
    (dependencies.libraries_have_owners, "mmp/config/check.py", "def f():\n    from OpenSSL import SSL", 2),
    (dependencies.libraries_have_owners, "mmp/stores/dial.py", "import service_identity.hazmat", 1),
    (dependencies.libraries_have_owners, "mmp/shared/local.py", "import txredisapi", 1),
    (dependencies.libraries_have_owners, "mmp/shared/redis.py", "from twisted.protocols import memcache", 1),
    (dependencies.libraries_have_owners, "mmp/net/channel.py", "from twisted.mail.imap4 import IMAP4Server", 1),
    (dependencies.only_roots_read_the_configuration, "mmp/net/listen.py", "from mmp.config.schema import Listener", 1),
    (dependencies.only_roots_read_the_configuration, "mmp/stores/dial.py", "if TYPE_CHECKING:\n  import mmp.config", 2),
    (dependencies.the_reactor_is_an_argument, "mmp/net/listen.py", "from twisted.internet import reactor", 1),
    (dependencies.the_reactor_is_an_argument, "mmp/supervisor.py", "def f():\n  import twisted.internet.reactor", 2),
    (dependencies.the_reactor_is_an_argument, "mmp/cli/who.py", "from twisted.internet import reactor as clock", 1),
    (dependencies.the_reactor_is_an_argument, "mmp/net/dial.py", "import twisted\ntwisted.internet.reactor.run()", 2),
    (dependencies.the_zygote_loads_no_reactor, "mmp/zygote.py", "from twisted.internet import reactor", 1),
    (state.no_function_changes_a_global, "mmp/a.py", "x = 1\ndef f():\n    global x", 3),
    (state.no_function_changes_a_global, "mmp/a.py", "x = {}\ndef f(k):\n    x[k] = 1", 3),
    (state.no_function_changes_a_global, "mmp/a.py", "x = {}\ndef f(k):\n    del x[k]", 3),
    (
        state.no_function_changes_a_global,
        "mmp/a.py",
        "x = []\nclass C:\n    async def f(self):\n        x.append(1)",
        4,
    ),
    (state.no_function_changes_a_global, "mmp/a.py", "x: set = set()\ndef f():\n    def g(y):\n        x.add(y)", 4),
    (state.no_function_changes_a_global, "mmp/a.py", "x = count()\ndef f():\n    return next(x)", 3),
    (state.no_function_changes_a_global, "mmp/a.py", "x = {}\nf = lambda k: x.pop(k)", 2),
    (state.no_function_changes_a_global, "mmp/a.py", "import os\ndef f():\n    os.environ['A'] = 'b'", 3),
    (state.no_function_changes_a_global, "mmp/a.py", "import os\ndef f():\n    os.environ.update(a='b')", 3),
    (state.no_function_changes_a_global, "mmp/a.py", "from mmp import b\ndef f():\n    b.x += 1", 3),
    (state.no_function_changes_a_global, "mmp/a.py", "def f():\n    from mmp import b\n    b.x = 1", 3),
    (state.no_function_changes_a_global, "mmp/a.py", "from mmp.b import ALL\ndef f(x):\n    ALL.append(x)", 3),
    (state.no_function_changes_a_global, "mmp/a.py", "from mmp import b\ndef f():\n    setattr(b, 'x', 1)", 3),
    (state.no_function_changes_a_global, "mmp/a.py", "class C:\n    n = 0\n    def f(self):\n        C.n += 1", 4),
    (state.no_function_changes_a_global, "mmp/a.py", "class C:\n    n = 0\n    def f(cls):\n        cls.n += 1", 4),
    (state.no_function_changes_a_global, "mmp/a.py", "def f():\n    globals()['x'] = 1", 2),
    (conduct.nothing_is_star_imported, "mmp/a.py", "from mmp.model import *", 1),
    (conduct.private_modules_stay_private, "mmp/net/tls.py", "from twisted.internet._sslverify import X", 1),
    (conduct.private_modules_stay_private, "mmp/net/tls.py", "from twisted.internet.ssl import _private", 1),
    (conduct.private_modules_stay_private, "mmp/net/tls.py", "from mmp.directory._ber import encode", 1),
    (conduct.private_modules_stay_private, "mmp/net/tls.py", "import _thread", 1),
    (conduct.one_file_knows_pyopenssl_inside, "mmp/stores/dial.py", "from OpenSSL._util import lib", 1),
    (conduct.one_file_knows_pyopenssl_inside, "mmp/session/login.py", "x = connection._ssl", 1),
    (conduct.transports_keep_their_protocol, "mmp/net/channel.py", "def f(s):\n    s.transport.protocol = s", 2),
    (conduct.transports_keep_their_protocol, "mmp/net/channel.py", "setattr(self._transport, 'protocol', x)", 1),
    (conduct.expected_faults_are_named, "mmp/session/session.py", "try: f()\nexcept Exception: pass", 2),
    (conduct.expected_faults_are_named, "mmp/session/session.py", "try: f()\nexcept: pass", 2),
    (conduct.expected_faults_are_named, "mmp/session/a.py", "try: f()\nexcept BaseException:\n  if x: raise", 2),
    (
        conduct.expected_faults_are_named,
        "mmp/session/a.py",
        "def g():\n  try: f()\n  except BaseException:\n    if x: return\n    raise",
        3,
    ),
    (conduct.expected_faults_are_named, "mmp/wire/imap/server.py", "try: f()\nexcept (E, BaseException): pass", 2),
    (conduct.expected_faults_are_named, "mmp/policy/rate.py", "with contextlib.suppress(Exception): f()", 1),
    (classes.nothing_inherits_our_concrete_classes, "mmp/a.py", "class A: pass\nclass B(A): pass", 2),
    (classes.nothing_inherits_our_concrete_classes, "mmp/a.py", "from mmp.b import B as X\nclass A(X[int]): pass", 2),
    (classes.nothing_inherits_our_concrete_classes, "mmp/a.py", "import mmp.b\nclass A(mmp.b.B): pass", 2),
    (classes.nothing_inherits_our_concrete_classes, "mmp/a.py", "from mmp import b\nclass A(b.B): pass", 2),
    (classes.values_are_frozen, "mmp/model.py", "@define\nclass Account:\n    user: str", 2),
    (classes.values_are_frozen, "mmp/wire/events.py", "class Login: pass", 1),
    (classes.seams_are_typing_protocols, "mmp/interfaces.py", "from zope.interface import Interface, Attribute", 1),
    (classes.secrets_are_not_shown, "mmp/model.py", "@frozen\nclass Credentials:\n    secret: bytes", 3),
    (classes.secrets_are_not_shown, "mmp/a.py", "class A:\n    bind_password: str | None = field(default=None)", 2),
    (classes.secrets_are_not_shown, "mmp/a.py", "class A:\n    token: str = field(repr=True)", 2),
    (classes.the_session_keeps_no_credentials, "mmp/session/a.py", "class A:\n    given: Credentials | None", 1),
    (classes.the_session_keeps_no_credentials, "mmp/session/a.py", "def f(self):\n    self.x = credentials", 2),
    (classes.the_session_keeps_no_credentials, "mmp/session/a.py", "def f(self):\n    self.x: Credentials = y", 2),
    (words.names_say_what_things_are, "mmp/net/connection_manager.py", "", 1),
    (words.names_say_what_things_are, "mmp/utils/__init__.py", "", 1),
    (words.names_say_what_things_are, "mmp/a.py", "class LoginHandler: pass", 1),
    (words.names_say_what_things_are, "mmp/a.py", "class A:\n    class DataBuffer: pass", 2),
    (words.names_say_what_things_are, "mmp/a.py", "class IMAPBase: pass", 1),
    (words.names_say_what_things_are, "mmp/test_helpers.py", "", 1),
    (words.sides_have_their_names, "mmp/net/server.py", "", 1),
    (words.sides_have_their_names, "mmp/wire/imap/client.py", "def f(remote): pass", 1),
    (words.sides_have_their_names, "mmp/net/relay.py", "def f(self):\n    self._peer = None", 2),
    (words.sides_have_their_names, "mmp/net/relay.py", "upstream = 1", 1),
    (words.modules_say_their_purpose, "mmp/a.py", "x = 1", 1),
    (words.modules_say_their_purpose, "mmp/wire/imap/grammar.py", '"""Grammar."""', 1),
    (words.modules_say_their_purpose, "mmp/wire/imap/server.py", '"""IMAP.\n\nToward the client. RFC 9051."""', 1),
    (words.modules_say_their_purpose, "mmp/wire/pop3/client.py", '"""The side toward the client (RFC 1939)."""', 1),
]

ALLOWED: list[tuple[Rule, str, str]] = [
    (dependencies.core_does_no_io, "mmp/wire/buffer.py", "import re, hashlib, attrs\nfrom mmp.model import Account"),
    (dependencies.core_does_no_io, "mmp/net/listen.py", "import socket, time"),
    (dependencies.core_knows_only_what_is_below, "mmp/session/login.py", "from mmp.wire.events import Login"),
    (dependencies.core_knows_only_what_is_below, "mmp/wire/imap/server.py", "from . import grammar"),
    (dependencies.protocols_are_strangers, "mmp/wire/imap/server.py", "from mmp.wire import buffer, sasl"),
    (dependencies.a_protocol_is_named_in_few_places, "mmp/cores.py", "CORES = {Service.IMAP: 1}"),
    (dependencies.a_protocol_is_named_in_few_places, "mmp/net/listen.py", "from mmp.wire import proxy_header"),
    (dependencies.nothing_imports_the_roots, "mmp/cli/demo.py", "from mmp.demo import main"),
    (dependencies.libraries_have_owners, "mmp/directory/ldap/link.py", "import ldap3"),
    (dependencies.libraries_have_owners, "mmp/demo/stores.py", "from twisted.mail import imap4"),
    (dependencies.only_roots_read_the_configuration, "mmp/worker.py", "from mmp.config.schema import Config"),
    (dependencies.the_reactor_is_an_argument, "mmp/cli/demo.py", "def f():\n    from twisted.internet import reactor"),
    (dependencies.the_reactor_is_an_argument, "mmp/net/a.py", "from twisted.internet.interfaces import IReactorTime"),
    (state.no_function_changes_a_global, "mmp/a.py", "x = {}\nx[1] = 2\nx.update(a=1)"),
    (state.no_function_changes_a_global, "mmp/a.py", "x = {}\ndef f():\n    x = {}\n    x[1] = 2\n    x.pop(1)"),
    (state.no_function_changes_a_global, "mmp/a.py", "x = {}\ndef f(x):\n    def g():\n        x.clear()"),
    (state.no_function_changes_a_global, "mmp/a.py", "x = {}\ndef f():\n    return [x.append(1) for x in y]"),
    (state.no_function_changes_a_global, "mmp/a.py", "import os\ndef f(p):\n    os.remove(p)"),
    (
        state.no_function_changes_a_global,
        "mmp/a.py",
        "class C:\n    def f(self):\n        self.x = 1\n        self.y.add(1)",
    ),
    (conduct.private_modules_stay_private, "mmp/net/a.py", "from __future__ import annotations\nimport mmp.net._b"),
    (conduct.one_file_knows_pyopenssl_inside, "mmp/net/inside.py", "from OpenSSL import SSL\nSSL._lib.f(c._ssl)"),
    (conduct.one_file_knows_pyopenssl_inside, "mmp/net/channel.py", "def f(self):\n    return self._context"),
    (conduct.transports_keep_their_protocol, "mmp/net/channel.py", "def f(s):\n    s.protocol = s.transport.protocol"),
    (conduct.expected_faults_are_named, "mmp/net/listen.py", "try: f()\nexcept Exception: pass"),
    (conduct.expected_faults_are_named, "mmp/session/a.py", "try: f()\nexcept (Refused, ConnectionError): pass"),
    (conduct.expected_faults_are_named, "mmp/session/a.py", "try: f()\nexcept BaseException:\n  g()\n  raise"),
    (classes.nothing_inherits_our_concrete_classes, "mmp/a.py", "class A(Protocol): pass\nclass B(A): pass"),
    (classes.nothing_inherits_our_concrete_classes, "mmp/a.py", "class A(enum.Enum): pass\nclass B(A):\n    X = 1"),
    (classes.nothing_inherits_our_concrete_classes, "mmp/a.py", "from twisted.x import Y\nclass A(Y, Exception): pass"),
    (classes.seams_are_typing_protocols, "mmp/tap.py", "from zope.interface import implementer"),
    (classes.secrets_are_not_shown, "mmp/a.py", "class A:\n    secret: bytes = field(repr=False)\n    token_file: str"),
    (
        classes.the_session_keeps_no_credentials,
        "mmp/session/a.py",
        "def f(credentials: Credentials):\n    x = credentials",
    ),
    (words.names_say_what_things_are, "mmp/database.py", "class Information: pass\ndef receive_data(): pass"),
    (words.sides_have_their_names, "mmp/wire/imap/server.py", "class Server: pass"),
    (words.sides_have_their_names, "mmp/a.py", "class RemoteProtocolError: pass\nx.peer()"),
    (words.modules_say_their_purpose, "mmp/wire/imap/client.py", '"""The side toward the store (RFC 9051, 6.2)."""'),
]


def named(value: object) -> str | None:
    return getattr(value, "__name__", None)


@pytest.mark.parametrize(("rule", "path", "source", "line"), FORBIDDEN, ids=named)
def test_a_violation_is_told_with_its_place(rule: Rule, path: str, source: str, line: int) -> None:
    told = list(rule(parse({path: source})))
    assert told
    assert {each.split(": ")[0] for each in told} == {f"{path}:{line}"}


@pytest.mark.parametrize(("rule", "path", "source"), ALLOWED, ids=named)
def test_what_looks_like_a_violation_passes(rule: Rule, path: str, source: str) -> None:
    assert not list(rule(parse({path: source})))


def test_every_rule_of_each_module_has_been_seen_to_fail() -> None:
    seen = {rule for rule, *_ in FORBIDDEN} | {words.every_refusal_has_words, words.packages_are_listed}
    rules = {
        value
        for module in (classes, conduct, dependencies, state, words)
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")
    }
    assert rules == seen


def test_only_the_first_file_of_net_may_know_pyopenssl_inside() -> None:
    modules = parse({"mmp/net/inside.py": "x = c._ssl", "mmp/net/tls.py": "\ny = c._context", "mmp/net/a.py": ""})
    assert [each.split(": ")[0] for each in conduct.one_file_knows_pyopenssl_inside(modules)] == ["mmp/net/tls.py:2"]


def test_the_zygote_answers_for_what_it_loads_through_others() -> None:
    modules = parse(
        {
            "mmp/zygote.py": "from mmp.shared import counts\ndef f():\n    import mmp.tap",
            "mmp/shared/__init__.py": "from mmp.shared.redis import Redis",
            "mmp/shared/redis.py": "import txredisapi",
            "mmp/tap.py": "from twisted.internet import reactor",
        }
    )
    (told,) = dependencies.the_zygote_loads_no_reactor(modules)
    assert told.startswith("mmp/shared/redis.py:1: ")


def test_inheritance_is_seen_across_modules() -> None:
    modules = parse(
        {
            "mmp/b.py": "class P(Protocol): pass\nclass C(P): pass",
            "mmp/a.py": "from mmp.b import C, P\nclass A(C, P): pass",
        }
    )
    assert list(classes.nothing_inherits_our_concrete_classes(modules)) == [
        "mmp/a.py:2: A inherits mmp.b.C, a concrete class of ours"
    ]


@pytest.mark.parametrize(
    ("replies", "told"),
    [
        ("ROWS = {Refusal.BANNED: b'x', Refusal.INTERNAL: b'y'}", []),
        ("ROWS = {Refusal.BANNED: b'x'}", ["mmp/wire/imap/replies.py:1: has no row for Refusal.INTERNAL"]),
        (None, ["mmp/wire/imap/replies.py:1: is missing: the table that words refusals"]),
    ],
)
def test_a_refusal_without_words_is_told(replies: str | None, told: list[str]) -> None:
    sources = {"mmp/model.py": REFUSALS, "mmp/wire/imap/server.py": ""}
    if replies is not None:
        sources["mmp/wire/imap/replies.py"] = replies
    assert list(words.every_refusal_has_words(parse(sources))) == told


def test_the_list_of_packages_is_compared_both_ways() -> None:
    modules = parse({"mmp/__init__.py": "", "mmp/net/__init__.py": "", "mmp/session/login.py": ""})
    assert list(words.packages_are_listed(modules, ["mmp", "mmp.gone", "mmp.session"])) == [
        "mmp/session:1: has no __init__.py",
        "setup.cfg:1: mmp.gone is not a package of the tree",
        "setup.cfg:1: mmp.net is not listed",
    ]
