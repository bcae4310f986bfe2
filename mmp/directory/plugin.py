"""Kinds of directories that come from other packages, by Twisted's plug-in system; docs/plugins.md says how."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.plugin import IPlugin, getPlugins
from zope.interface import Attribute, Interface

from mmp import plugins
from mmp.directory.entry import Entry
from mmp.directory.names import Names
from mmp.errors import Refused
from mmp.model import Refusal

FIELDS: Final = ("full", "typed", "user", "domain", "client_address", "our_address", "certificate_name")
"""What users may be found by, as ``Names`` has it."""
_TIMEOUT: Final = 10.0
"""Seconds for an answer: a plug-in that never gives one must not keep everybody waiting for ever."""
_MOST: Final = 2
"""Entries that are looked at: a second one tells that nobody in particular is meant."""


class IDirectoryKind(Interface):
    """A kind of directory; a plug-in provides this and ``IPlugin``."""

    name = Attribute("""What ``[directory] kind`` calls it.""")
    fields = Attribute("""What users are found by: some of ``FIELDS``, and all that answers may depend on.""")

    decoy = Attribute("""A password as entries have it in ``password``, of nobody; empty if they never have one.""")

    def check(settings: Mapping[str, Any]) -> Iterable[str]:  # noqa: N805 - of an interface
        """Return what is wrong with ``[directory.plugin]``, each a sentence that may begin with a key and a colon.

        Called by whoever reads the configuration, perhaps as root and often: it opens nothing and keeps nothing.
        """

    def open(settings: Mapping[str, Any], secrets: Mapping[str, bytes], reactor: Any) -> Find:  # noqa: N805 - likewise
        """Return what finds users; ``secrets`` has what is in the files that keys ending in ``_file`` name.

        Called once for each listener in every worker, with its reactor, before anybody logs in.
        """


class Find(Protocol):
    """Finds users."""

    def __call__(self, **fields: str) -> Awaitable[Sequence[Entry]]:
        """Return the entries that match; anything raised means that the directory cannot say."""


def kind(name: str) -> Any:
    """Return the plug-in that is called so; ValueError, worded for the operator, if there is none, or a broken one."""
    found = [each for each in getPlugins(IDirectoryKind, plugins) if IPlugin.providedBy(each) and each.name == name]
    if not found:
        broken = "; ".join(_broken())
        raise ValueError(f'is none of "ldap", "file" and "auth_http", nor a plug-in\'s name{broken and ": "}{broken}')
    if len(found) > 1:
        raise ValueError("is the name of several plug-ins")
    if unknown := [each for each in found[0].fields if each not in FIELDS] or not found[0].fields:
        raise ValueError(f"is a plug-in whose fields are wrong: {unknown if found[0].fields else 'there are none'}")
    return found[0]


def _broken() -> Iterator[str]:
    """Yield which plug-ins cannot be loaded, and why."""
    for module in pkgutil.iter_modules(plugins.__path__, f"{plugins.__name__}."):
        try:
            importlib.import_module(module.name)
        except Exception as error:  # noqa: BLE001 - somebody else's module may raise anything
            yield f"{module.name} cannot be loaded: {type(error).__name__}: {error}"


def mistakes(name: str, settings: Mapping[str, Any]) -> list[str]:
    """Return what a plug-in finds wrong with its settings."""
    try:
        return [str(mistake) for mistake in kind(name).check(settings)]
    except Exception as error:  # noqa: BLE001 - likewise
        return [f"the plug-in cannot judge it: {type(error).__name__}: {error}"]


@define(eq=False)
class PluginDirectory:
    """A directory of such a kind."""

    _name: str
    _fields: Sequence[str]
    _find: Find = field(repr=False)
    _clock: IReactorTime = field(repr=False)
    _log: Logger = field(factory=Logger, init=False, repr=False)
    _values: Callable[[Names], Any] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._values = attrgetter(*self._fields)

    def key(self, names: Names) -> Hashable:
        """Return what the plug-in is asked by, so that answers depend on nothing else."""
        return (self._values(names),)

    async def find(self, names: Names) -> Sequence[Entry]:
        """Return the entries that match, two at most; Refused if the plug-in cannot say."""
        try:
            found = await self._asked({field: getattr(names, field) for field in self._fields})
            return [_checked(entry) for entry in found[:_MOST]]
        except Refused:
            raise
        except Exception as error:  # noqa: BLE001 - likewise
            self._log.failure("the plug-in {name} failed", name=self._name)
            reason = f"the plug-in {self._name}: {type(error).__name__}"
            raise Refused(Refusal.DIRECTORY_UNAVAILABLE, reason) from None

    def _asked(self, fields: Mapping[str, str]) -> Deferred[Sequence[Entry]]:
        async def ask() -> Sequence[Entry]:
            return await self._find(**fields)

        return Deferred.fromCoroutine(ask()).addTimeout(_TIMEOUT, self._clock)


def _checked(entry: Entry) -> Entry:
    """Return an entry as ours are; TypeError if it cannot be one."""
    attributes = {name.lower(): tuple(values) for name, values in entry.attributes.items()}
    texts = [entry.name, *(value for values in attributes.values() for value in values)]
    if any(isinstance(values, str) for values in entry.attributes.values()) or not all(
        isinstance(text, str) for text in texts
    ):
        raise TypeError("the values of an attribute are a list of strings")
    return Entry(entry.name, attributes)
