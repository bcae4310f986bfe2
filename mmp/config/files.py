"""Reads the files that a configuration names, each once."""

from __future__ import annotations

import os
import stat
from typing import Final

from attrs import define, field

LARGEST: Final = 64 * 1024 * 1024
"""Bytes; no file that a configuration names needs more."""
_ENDS: Final = frozenset(b"\r\n\0")


@define
class Files:
    """What is in files, remembered so that all who ask see the same."""

    contents: dict[str, bytes] = field(factory=dict, repr=False)

    def read(self, path: str) -> bytes:
        """Return what is in a file, or raise OSError whose text says in words why it cannot be read."""
        if path not in self.contents:
            self.contents[path] = read_file(path)
        return self.contents[path]


def read_file(path: str) -> bytes:
    """Return what is in a regular file, or raise OSError whose text says in words why it cannot be read."""
    try:
        return _read_regular(path)
    except OSError as error:
        raise OSError(error.strerror or str(error)) from None


def _read_regular(path: str) -> bytes:
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is not a regular file")
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(f"it has more than {LARGEST} bytes")
    return content


def read_secret(content: bytes) -> bytes:
    """Return the secret that a file holds, without one newline at its end, which editors add; ValueError if none."""
    if not (secret := content.removesuffix(b"\n").removesuffix(b"\r")):
        raise ValueError("is empty, where a secret should be")
    return secret


def read_password(content: bytes) -> bytes:
    """Return a secret that is said in one line, of a protocol or of a header; ValueError if it would not stay one."""
    if not _ENDS.isdisjoint(secret := read_secret(content)):
        raise ValueError("has a line break or NUL in the middle, where a password of one line should be")
    return secret


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; one that is a named pipe must not hang us until somebody writes to it."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
