"""Reads a configuration file and every file that it names, once, and refuses it with all of its mistakes."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen, has

from mmp.config.files import Files, read_file
from mmp.config.operators import Admin
from mmp.config.rules import mistakes_in
from mmp.config.schema import OVERRIDABLE, Config, Listener
from mmp.config.tables import Finding, Reading, keys, merge, resolve
from mmp.config.usage import Origin, Usage
from mmp.config.values import show
from mmp.errors import ConfigError


@frozen
class Loaded:
    """A configuration without mistakes, and what is in the files that it names.

    ``path`` is the configuration file's, absolute. ``files`` has the content of every file that is in use, by the name
    that stands in ``config``; it was read once, so that everybody sees the same. ``mmp.config.files.read_secret`` takes
    a secret out of such content. All of it can be pickled, and a pickle of it has the secrets in it.

    ``watched`` are the files of certificates and what belongs to them, which others write anew from time to time;
    ``renewable`` those among them that matter toward clients only. ``shown`` has the certificates that clients are
    shown, with the seconds before their end when that is worth a word.
    """

    path: str
    config: Config
    files: Mapping[str, bytes] = field(repr=False)
    watched: tuple[str, ...] = ()
    renewable: tuple[str, ...] = ()
    shown: Mapping[str, float] = field(factory=dict)


@frozen
class Examined:
    """A configuration that may have mistakes; what is mistaken has its default. ``path`` is absolute."""

    path: str
    usage: Usage
    files: Files
    mistakes: tuple[Finding, ...]


def load(path: str) -> Loaded:
    """Return the configuration, or raise ConfigError with every mistake in it and in the files that it names."""
    return accept(examine(path))


def accept(examined: Examined) -> Loaded:
    """Return what was examined, or raise ConfigError with every mistake."""
    if examined.mistakes:
        raise ConfigError([str(mistake) for mistake in examined.mistakes])
    usage = examined.usage
    toward_clients = dict.fromkeys(named.file for named in usage.toward_clients())
    toward_others = dict.fromkeys(named.file for named in usage.toward_others())
    renewable = tuple(name for name in toward_clients if name not in toward_others)
    watched = tuple(toward_clients | toward_others)
    shown = {pair.certificate.file: pair.shown.expiry_warning for pair in usage.pairs() if pair.shown is not None}
    return Loaded(examined.path, usage.config, examined.files.contents, watched, renewable, shown)


def load_admin(path: str) -> Admin:
    """Return what a configuration says of administration, whatever else it has; ConfigError if that is mistaken.

    For commands of users who may not read the other files that it names.
    """
    reading = Reading({})
    raw = _parse(Path(path).absolute()).get("admin", {})
    given = reading.table(keys(Config), {"admin": raw}, "").get("admin", {})
    if reading.mistakes:
        raise ConfigError([f"{path}: {mistake}" for mistake in reading.mistakes])
    return merge(Admin(), given)


def examine(path: str) -> Examined:
    """Return the configuration as far as it can be understood; ConfigError if the file is unreadable or not TOML."""
    file = Path(path).absolute()
    raw = _parse(file)
    raw_listeners = raw.pop("listener", None)
    reading, files = Reading(dict(_homes(Config))), Files()
    common = merge(Config(), reading.table(keys(Config), raw, ""))
    listeners = list(_listeners(raw_listeners, common, reading))
    config = merge(common, {"listener": tuple(listener for listener, _ in listeners)})
    usage = Usage(resolve(config, file.parent), tuple(origin for _, origin in listeners))
    reading.judge(mistakes_in(usage, files))
    return Examined(str(file), usage, files, tuple(reading.mistakes))


def _parse(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_file(str(file)).decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read: {error}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{file}: is not in UTF-8 at byte {error.start}"]) from None
    except ValueError as error:  # TOMLDecodeError, or a number with more digits than Python takes
        raise ConfigError([f"{file}: {error}"]) from None
    except RecursionError:
        raise ConfigError([f"{file}: is nested too deeply"]) from None


def _listeners(raw: object, common: Config, reading: Reading) -> Iterator[tuple[Listener, Origin]]:
    if not isinstance(raw, list) or not raw:
        reading.note("listener", "at least one table [[listener]] is needed, with these double brackets")
        return
    for number, table in enumerate(raw, 1):
        path = f"listener[{number}]"
        if isinstance(table, dict):
            yield _listener(table, path, common, reading), Origin(path, table)
        else:
            reading.note(path, f"must be a table, not {show(table)}")


def _listener(raw: dict[str, Any], path: str, common: Config, reading: Reading) -> Listener:
    """Read a listener's own keys and, beside them in the same table, those that it gives in place of common ones."""
    own = {key: kind for key, kind in keys(Listener).items() if key not in OVERRIDABLE}
    shared = {attribute: keys(type(getattr(common, table))) for attribute, table in OVERRIDABLE.items()}
    given = reading.table(own | {key: kind for kinds in shared.values() for key, kind in kinds.items()}, raw, path)
    merged = {
        attribute: merge(getattr(common, table), {key: given[key] for key in shared[attribute] if key in given})
        for attribute, table in OVERRIDABLE.items()
    }
    return Listener(**{key: given[key] for key in own if key in given}, **merged)


def _homes(shape: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each key with the table that it belongs in."""
    for key, kind in keys(shape).items():
        if has(kind):
            yield from _homes(kind, f"{path}.{key}".lstrip("."))
        elif path:
            yield key, path
