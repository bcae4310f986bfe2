"""Who may read and write the files that a configuration names."""

from __future__ import annotations

import grp
import pwd
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from mmp.config.tables import Finding
from mmp.config.usage import Named, Usage

_READ_OR_WRITE: Final = stat.S_IROTH | stat.S_IWOTH
_OPEN: Final = "{} is open to every user of this machine ({}); 0600 would do"
_WRITABLE: Final = "{} can be changed by every user of this machine ({})"
_GROUP: Final = "{} can be changed by the members of a group ({})"
_FOLDER: Final = "{} is a folder in which every user of this machine can put another file ({})"


def excesses(path: str, usage: Usage) -> Iterator[Finding]:
    """Yield each file that everybody may read though it holds secrets, or write, or put another in place of.

    A group may read what the proxy reads, but not write it.

    ``path`` is the configuration file's own.
    """
    secret = [*(pair.private_key for pair in usage.pairs()), *usage.secrets(), *usage.users()]
    public = [Named(path, path), *(pair.certificate for pair in usage.pairs())]
    public += [*usage.authorities(), *usage.staples()]
    public += [*usage.client_authorities(), *usage.revocations(), *usage.certificate_maps()]
    for named in secret:
        yield from _excess(named, Path(named.file), _READ_OR_WRITE, _OPEN)
    for named in public:
        yield from _excess(named, Path(named.file), stat.S_IWOTH, _WRITABLE)
    for named in secret + public:
        yield from _excess(named, Path(named.file), stat.S_IWGRP, _GROUP)
    for named in secret + public + list(_to_be_made(usage)):
        yield from _excess(named, Path(named.file).parent, stat.S_IWOTH, _FOLDER)


def _to_be_made(usage: Usage) -> Iterator[Named]:
    """Yield what need not be there yet.

    Whoever puts their own socket there is told what operators and clients say, and whoever puts a link there makes us
    write bans where it leads.
    """
    if usage.config.admin.state:
        yield Named("admin.state", usage.config.admin.state)
    for path, socket in (("admin.control", usage.config.admin.control), *_listeners(usage)):
        if socket.startswith("unix:"):
            yield Named(path, socket.removeprefix("unix:"))


def _listeners(usage: Usage) -> Iterator[tuple[str, str]]:
    return ((f"{origin.path}.address", listener.address) for listener, origin in usage.listeners())


def _excess(named: Named, path: Path, bits: int, text: str) -> Iterator[Finding]:
    """Yield what is wrong if there are any of these bits; with the sticky one everybody owns just their own files."""
    with suppress(OSError):
        status = path.stat()
        if status.st_mode & bits and not status.st_mode & stat.S_ISVTX:
            mode = f"mode {stat.S_IMODE(status.st_mode):04o}, owner {_user(status.st_uid)}"
            mode += f", group {_group(status.st_gid)}" if bits == stat.S_IWGRP else ""
            yield Finding(named.path, text.format(path, mode))


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
